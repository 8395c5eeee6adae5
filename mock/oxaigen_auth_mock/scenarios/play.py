"""A scenario that plays or has played: how far it is, and what it has changed."""

from typing import Annotated, Final, Literal, TypeAlias

from attrs import Factory, define, field
from pydantic import BaseModel, Field

from oxaigen_auth_mock.personas.model import State
from oxaigen_auth_mock.scenarios.model import Scenario, Step

StepStatus: TypeAlias = Literal["coming", "running", "done", "skipped"]
ScenarioStatus: TypeAlias = Literal["playing", "ended", "stopped"]
_END, _BEGIN = 0, 1  # at one time, steps end before others begin
FOREVER: Final = float("inf")
_Time: TypeAlias = Annotated[float, Field(description="Unix time by the mock's clock.")]


class StepReport(BaseModel):
    """A step, and when it was applied and undone.

    A step is `skipped` if its persona does not exist when it is due, or if the scenario is stopped
    before.
    """

    description: str
    at: float
    until: float | None
    status: StepStatus
    began_at: _Time | None
    ended_at: _Time | None
    seconds_since: Annotated[
        float | None, Field(description="Seconds since `began_at`, by the mock's clock.")
    ]


class ScenarioReport(BaseModel):
    """The scenario that plays, or the last one that has played."""

    name: str
    description: str
    status: ScenarioStatus
    started_at: _Time
    now: _Time
    elapsed: Annotated[
        float, Field(description="Seconds from the start to now, or to the end or the stop.")
    ]
    steps: list[StepReport]


@define(eq=False)
class PlayedStep:
    """A step of a scenario that plays.

    Attributes:
        fault_id: the fault that it added.
        tokens: fingerprints of the tokens that it revokes.
        previous_state: of the persona whose state it set.
    """

    step: Step
    status: StepStatus = "coming"
    began_at: float | None = None
    ended_at: float | None = None
    fault_id: int | None = None
    tokens: frozenset[str] = frozenset()
    previous_state: State | None = None

    def report(self, now: float) -> StepReport:
        return StepReport(
            description=self.step.describe(),
            at=self.step.at,
            until=self.step.until,
            status=self.status,
            began_at=self.began_at,
            ended_at=self.ended_at,
            seconds_since=None if self.began_at is None else now - self.began_at,
        )


def _schedule(play: "Play") -> list[tuple[float, int, PlayedStep]]:
    """Return what happens, earliest first: the time, whether a step begins, and the step."""
    begins = [(each.step.at, _BEGIN, each) for each in play.steps]
    ends = [(each.step.until, _END, each) for each in play.steps if each.step.until is not None]
    return sorted([*begins, *ends], key=lambda event: event[:2])


@define(eq=False)
class Play:
    """The progress of one scenario. It only moves forward, also if the clock is moved back.

    Attributes:
        revoked: fingerprints of the tokens that it has revoked and must restore.
        ended_at: when it was over or stopped.
    """

    scenario: Scenario
    started_at: float
    stopped: bool = field(default=False, init=False)
    ended_at: float | None = field(default=None, init=False)
    revoked: set[str] = field(factory=set[str], init=False)
    steps: list[PlayedStep] = field(
        init=False,
        default=Factory(lambda self: [*map(PlayedStep, self.scenario.steps)], takes_self=True),
    )
    _pending: list[tuple[float, int, PlayedStep]] = field(
        init=False, default=Factory(_schedule, takes_self=True)
    )

    @property
    def next_at(self) -> float:
        """When the next step begins or ends, in Unix time by the mock's clock."""
        if self.ended_at is not None or not self._pending:
            return FOREVER
        return self.started_at + self._pending[0][0]

    def pop(self) -> tuple[PlayedStep, bool]:
        """Remove what happens next, and return the step and whether it begins."""
        _, kind, step = self._pending.pop(0)
        return step, kind == _BEGIN

    @property
    def running(self) -> list[PlayedStep]:
        return [each for each in self.steps if each.status == "running"]

    @property
    def is_over(self) -> bool:
        """Whether all steps have ended. Steps without an end never do."""
        return not self._pending and not self.running

    @property
    def status(self) -> ScenarioStatus:
        if self.ended_at is None:
            return "playing"
        return "stopped" if self.stopped else "ended"

    def report(self, now: float) -> ScenarioReport:
        end = now if self.ended_at is None else self.ended_at
        return ScenarioReport(
            name=self.scenario.name,
            description=self.scenario.description,
            status=self.status,
            started_at=self.started_at,
            now=now,
            elapsed=end - self.started_at,
            steps=[each.report(now) for each in self.steps],
        )

"""The model of a scenario, as files and the control API write it: steps at points in time."""

from collections.abc import Collection, Iterator
from itertools import combinations
from typing import Annotated, ClassVar, Final, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from oxaigen_auth_mock.config.constraints import Expected, Name, Text, Token
from oxaigen_auth_mock.faults.kinds import Fault
from oxaigen_auth_mock.journal.counts import fingerprint
from oxaigen_auth_mock.personas.model import State

MAX_SECONDS: Final = 86_400.0
ACTIONS: Final = ("fault", "revoke", "revoke_token", "persona")

Location: TypeAlias = tuple[str | int, ...]
Seconds: TypeAlias = Annotated[
    float,
    Field(strict=True, ge=0, le=MAX_SECONDS, allow_inf_nan=False),
    Expected("a number of seconds from 0 to 86400"),
]


class ScenarioPart(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,  # it may be a token
    )


class PersonaState(ScenarioPart):
    """The state that a persona has during a step."""

    name: Name
    state: State

    def __str__(self) -> str:
        return f"{self.name} is {self.state}"


class Step(ScenarioPart):
    """A change that begins `at` some seconds after the start of a scenario.

    It is undone at `until`; without it, when the scenario is stopped. A step has exactly one of
    `fault`, `revoke`, `revoke_token` and `persona`.

    >>> Step.model_validate({"at": 10, "revoke": "guest"}).describe()
    'tokens of guest revoked'
    """

    at: Annotated[Seconds, Field(description="Seconds after the start.")]
    until: Annotated[
        Seconds | None, Field(description="When it is undone, in seconds after the start.")
    ] = None
    fault: Annotated[Fault | None, Field(description="A fault to inject.")] = None
    revoke: Annotated[
        Name | None, Field(description="A persona, whose tokens of that moment are revoked.")
    ] = None
    revoke_token: Annotated[Token | None, Field(description="A token to revoke.", repr=False)] = (
        None
    )
    persona: Annotated[
        PersonaState | None, Field(description="A persona and the state to set.")
    ] = None

    @model_validator(mode="after")
    def _check_action_and_end(self) -> Self:
        given = [action for action in ACTIONS if getattr(self, action) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(f"expected exactly one of {', '.join(ACTIONS)}; found {found}")
        if self.until is not None and self.until <= self.at:
            raise ValueError(
                f"until is {self.until:g}; expected more than at, which is {self.at:g}"
            )
        return self

    @property
    def persona_name(self) -> str | None:
        """The persona that the step needs; None if it needs none."""
        if self.persona is not None:
            return self.persona.name
        return self.revoke if self.fault is None else self.fault.persona

    @property
    def persona_location(self) -> Location:
        """Where the step names its persona."""
        if self.persona is not None:
            return ("persona", "name")
        return ("revoke",) if self.fault is None else ("fault", "persona")

    def overlaps(self, other: "Step") -> bool:
        """Return whether there is a time at which both apply."""
        starts_before_end = other.until is None or self.at < other.until
        return starts_before_end and (self.until is None or other.at < self.until)

    def describe(self) -> str:
        """Describe the change in a few words, without a token."""
        if self.fault is not None:
            return self.fault.describe()
        if self.revoke is not None:
            return f"tokens of {self.revoke} revoked"
        if self.revoke_token is not None:
            return f"token {fingerprint(self.revoke_token)} revoked"
        return str(self.persona)


def _check_together(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Refuse no steps, and two states of a persona at one time, of which no end could be undone."""
    if not steps:  # `min_length` would also report steps that are all invalid as too few
        raise ValueError("expected at least one step")
    for (first, one), (second, other) in combinations(enumerate(steps), 2):
        if one.persona is None or other.persona is None or one.persona.name != other.persona.name:
            continue
        if one.overlaps(other):
            both = f"steps[{first}] and steps[{second}]"
            raise ValueError(f"{both} set the state of {one.persona.name!r} at one time")
    return steps


Steps: TypeAlias = Annotated[
    tuple[Step, ...], Field(max_length=100), AfterValidator(_check_together)
]


class Scenario(ScenarioPart):
    """A sequence of changes to a mock, in the time of its clock.

    >>> steps = [{"at": 20, "until": 25, "fault": {"kind": "status", "status": 503}}]
    >>> [step.describe() for step in Scenario.model_validate({"steps": steps}).steps]
    ['every call: 503']
    """

    name: Name = "unnamed"
    description: Text = ""
    steps: Steps

    def unknown_personas(self, names: Collection[str]) -> Iterator[tuple[Location, str]]:
        """Yield each persona that does not exist, after the location of its name.

        Args:
            names: the names of all personas.
        """
        for number, step in enumerate(self.steps):
            name = step.persona_name
            if name is not None and name not in names:
                yield ("steps", number, *step.persona_location), name

"""The faults of one mock, and which of them strike a call.

A fault is flat JSON, told apart by its `kind`: `Fault` is that union, and reads it with every
mistake named by its path. Knows no HTTP: `breaking` makes faults happen.
"""

from collections.abc import Collection, Iterable
from random import Random
from typing import Annotated

from attrs import Factory, define, field
from pydantic import Field

from oxaigen_auth_mock.config.validation_errors import did_you_mean
from oxaigen_auth_mock.faults.kinds import (
    Close,
    Drip,
    GzipBomb,
    Hang,
    Html,
    Latency,
    Oversized,
    Redirect,
    Reset,
    SetCookie,
    Status,
    TruncatedJson,
    WrongContentType,
    WrongShape,
)
from oxaigen_auth_mock.faults.match import Endpoint, Trigger

__all__ = [
    "Close",
    "Drip",
    "Endpoint",
    "Fault",
    "FaultPlan",
    "GzipBomb",
    "Hang",
    "Html",
    "Latency",
    "Oversized",
    "Redirect",
    "Reset",
    "SetCookie",
    "Status",
    "Trigger",
    "TruncatedJson",
    "WrongContentType",
    "WrongShape",
    "unknown_persona",
]


Fault = Annotated[
    Status
    | Latency
    | Hang
    | Reset
    | Close
    | Drip
    | TruncatedJson
    | WrongShape
    | Html
    | Redirect
    | WrongContentType
    | Oversized
    | GzipBomb
    | SetCookie,
    Field(discriminator="kind"),
]


def unknown_persona(fault: Fault, names: Collection[str]) -> str | None:
    """Say that a fault waits for the calls of a persona who is not there, if it does.

    >>> unknown_persona(Hang(persona="quest"), ["guest", "admin"])
    "no persona is called 'quest'; there are guest, admin; did you mean 'guest'?"
    """
    if fault.persona is None or fault.persona in names:
        return None
    there = f"there are {', '.join(names)}" if names else "there are none"
    return f"no persona is called {fault.persona!r}; {there}{did_you_mean(fault.persona, names)}"


@define(eq=False)
class _Placed:
    """A fault in a plan: how many calls matched it, and how many of those it struck."""

    fault: Fault
    seen: int = 0
    struck: int = 0
    _random: Random = Factory(lambda self: Random(self.fault.seed), takes_self=True)  # noqa: S311 (no secret)

    @property
    def spent(self) -> bool:
        return self.fault.times is not None and self.struck >= self.fault.times

    @property
    def adds_up(self) -> bool:
        return isinstance(self.fault, Latency | SetCookie)

    def sees(self) -> bool:
        """Count a call that matches; whether it is to be struck.

        Each n-th call takes one chance, struck or not, so that no other fault can shift them.
        """
        self.seen += 1
        due = self.seen % self.fault.every == 0
        return due and self._random.random() < self.fault.probability and not self.spent

    def strike(self) -> Fault:
        self.struck += 1
        return self.fault.drawn(self._random) if isinstance(self.fault, Latency) else self.fault

    def report(self) -> dict[str, object]:
        return {
            "fault": self.fault.model_dump(mode="json"),
            "says": self.fault.describe(),
            "seen": self.seen,
            "struck": self.struck,
            "spent": self.spent,
        }


@define(eq=False)
class FaultPlan:
    """The faults that wait for calls, in the order in which they were placed.

    Of the faults that answer a call, or spoil its answer, only the first strikes; what the others
    would have done is not made up for. Latencies and cookies come on top, and add up.

    >>> plan = FaultPlan()
    >>> plan.place(Status(every=2, times=1))
    1
    >>> [len(plan.strike("get-me", None)) for _ in range(4)]
    [0, 1, 0, 0]
    """

    _placed: dict[int, _Placed] = field(factory=dict[int, _Placed], init=False)
    _last_id: int = field(default=0, init=False)

    @property
    def faults(self) -> list[Fault]:
        return [placed.fault for placed in self._placed.values()]

    def place(self, fault: Fault) -> int:
        """Add a fault; gives its id, which no other fault of this plan ever gets."""
        self._last_id += 1
        self._placed[self._last_id] = _Placed(fault)
        return self._last_id

    def remove(self, fault_id: int) -> bool:
        """Take a fault out; whether it was there."""
        return self._placed.pop(fault_id, None) is not None

    def remove_of(self, persona: str) -> None:
        """Take out the faults that strike only the calls of this persona."""
        for number, placed in list(self._placed.items()):
            if placed.fault.persona == persona:
                self.remove(number)

    def clear(self) -> None:
        self._placed.clear()

    def replace(self, faults: Iterable[Fault]) -> None:
        """Place these instead of all that are there, none of them having seen a call."""
        self.clear()
        for fault in faults:
            self.place(fault)

    def strike(self, endpoint: str, persona: str | None) -> tuple[Fault, ...]:
        """Count a call, and say what befalls it: `()` for nothing.

        A latency comes out as the fixed one that was drawn for this call.
        """
        if not self._placed:
            return ()
        answered = False
        struck: list[Fault] = []
        for placed in self._placed.values():
            if placed.fault.matches(endpoint, persona) and placed.sees():
                if answered and not placed.adds_up:
                    continue
                answered = answered or not placed.adds_up
                struck.append(placed.strike())
        return tuple(struck)

    def report(self) -> list[dict[str, object]]:
        """Tell of each fault: its id, itself as JSON, what it says to people, and its counts."""
        return [{"id": number, **placed.report()} for number, placed in self._placed.items()]

"""What people and tests do to a running mock: the verbs behind its page, its API and its handle."""

from collections.abc import Iterable
from typing import Annotated, Any, Self, TypeAlias

from attrs import Factory, define, field
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, model_validator

from oxaigen_auth_mock.config.constraints import DENY
from oxaigen_auth_mock.faults.plan import Fault, unknown_persona
from oxaigen_auth_mock.identity_provider.base import Issued
from oxaigen_auth_mock.journal.counts import fingerprint
from oxaigen_auth_mock.journal.journal import Call
from oxaigen_auth_mock.personas.model import Persona
from oxaigen_auth_mock.personas.store import NameTakenError, UnknownPersonaError
from oxaigen_auth_mock.state import MockProxy

Fingerprint: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]

Move: TypeAlias = Annotated[  # of the clock
    float,
    Field(strict=True, ge=-1e9, le=1e9, allow_inf_nan=False, description="Seconds; < 0: back."),
]

_FAULT: TypeAdapter[Fault] = TypeAdapter(Fault)
_MOVE: TypeAdapter[float] = TypeAdapter(Move)


class Snapshot(BaseModel):
    """All that can be changed in a mock while it runs; what it was asked is no part of it.

    Faults begin anew: how many calls they have seen is not kept.
    """

    model_config = ConfigDict(extra="forbid")

    personas: list[Persona]
    faults: list[Fault] = Field(default_factory=list[Fault])
    revoked: list[Fingerprint] = Field(default_factory=list[str])
    issued: list[Issued] = Field(default_factory=list[Issued])
    auto_login: str | None = None
    clock_offset: float = Field(
        default=0.0, strict=True, allow_inf_nan=False, description="Seconds."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [persona.name for persona in self.personas]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two personas have the same name: {', '.join(twice)}")
        if self.auto_login not in (None, DENY, *names):
            raise ValueError(f"auto_login is {self.auto_login!r}, but no persona is called that")
        for number, fault in enumerate(self.faults):
            problem = unknown_persona(fault, names)
            if problem:
                raise ValueError(f"faults[{number}].persona: {problem}")
        return self


@define(eq=False)
class MockControl:
    """Changes a mock while it runs, and tells what it was asked.

    Belongs to the event loop that the mock runs on.

    >>> from oxaigen_auth_mock import create_app
    >>> mock = create_app().control
    >>> mock.revoke("mock-dev-token")
    >>> mock.fault("status", status=503, endpoint="get-me", every=3)
    1
    """

    proxy: MockProxy
    _initial: Snapshot = field(
        init=False, default=Factory(lambda self: self.snapshot(), takes_self=True)
    )

    def add(self, persona: Persona) -> None:
        """Add a persona of a new name.

        Raises:
            NameTakenError: there is one of that name.
            TokenTakenError: another persona has this token.
        """
        if self.proxy.roster.named(persona.name) is not None:
            raise NameTakenError(f"there is a persona called {persona.name!r} already")
        self.put(persona)

    def put(self, persona: Persona) -> None:
        """Add a persona, or change the one of that name.

        Raises:
            TokenTakenError: another persona has this token.
        """
        self.proxy.roster.put(persona)
        self.proxy.changed()

    def remove(self, name: str) -> None:
        """Forget a persona, who no longer signs in without being asked, and faults of its calls.

        Raises:
            UnknownPersonaError: nobody has this name.
        """
        self.proxy.roster.remove(name)
        self.proxy.faults.remove_of(name)
        if self.proxy.auto_login == name:
            self.proxy.auto_login = None
        self.proxy.changed()

    def permit(self, name: str, permission: str, *, granted: bool = True) -> Persona:
        """Grant a persona a permission, or withdraw it; gives the persona as it is then.

        Raises:
            UnknownPersonaError: nobody has this name.
            ValidationError: no permission can be called that.
        """
        persona = self._named(name)
        others = [each for each in persona.permissions if each.lower() != permission.lower()]
        permissions = [*others, permission] if granted else others
        changed = Persona.model_validate({**persona.model_dump(), "permissions": permissions})
        self.put(changed)
        return changed

    def sign_in_as(self, name: str | None) -> None:
        """Let this persona (or `deny`) sign in without being asked; None: as the settings say.

        Raises:
            UnknownPersonaError: nobody has this name.
        """
        if name not in (None, DENY):
            self._named(name)
        self.proxy.auto_login = name
        self.proxy.changed()

    def revoke(self, token: str) -> None:
        """Make a token unknown, whosever it is, until it is restored."""
        self.revoke_fingerprint(fingerprint(token))

    def restore(self, token: str) -> None:
        self.restore_fingerprint(fingerprint(token))

    def revoke_fingerprint(self, name: str) -> None:
        self.proxy.revoked.add(name)
        self.proxy.changed()

    def restore_fingerprint(self, name: str) -> None:
        self.proxy.revoked.discard(name)
        self.proxy.changed()

    def advance(self, seconds: float) -> None:
        """Put the clock forward, or back: what the provider issued gets older, or younger.

        Raises:
            ValidationError: not a number of seconds, or more than 1e9 of them.
        """
        self.proxy.clock.offset += _MOVE.validate_python(seconds)
        self.proxy.changed()

    def fault(self, kind: str, **fields: Any) -> int:
        """Place a fault, described as in a plan file; gives its id.

        Raises:
            ValidationError: there is no such fault.
            UnknownPersonaError: it is for the calls of somebody who is not there.
        """
        return self.place(_FAULT.validate_python({"kind": kind, **fields}))

    def place(self, fault: Fault) -> int:
        """Place a fault; gives its id.

        Raises:
            UnknownPersonaError: it is for the calls of somebody who is not there.
        """
        self._check_personas([fault])
        number = self.proxy.faults.place(fault)
        self.proxy.changed()
        return number

    def remove_fault(self, number: int) -> bool:
        """Take out a fault; whether it was there."""
        removed = self.proxy.faults.remove(number)
        self.proxy.changed()
        return removed

    def replace_faults(self, faults: Iterable[Fault] = ()) -> None:
        """Have these faults and no others.

        Raises:
            UnknownPersonaError: one is for the calls of somebody who is not there.
        """
        faults = list(faults)
        self._check_personas(faults)
        self.proxy.faults.replace(faults)
        self.proxy.changed()

    def calls(
        self, *, endpoint: str | None = None, persona: str | None = None, token: str | None = None
    ) -> tuple[Call, ...]:
        """Find the calls that came, oldest first; None matches all."""
        return tuple(
            call
            for call in self.proxy.journal
            if endpoint in (None, call.endpoint)
            and persona in (None, call.persona)
            and (token is None or call.token == fingerprint(token))
        )

    def clear_calls(self) -> None:
        """Start writing down and counting anew."""
        self.proxy.journal.clear()

    def snapshot(self) -> Snapshot:
        return Snapshot(
            personas=list(self.proxy.roster.personas),
            faults=self.proxy.faults.faults,
            revoked=sorted(self.proxy.revoked),
            issued=self.proxy.provider.export(),
            auto_login=self.proxy.auto_login,
            clock_offset=self.proxy.clock.offset,
        )

    def load(self, snapshot: Snapshot) -> None:
        """Be as the snapshot says."""
        self.proxy.roster.replace(snapshot.personas)
        self.proxy.faults.replace(snapshot.faults)
        self.proxy.revoked = set(snapshot.revoked)
        self.proxy.provider.restore(snapshot.issued)
        self.proxy.auto_login = snapshot.auto_login
        self.proxy.clock.offset = snapshot.clock_offset
        self.proxy.changed()

    def reset(self) -> None:
        """Be as at the start, and forget what was asked."""
        self.load(self._initial)
        self.clear_calls()

    def _check_personas(self, faults: Iterable[Fault]) -> None:
        names = self.proxy.roster.names
        for fault in faults:
            problem = unknown_persona(fault, names)
            if problem:
                raise UnknownPersonaError(problem)

    def _named(self, name: str | None) -> Persona:
        persona = self.proxy.roster.named(name or "")
        if persona is None:
            raise UnknownPersonaError(f"no persona is called {name!r}")
        return persona

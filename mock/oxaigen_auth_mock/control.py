"""The changes that can be made to a running mock, for its page, its API and tests."""

from collections.abc import Iterable
from typing import Annotated, Any, TypeAlias

from attrs import Factory, define, field
from fastapi import Request
from pydantic import Field, TypeAdapter

from oxaigen_auth_mock.config.constraints import DENY
from oxaigen_auth_mock.faults.kinds import FAULT, Fault
from oxaigen_auth_mock.faults.plan import unknown_persona
from oxaigen_auth_mock.journal.counts import fingerprint
from oxaigen_auth_mock.journal.journal import Call
from oxaigen_auth_mock.personas.model import Persona
from oxaigen_auth_mock.personas.store import NameTakenError, UnknownPersonaError
from oxaigen_auth_mock.snapshot import Snapshot
from oxaigen_auth_mock.state import MockState

ClockStep: TypeAlias = Annotated[
    float,
    Field(
        strict=True,
        ge=-1e9,
        le=1e9,
        allow_inf_nan=False,
        description="Seconds to advance the clock; negative to move it back.",
    ),
]

_CLOCK_STEP: TypeAdapter[float] = TypeAdapter(ClockStep)


@define(eq=False)
class MockControl:
    """Change a running mock and inspect its calls.

    Use it on the event loop that the mock runs on.

    >>> from oxaigen_auth_mock import create_app
    >>> mock = create_app().control
    >>> mock.revoke("mock-dev-token")
    >>> mock.fault("status", status=503, endpoint="get-me", every=3)
    1
    """

    state: MockState
    _initial: Snapshot = field(
        init=False, default=Factory(lambda self: self.snapshot(), takes_self=True)
    )

    def add(self, persona: Persona) -> None:
        """Add a persona.

        Raises:
            NameTakenError: a persona has this name.
            TokenTakenError: another persona has this token.
        """
        if self.state.personas.named(persona.name) is not None:
            raise NameTakenError(f"a persona called {persona.name!r} already exists")
        self.put(persona)

    def put(self, persona: Persona) -> None:
        """Add a persona, or replace the one with the same name.

        Raises:
            TokenTakenError: another persona has this token.
        """
        self.state.personas.put(persona)
        self.state.mark_changed()

    def remove(self, name: str) -> None:
        """Remove a persona and the faults that only apply to its calls.

        If it signed in automatically, no persona does from then on.

        Raises:
            UnknownPersonaError: no persona has this name.
        """
        self.state.personas.remove(name)
        self.state.faults.remove_for(name)
        if self.state.auto_login == name:
            self.state.auto_login = None
        self.state.mark_changed()

    def permit(self, name: str, permission: str, *, granted: bool = True) -> Persona:
        """Grant a permission to a persona, or withdraw it, and return the changed persona.

        Raises:
            UnknownPersonaError: no persona has this name.
            ValidationError: the name of the permission is invalid.
        """
        persona = self.state.personas.require(name)
        others = [each for each in persona.permissions if each.lower() != permission.lower()]
        permissions = [*others, permission] if granted else others
        changed = Persona.model_validate({**persona.model_dump(), "permissions": permissions})
        self.put(changed)
        return changed

    def sign_in_as(self, name: str | None) -> None:
        """Sign in this persona automatically; `deny` refuses every sign-in.

        With None the settings decide: the mock asks, or signs in the default user.

        Raises:
            UnknownPersonaError: no persona has this name.
        """
        if name is not None and name != DENY:
            self.state.personas.require(name)
        self.state.auto_login = name
        self.state.mark_changed()

    def revoke(self, token: str) -> None:
        """Reject a token until it is restored, whether or not a persona has it."""
        self.revoke_fingerprint(fingerprint(token))

    def restore(self, token: str) -> None:
        """Undo `revoke`."""
        self.restore_fingerprint(fingerprint(token))

    def revoke_fingerprint(self, name: str) -> None:
        """Reject the token with this fingerprint, the first 12 hex digits of its SHA-256."""
        self.state.revoked.add(name)
        self.state.mark_changed()

    def restore_fingerprint(self, name: str) -> None:
        """Undo `revoke_fingerprint`."""
        self.state.revoked.discard(name)
        self.state.mark_changed()

    def advance(self, seconds: float) -> None:
        """Move the clock forward, or back, by which issued codes and tokens expire.

        Raises:
            ValidationError: not a number of seconds, or more than 1e9 of them.
        """
        self.state.clock.offset += _CLOCK_STEP.validate_python(seconds)
        self.state.mark_changed()

    def fault(self, kind: str, **fields: Any) -> int:
        """Add a fault, with the fields that it has in a file, and return its id.

        Raises:
            ValidationError: the kind or a field is invalid.
            UnknownPersonaError: it is for a persona that does not exist.
        """
        return self.add_fault(FAULT.validate_python({"kind": kind, **fields}))

    def add_fault(self, fault: Fault) -> int:
        """Add a fault and return its id.

        Raises:
            UnknownPersonaError: it is for a persona that does not exist.
        """
        self._check_personas([fault])
        fault_id = self.state.faults.add(fault)
        self.state.mark_changed()
        return fault_id

    def remove_fault(self, fault_id: int) -> bool:
        """Remove a fault. Return False if there is none with this id."""
        removed = self.state.faults.remove(fault_id)
        self.state.mark_changed()
        return removed

    def replace_faults(self, faults: Iterable[Fault] = ()) -> None:
        """Replace all faults.

        Raises:
            UnknownPersonaError: one is for a persona that does not exist.
        """
        faults = list(faults)
        self._check_personas(faults)
        self.state.faults.replace(faults)
        self.state.mark_changed()

    def calls(
        self, *, endpoint: str | None = None, persona: str | None = None, token: str | None = None
    ) -> tuple[Call, ...]:
        """Return the recorded calls that match, oldest first; None matches all."""
        return tuple(
            call
            for call in self.state.journal
            if endpoint in (None, call.endpoint)
            and persona in (None, call.persona)
            and (token is None or call.token == fingerprint(token))
        )

    def clear_calls(self) -> None:
        """Forget the recorded calls and set all counts to zero."""
        self.state.journal.clear()

    def snapshot(self) -> Snapshot:
        """Return all that can be changed, to be loaded later or into another mock."""
        return Snapshot(
            personas=list(self.state.personas),
            faults=self.state.faults.faults,
            revoked=sorted(self.state.revoked),
            issued=self.state.provider.export(),
            auto_login=self.state.auto_login,
            clock_offset=self.state.clock.offset,
        )

    def load(self, snapshot: Snapshot) -> None:
        """Replace all that can be changed by a snapshot."""
        self.state.personas.replace(snapshot.personas)
        self.state.faults.replace(snapshot.faults)
        self.state.revoked = set(snapshot.revoked)
        self.state.provider.restore(snapshot.issued)
        self.state.auto_login = snapshot.auto_login
        self.state.clock.offset = snapshot.clock_offset
        self.state.mark_changed()

    def reset(self) -> None:
        """Return to the initial state, and forget the recorded calls."""
        self.load(self._initial)
        self.clear_calls()

    def _check_personas(self, faults: Iterable[Fault]) -> None:
        names = self.state.personas.names
        for fault in faults:
            problem = unknown_persona(fault.persona, names)
            if problem:
                raise UnknownPersonaError(problem)


def get_control(request: Request) -> MockControl:
    """Return the control of the mock that serves a request."""
    control: MockControl = request.app.state.control
    return control

"""The changes that can be made to a running mock, for its page, its API and tests."""

from collections.abc import Iterable
from typing import Annotated, Any, TypeAlias

from attrs import Factory, define, field
from fastapi import Request
from pydantic import Field, TypeAdapter

from oxaigen_auth_mock import playback
from oxaigen_auth_mock.config.constraints import DENY
from oxaigen_auth_mock.faults.kinds import FAULT, Fault
from oxaigen_auth_mock.faults.plan import unknown_persona
from oxaigen_auth_mock.journal.counts import fingerprint
from oxaigen_auth_mock.journal.journal import SCENARIO, Call
from oxaigen_auth_mock.personas.model import Persona
from oxaigen_auth_mock.personas.store import NameTakenError, UnknownPersonaError
from oxaigen_auth_mock.scenario_control import ScenarioControl
from oxaigen_auth_mock.snapshot import Snapshot

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
class MockControl(ScenarioControl):
    """Change a running mock and inspect its calls.

    Use it on the event loop that the mock runs on.

    >>> from oxaigen_auth_mock import create_app
    >>> mock = create_app().control
    >>> mock.revoke("mock-dev-token")
    >>> mock.fault("status", status=503, endpoint="get-me", every=3)
    1
    """

    initial: Snapshot = field(
        init=False, default=Factory(lambda self: self.snapshot(), takes_self=True)
    )

    def add(self, persona: Persona) -> None:
        """Add a persona.

        Raises:
            NameTakenError: a persona has this name.
            TokenTakenError: another persona has this token.
        """
        if self._current.personas.named(persona.name) is not None:
            raise NameTakenError(f"a persona called {persona.name!r} already exists")
        self.put(persona)

    def put(self, persona: Persona) -> None:
        """Add a persona, or replace the one with the same name.

        Raises:
            TokenTakenError: another persona has this token.
        """
        state = self._current
        before = state.personas.named(persona.name)
        state.personas.put(persona)
        if before is not None and before.state != persona.state:
            playback.keep_state(state, persona.name)
        state.mark_changed()

    def merge(self, personas: Iterable[Persona]) -> None:
        """Add personas, or replace those with their names. Their tokens are not checked."""
        state = self._current
        state.personas.merge(personas)
        state.mark_changed()

    def remove(self, name: str) -> None:
        """Remove a persona and the faults that only apply to its calls.

        If it signed in automatically, no persona does from then on.

        Raises:
            UnknownPersonaError: no persona has this name.
        """
        self._current.personas.remove(name)
        playback.keep_state(self.state, name)
        self.state.faults.remove_for(name)
        if self._current.auto_login == name:
            self._current.auto_login = None
        self._current.mark_changed()

    def permit(self, name: str, permission: str, *, granted: bool = True) -> Persona:
        """Grant a permission to a persona, or withdraw it, and return the changed persona.

        Raises:
            UnknownPersonaError: no persona has this name.
            ValidationError: the name of the permission is invalid.
        """
        persona = self._current.personas.require(name)
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
            self._current.personas.require(name)
        self._current.auto_login = name
        self._current.mark_changed()

    def revoke(self, token: str) -> None:
        """Reject a token until it is restored, whether or not a persona has it."""
        self.revoke_fingerprint(fingerprint(token))

    def restore(self, token: str) -> None:
        """Undo `revoke`."""
        self.restore_fingerprint(fingerprint(token))

    def revoke_fingerprint(self, name: str) -> None:
        """Reject the token with this fingerprint, the first 12 hex digits of its SHA-256."""
        self._current.revoked.add(name)
        playback.keep_token(self.state, name)
        self._current.mark_changed()

    def restore_fingerprint(self, name: str) -> None:
        """Undo `revoke_fingerprint`."""
        self._current.revoked.discard(name)
        playback.keep_token(self.state, name)
        self._current.mark_changed()

    def advance(self, seconds: float) -> None:
        """Move the clock forward, or back, by which issued codes and tokens expire.

        Raises:
            ValidationError: not a number of seconds, or more than 1e9 of them.
        """
        self._current.clock.offset += _CLOCK_STEP.validate_python(seconds)
        self._current.mark_changed()

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
        fault_id = self._current.faults.add(fault)
        self._current.mark_changed()
        return fault_id

    def remove_fault(self, fault_id: int) -> bool:
        """Remove a fault. Return False if there is none with this id."""
        removed = self._current.faults.remove(fault_id)
        self._current.mark_changed()
        return removed

    def replace_faults(self, faults: Iterable[Fault] = ()) -> None:
        """Replace all faults.

        Raises:
            UnknownPersonaError: one is for a persona that does not exist.
        """
        faults = list(faults)
        self._check_personas(faults)
        self._current.faults.replace(faults)
        self._current.mark_changed()

    def calls(
        self, *, endpoint: str | None = None, persona: str | None = None, token: str | None = None
    ) -> tuple[Call, ...]:
        """Return the recorded calls that match, oldest first; None matches all.

        The endpoint `scenario` returns the steps of scenarios instead.
        """
        return tuple(
            call
            for call in self._current.journal
            if call.endpoint == endpoint or (endpoint is None and call.endpoint != SCENARIO)
            if persona in (None, call.persona)
            if token is None or call.token == fingerprint(token)
        )

    def clear_calls(self) -> None:
        """Forget the recorded calls and set all counts to zero."""
        self._current.journal.clear()

    def snapshot(self) -> Snapshot:
        """Return all that can be changed, to be loaded later or into another mock.

        What a scenario has changed is not included.
        """
        state = self._current
        return Snapshot(
            personas=playback.own_personas(state),
            faults=playback.own_faults(state),
            revoked=sorted(playback.own_revoked(state)),
            issued=state.provider.export(),
            auto_login=state.auto_login,
            clock_offset=state.clock.offset,
        )

    def load(self, snapshot: Snapshot) -> None:
        """Stop the scenario, and replace all that can be changed by a snapshot."""
        state = self.state
        playback.stop(state)
        state.personas.replace(snapshot.personas)
        state.faults.replace(snapshot.faults)
        state.revoked = set(snapshot.revoked)
        state.provider.restore(snapshot.issued)
        state.auto_login = snapshot.auto_login
        state.clock.offset = snapshot.clock_offset
        state.mark_changed()

    def reset(self) -> None:
        """Stop the scenario, return to the initial state, and forget the recorded calls."""
        self.load(self.initial)
        self.state.play = None
        self.clear_calls()

    def _check_personas(self, faults: Iterable[Fault]) -> None:
        names = self._current.personas.names
        for fault in faults:
            problem = unknown_persona(fault.persona, names)
            if problem:
                raise UnknownPersonaError(problem)


def get_control(request: Request) -> MockControl:
    """Return the control of the mock that serves a request."""
    control: MockControl = request.app.state.control
    return control

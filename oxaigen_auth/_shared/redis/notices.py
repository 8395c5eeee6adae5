"""What a store tells its listener, and what was announced."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock

from attrs import define, field

from oxaigen_auth._shared.redis.events import Event, Kind
from oxaigen_auth._shared.store import Listener


class _NoListener:
    """Ignores everything: the store was not opened."""

    def on_token_forgotten(self, token_id: bytes) -> None: ...
    def on_user_forgotten(self, user_tag: bytes) -> None: ...
    def on_all_forgotten(self) -> None: ...
    def on_listening(self, *, live: bool) -> None: ...
    def on_sending(self, problem: str | None) -> None: ...


@define(eq=False)
class Notices:
    """Tells the listener about events, and about changes of state in the right order."""

    topics: dict[bytes, int] = field(factory=dict, init=False)
    _listener: Listener = field(factory=_NoListener, init=False)
    _live: set[object] = field(factory=set, init=False)
    _has_problem: bool = field(default=False, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def begin(self, listener: Listener) -> None:
        with self._lock:
            self._listener = listener
            if not self._live:  # after a fork, the listener has the state of the parent
                listener.on_listening(live=False)

    def reset(self) -> None:
        """Begin anew in a child process."""
        self._live, self._lock = set(), Lock()

    def dispatch(self, event: Event) -> None:
        if event.kind is Kind.TOPIC:
            self.topics[event.id] = self.topics.get(event.id, 0) + 1
        elif event.kind is Kind.TOKEN:
            self._listener.on_token_forgotten(event.id)
        elif event.kind is Kind.USER:
            self._listener.on_user_forgotten(event.id)
        else:
            self._listener.on_all_forgotten()

    def on_live(self, link: object, *, live: bool) -> None:
        """Tell the listener if this was the first connection, or the last one."""
        with self._lock:
            before = bool(self._live)
            (self._live.add if live else self._live.discard)(link)
            if before != bool(self._live):
                self._listener.on_listening(live=live)

    def on_sending(self, problem: str | None) -> None:
        """Tell the listener if events could be sent before and cannot now, or the reverse."""
        with self._lock:
            if self._has_problem != (problem is not None):
                self._tell(problem)

    def on_unsent(self, events: Iterable[Event]) -> None:
        """Report the events that are discarded, if any, even after another problem."""
        number = sum(event.kind is not Kind.TOPIC for event in events)
        if number:
            what = f"tokens or users to forget ({number})"
            with self._lock:
                self._tell(f"{what} were not sent before the client was closed")

    def _tell(self, problem: str | None) -> None:
        self._has_problem = problem is not None
        self._listener.on_sending(problem)

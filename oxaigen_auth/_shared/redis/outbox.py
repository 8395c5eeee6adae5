"""The events that the server does not have yet."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock
from time import monotonic

from attrs import define, field

from oxaigen_auth._shared.redis.events import Event, Kind


@define(eq=False)
class Outbox:
    """The events that the server does not have yet. Safe to share between threads.

    An event is waiting, or it is being sent by one event loop. It can be in both states at once: an
    event that was added while it is being sent must be sent again, because an entry may have been
    stored between the two.

    Args:
        memory_seconds: how long an event is kept. No entry lives longer.
    """

    memory_seconds: float
    _waiting: dict[Kind, OrderedDict[Event, float]] = field(init=False)
    _sending: list[dict[Event, float]] = field(factory=list, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def __attrs_post_init__(self) -> None:
        self._waiting = {kind: OrderedDict() for kind in Kind}

    def __bool__(self) -> bool:
        with self._lock:
            return bool(self._sending) or any(self._waiting.values())

    def __contains__(self, event: Event) -> bool:
        with self._lock:
            return any(event in batch for batch in (self._waiting[event.kind], *self._sending))

    def add(self, events: Iterable[Event]) -> None:
        deadline = monotonic() + self.memory_seconds
        with self._lock:
            for event in events:
                self._waiting[event.kind][event] = deadline

    def waiting(self) -> list[Event]:
        """Return the waiting events; without the lock, which may be held for ever in a child."""
        now = monotonic()
        waiting = [item for queue in self._waiting.values() for item in list(queue.items())]
        return [event for event, until in waiting if until > now]

    def take(self, kind: Kind, limit: int) -> dict[Event, float]:
        """Return events to be sent, with their deadlines. `confirm` or `put_back` must follow."""
        now, batch = monotonic(), dict[Event, float]()
        with self._lock:
            waiting = self._waiting[kind]
            while waiting and len(batch) < limit:
                event, until = waiting.popitem(last=False)  # a dict would search for its front
                if until > now:
                    batch[event] = until
            if batch:
                self._sending.append(batch)
        return batch

    def confirm(self, batch: dict[Event, float]) -> None:
        with self._lock:
            self._stop_sending(batch)

    def put_back(self, batch: dict[Event, float]) -> None:
        with self._lock:
            self._stop_sending(batch)
            for event in reversed(batch):
                waiting = self._waiting[event.kind]
                if event not in waiting:  # what was added meanwhile lasts longer
                    waiting[event] = batch[event]
                    waiting.move_to_end(event, last=False)

    def _stop_sending(self, batch: dict[Event, float]) -> None:
        self._sending = [other for other in self._sending if other is not batch]

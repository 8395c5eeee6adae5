"""What has been forgotten or announced, and the messages that say so."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple, Protocol

ID_BYTES = 16

_PREFIX = b"oxaigen event 1 "


class Authenticator(Protocol):
    """Signs messages, and verifies those of other workers."""

    def sign(self, message: bytes) -> bytes:
        """Return a signature of 16 bytes, followed by the message."""
        ...

    def verify(self, signed: bytes) -> bytes | None:
        """Return the message, or None if the signature is wrong."""
        ...


class Kind(Enum):
    """What an event is about; the value is its byte in messages."""

    TOKEN = b"t"
    USER = b"u"
    ALL = b"a"
    TOPIC = b"n"


class Event(NamedTuple):
    """Something that was forgotten or announced. `ALL` has an empty id."""

    kind: Kind
    id: bytes = b""


def encode(kind: Kind, ids: Iterable[bytes]) -> bytes:
    return _PREFIX + kind.value + b"".join(ids)


def decode(message: bytes) -> list[Event]:
    """Return the events of an authentic message; none if it is of another format."""
    start = len(_PREFIX) + 1
    kind, ids = message[len(_PREFIX) : start], message[start:]
    if not message.startswith(_PREFIX) or kind not in {known.value for known in Kind}:
        return []
    if kind == Kind.ALL.value:
        return [Event(Kind.ALL)]
    return [Event(Kind(kind), ids[at : at + ID_BYTES]) for at in range(0, len(ids), ID_BYTES)]

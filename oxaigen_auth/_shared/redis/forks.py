"""Connections of a parent process, which its children must neither use nor close."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    def after_fork(self) -> object:
        """Begin anew in a child. Return what the parent uses, and the child must not close."""
        ...


_objects: WeakSet[Forked] = WeakSet()
_of_parent: list[object] = []  # collecting them would shut down connections that the parent uses


def call_after_fork(forked: Forked) -> None:
    """Call `after_fork` in each child of this process, as long as the object lives."""
    _objects.add(forked)


def _after_fork() -> None:
    _of_parent.extend(forked.after_fork() for forked in list(_objects))


getattr(os, "register_at_fork", lambda **_: None)(after_in_child=_after_fork)

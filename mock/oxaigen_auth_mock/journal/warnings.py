"""Warns of each distinct problem once."""

from collections.abc import Callable
from typing import Final

from attrs import define, field

MAX_WARNINGS: Final = 100  # distinct ones; pages of any origin can cause them


@define(eq=False)
class Warnings:
    """Pass on each warning the first time it is given.

    >>> warnings = Warnings(print)
    >>> warnings.give("once")
    once
    >>> warnings.give("once")
    """

    _warn: Callable[[str], object]
    _given: set[str] = field(factory=set[str], init=False)

    def give(self, warning: str) -> None:
        if warning not in self._given and len(self._given) < MAX_WARNINGS:
            self._given.add(warning)
            self._warn(warning)

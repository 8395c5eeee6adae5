"""Notes which users were forgotten recently, for lookups that began before.

Such a lookup may bring one of them, which is known only when it ends. Other lookups are not
affected, however often users are forgotten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from attrs import define, field

from oxaigen_auth.models import User

MAX_RECENT = 256

IsMeant: TypeAlias = Callable[[str, User], bool]  # by the base URL and the profile


@define(eq=False)
class ForgottenUsers:
    """Not thread-safe: the caller must hold a lock.

    Attributes:
        count: how many times users were forgotten. A lookup notes it when it begins.
    """

    count: int = field(default=0, init=False)
    _recent: deque[IsMeant] = field(factory=lambda: deque(maxlen=MAX_RECENT), init=False)

    def add(self, is_meant: IsMeant) -> None:
        self.count += 1
        self._recent.append(is_meant)

    def include(self, base_url: str, user: User | None, since: int) -> bool:
        """Return whether a user was forgotten since the count was `since`.

        Return True if that is not known any more. None is a user who is not known.
        """
        new = self.count - since
        if user is None or new > len(self._recent):
            return new > 0
        return any(is_meant(base_url, user) for is_meant in list(self._recent)[-new:] if new)

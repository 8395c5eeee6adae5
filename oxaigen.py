"""The documented short name: `from oxaigen import …` gives the objects of `oxaigen_auth`.

A module, not a package: another distribution owns the package of this name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import oxaigen_auth
from oxaigen_auth import __all__

if TYPE_CHECKING:
    from oxaigen_auth import *  # noqa: F403 (at runtime, this would import what few apps need)
else:

    def __getattr__(name: str) -> object:
        """Return a public name of `oxaigen_auth`."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        return getattr(oxaigen_auth, name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]

"""The documented short name: `from oxaigen import …` gives the objects of `oxaigen_auth`.

A module, not a package: another distribution owns the package of this name.
"""

from __future__ import annotations

import oxaigen_auth
from oxaigen_auth import __all__


def __getattr__(name: str) -> object:
    """Return a public name. `from oxaigen_auth import *` would import those that few apps need."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
    return getattr(oxaigen_auth, name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]

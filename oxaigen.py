"""The documented short name: `from oxaigen import …` gives the objects of `oxaigen_auth`.

A module, not a package: another distribution owns the package of this name.
"""

from __future__ import annotations

from oxaigen_auth import *  # noqa: F403 (an alias of all that is public)
from oxaigen_auth import __all__  # noqa: F401

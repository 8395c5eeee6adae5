# The types of oxaigen.py. A single module cannot say with `py.typed` that it has types (PEP 561),
# so the wheel holds this file as the stub-only package `oxaigen-stubs`.

from oxaigen_auth import *  # noqa: F403 (an alias of all that is public)
from oxaigen_auth import __all__ as __all__

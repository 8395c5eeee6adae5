"""The HTTP library, for calls that are not part of the load."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx
else:
    httpx = import_module("httpx2" if find_spec("httpx2") else "httpx")  # as the SDK does

LIBRARY = f"{httpx.__name__} {httpx.__version__}"
CONTROL_TIMEOUT = 5.0  # seconds

__all__ = ["CONTROL_TIMEOUT", "LIBRARY", "httpx"]

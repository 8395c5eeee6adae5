"""Where a sign-in may lead back to: a path of this site, and an origin that may call the mock."""

import re
from typing import Final
from urllib.parse import unquote, urlsplit

from oxaigen_auth_mock.config.constraints import ORIGIN

MAX_BYTES: Final = 4096  # of a path: its signed state has to fit into 8192 characters
MAX_ORIGIN: Final = 300
WELL_FORMED: Final = re.compile(ORIGIN)


def local_path(text: str, *, fallback: str) -> str:
    r"""Take a path, unless a browser could read it as the address of another site.

    Browsers take `\` for `/` and leave out tabs and line ends, so none of it may be there, not
    even percent-encoded, where the path itself is meant.

    >>> local_path("/reports?page=2", fallback="/")
    '/reports?page=2'
    >>> local_path("//example.com", fallback="/")
    '/'
    """
    path = unquote(re.split("[?#]", text, maxsplit=1)[0])
    fits = len(text.encode(errors="replace")) <= MAX_BYTES
    plain = text.isprintable() and path.isprintable()
    local = text.startswith("/") and not path.startswith(("//", "/\\"))
    return text if fits and plain and local else fallback


def calling_origin(header: str | None, allowed: tuple[str, ...]) -> str | None:
    """Take the origin of a call, if it is one of the web and may call the mock.

    >>> calling_origin("http://localhost:5173", ("*",))
    'http://localhost:5173'
    >>> calling_origin("null", ("*",))
    """
    if header is None or len(header) > MAX_ORIGIN or WELL_FORMED.fullmatch(header) is None:
        return None
    try:
        _ = urlsplit(header).port
    except ValueError:  # a port or an address that cannot be
        return None
    return header if "*" in allowed or header in allowed else None

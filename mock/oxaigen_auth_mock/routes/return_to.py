"""Which path and which origin a sign-in may return to."""

import re
from typing import Final
from urllib.parse import unquote, urlsplit

from oxaigen_auth_mock.config.constraints import ORIGIN

MAX_BYTES: Final = 4096  # of the path: its signed state has to fit into 8192 characters
MAX_ORIGIN: Final = 300
ORIGIN_PATTERN: Final = re.compile(ORIGIN)


def safe_return_to(text: str, *, fallback: str) -> str:
    r"""Return a local path, or the fallback if a browser could take it for another site's URL.

    Browsers treat `\` as `/` and remove tabs and newlines, so the path must not contain these,
    nor their percent-encoded forms.

    >>> safe_return_to("/reports?page=2", fallback="/")
    '/reports?page=2'
    >>> safe_return_to("//example.com", fallback="/")
    '/'
    """
    path = unquote(re.split("[?#]", text, maxsplit=1)[0])
    fits = len(text.encode(errors="replace")) <= MAX_BYTES
    printable = text.isprintable() and path.isprintable()
    local = text.startswith("/") and not path.startswith(("//", "/\\"))
    return text if fits and printable and local else fallback


def allowed_origin(header: str | None, allowed: tuple[str, ...]) -> str | None:
    """Return the origin of a call if it is a valid web origin that may call the mock, else None.

    >>> allowed_origin("http://localhost:5173", ("*",))
    'http://localhost:5173'
    >>> allowed_origin("null", ("*",))
    """
    if header is None or len(header) > MAX_ORIGIN or ORIGIN_PATTERN.fullmatch(header) is None:
        return None
    try:
        _ = urlsplit(header).port
    except ValueError:  # an invalid port or IPv6 address
        return None
    return header if "*" in allowed or header in allowed else None

"""Checks of the URLs that a user gives."""

from urllib.parse import urlsplit

from oxaigen_auth_load.http_library import CONTROL_TIMEOUT, httpx


def is_url(text: str) -> bool:
    """Return whether this is an http or https URL without a user and password."""
    try:
        url = urlsplit(text)
        has_authority = bool(url.hostname) and url.port != 0
    except ValueError:
        return False
    return (
        text.isprintable()
        and has_authority
        and url.scheme in {"http", "https"}
        and "@" not in url.netloc
    )


def is_reachable(url: str) -> bool:
    """Return whether anything answers at this URL, with any status."""
    try:
        httpx.get(url, timeout=CONTROL_TIMEOUT, trust_env=False)
    except (httpx.TransportError, httpx.InvalidURL, UnicodeError):
        return False
    return True

"""The base URL of a proxy."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit


def base_url(text: str) -> str:
    """Return a proxy base URL without its trailing slash.

    Raises:
        ValueError: not an http or https URL, or one with more than scheme, host, port and path.
    """
    if not is_base_url(text):
        raise ValueError(  # it is not shown, as it may hold a password
            "the proxy's URL is invalid: expected http or https without user, query or fragment, "
            "such as https://app.example.com"
        )
    return text.rstrip("/")


def is_base_url(value: Any) -> bool:
    if type(value) is not str or not (value.isascii() and value.isprintable()):
        return False
    try:
        url = urlsplit(value)
        has_authority = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        return False
    return has_authority and not set(value) & set(" ?#@\\")

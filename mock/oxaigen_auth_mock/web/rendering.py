"""Fills in the mock's pages: what goes into one is text, and never becomes markup by accident."""

import json
from functools import cache
from html import escape
from importlib.resources import files
from secrets import token_urlsafe
from string import Template
from typing import Final

from fastapi.responses import HTMLResponse
from starlette.status import HTTP_200_OK

from oxaigen_auth_mock.asgi.exchange import NO_STORE

POLICY: Final = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; img-src data:"
HEADERS: Final = {
    **NO_STORE,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Markup(str):
    """HTML, CSS or JavaScript that goes into a page as it is."""

    __slots__ = ()


@cache
def page_file(name: str) -> Markup:
    """Read a file that comes with the package, from its folder `pages`."""
    return Markup((files("oxaigen_auth_mock.web") / "static" / name).read_text(encoding="utf-8"))


def fill(name: str, /, **values: str) -> Markup:
    """Put values in the places of a page file; all but `Markup` are escaped.

    >>> "&lt;script&gt;" in fill("persona.html", **dict.fromkeys(
    ...     ("name", "state", "colour", "email", "roles", "permissions"), "<script>"))
    True
    """
    safe = {
        place: value if isinstance(value, Markup) else escape(value)
        for place, value in values.items()
    }
    return Markup(Template(page_file(name)).substitute(safe))


def json_markup(value: object) -> Markup:
    r"""Write JSON that can stand in a script element.

    >>> print(json_markup("</script>"))
    "\u003c/script>"
    """
    return Markup(json.dumps(value).replace("<", r"\u003c"))


def page(
    name: str, /, *, policy: str = "", status: int = HTTP_200_OK, **values: str
) -> HTMLResponse:
    """Answer a page, whose `$look` is the shared style.

    Args:
        name: its file.
        policy: what the page may do besides running the scripts and styles with its nonce.
        status: of the answer.
        values: for the places in the file.
    """
    nonce = token_urlsafe(16)
    allowed = f"{POLICY}; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; {policy}"
    content = fill(name, nonce=nonce, look=page_file("look.css"), **values)
    return HTMLResponse(content, status, {**HEADERS, "Content-Security-Policy": allowed})

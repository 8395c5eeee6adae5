"""Explains why the cookies of a sign-in will not reach the app, or belong to another mock.

A cookie belongs to a host name, whatever the port. A page may only use it in calls to its own site:
the same scheme and registrable domain. `localhost` and `127.0.0.1` are two sites.
"""

from typing import Final
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from oxaigen_auth_mock.routes.return_to import ORIGIN_PATTERN
from oxaigen_auth_mock.state import MockState

SAME_SITE: Final = ("same-origin", "same-site")


def site_problem(connection: HTTPConnection, page: str | None) -> str | None:
    """Return why a page cannot use the cookies that a mock sets, or None if it can.

    Args:
        connection: a call that the page makes. Browsers state the relation of both sites in
            `Sec-Fetch-Site`, which also holds if a proxy changes the `Host` header.
        page: the valid origin of the page; None for a page of the mock itself.
    """
    mock = f"{connection.url.scheme}://{connection.headers.get('host', '')}"
    same_site = connection.headers.get("sec-fetch-site") in SAME_SITE
    if page is None or same_site or ORIGIN_PATTERN.fullmatch(mock) is None:
        return None
    page_url, mock_url = urlsplit(page), urlsplit(mock)
    if page_url.hostname != mock_url.hostname:
        return (
            f"the page is at {page} and this mock at {mock}: the app will not receive the cookies "
            "of the sign-in, because cookies belong to one host name; open the page at "
            f"{_at_host_of(mock, page)} or call the mock at {_at_host_of(page, mock)}"
        )
    if page_url.scheme == mock_url.scheme:
        return None
    remedy = "open the page on https, or start the mock without --tls"
    return (
        f"the page is at {page} and this mock at {mock}: browsers treat http and https as two "
        "sites, so the page's calls of refresh and logout will not send the cookies of the "
        f"sign-in; {'start the mock with --tls' if page_url.scheme == 'https' else remedy}"
    )


def foreign_cookie_problem(connection: HTTPConnection, mock: MockState) -> str | None:
    """Return why the refresh cookie of a call is not one of this mock, or None.

    Only mocks set this cookie, which scripts cannot change, so that it shows which one did.
    """
    name = mock.settings.refresh_cookie
    token = connection.cookies.get(name)
    if not token or mock.provider.may_have_issued(token):
        return None
    return (
        f"another mock on this host has set the cookie {name}, because cookies do not depend on "
        "the port: each sign-in at one mock ends the session at the other; start both with "
        "--cookie-suffix auto"
    )


def _at_host_of(origin: str, other: str) -> str:
    """Return `other` with the host name of `origin`."""
    url = urlsplit(other)
    host = urlsplit(origin).netloc
    host = host[: host.rindex(":")] if urlsplit(origin).port is not None else host
    return f"{url.scheme}://{host}" + (f":{url.port}" if url.port is not None else "")

"""Which pages may call the control API."""

from ipaddress import ip_address

from fastapi import HTTPException, Request
from starlette.status import HTTP_403_FORBIDDEN

from oxaigen_auth_mock.control import get_control


def require_own_page(request: Request) -> None:
    """Refuse pages of other origins, because any site that a developer visits can call localhost.

    A site can also let its own name resolve to the mock (DNS rebinding), so that its pages appear
    to have the mock's origin.

    Raises:
        HTTPException: 403 if the origin is neither the mock's own nor listed in the settings, or
            if the mock is called by a public host name.
    """
    settings = get_control(request).state.settings
    host = request.url.hostname or ""
    if not (settings.allow_remote or host == settings.host or is_local_name(host)):
        detail = f"{host} may not control this mock; call it by its address, or as localhost."
        raise HTTPException(HTTP_403_FORBIDDEN, detail)
    origin = request.headers.get("origin")
    own = f"{request.url.scheme}://{request.headers.get('host')}"
    if origin not in (None, own, *settings.cors_origins):
        detail = f"Pages of {origin} may not control this mock; list it with --origins."
        raise HTTPException(HTTP_403_FORBIDDEN, detail)


def is_local_name(host: str) -> bool:
    """Return whether a host is an address, or a name that public name servers do not resolve.

    >>> [is_local_name(host) for host in ("127.0.0.1", "::1", "localhost", "mock", "evil.example")]
    [True, True, True, True, False]
    """
    if "." not in host or host.endswith(".localhost"):
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    return True

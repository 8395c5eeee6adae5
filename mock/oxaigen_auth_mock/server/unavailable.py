"""An app that takes the mock's place while its files have errors."""

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount
from starlette.status import HTTP_503_SERVICE_UNAVAILABLE
from starlette.types import ASGIApp

from oxaigen_auth_mock.asgi.middleware import outer_middleware


def unavailable_app(detail: str, *, allow_remote: bool) -> ASGIApp:
    """Answer every call with 503 and the detail, marked as the mock's."""
    answer = JSONResponse({"detail": detail}, HTTP_503_SERVICE_UNAVAILABLE)
    return outer_middleware(Starlette(routes=[Mount("/", answer)]), allow_remote=allow_remote)

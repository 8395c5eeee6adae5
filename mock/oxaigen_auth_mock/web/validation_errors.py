"""The response to a call with invalid data: FastAPI's, but without the data itself.

FastAPI would repeat the data, which can contain a code or a token, and would fail on values that
JSON cannot represent: NaN, infinity, a lone surrogate.
"""

import json
from typing import Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError

UNPROCESSABLE: Final = 422  # Starlette has renamed its constant


async def validation_error_response(_request: Request, error: Exception) -> Response:
    """Answer 422 with the type, the location and the message of each error."""
    errors = error.errors() if isinstance(error, RequestValidationError) else []
    detail = [{key: each[key] for key in ("type", "loc", "msg")} for each in errors]
    return Response(json.dumps({"detail": detail}), UNPROCESSABLE, media_type="application/json")


def validation_error(loc: tuple[str | int, ...], message: str) -> RequestValidationError:
    """Return an error for data of the right type that names something unknown.

    Args:
        loc: the location of the value, as in FastAPI's errors.
        message: a sentence for people.
    """
    return RequestValidationError([{"type": "unknown", "loc": loc, "msg": message}])

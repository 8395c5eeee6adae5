"""The answer to a call of the wrong shape: FastAPI's, but for what the caller sent.

FastAPI would repeat that, which is no place for a code or token, and fails where JSON cannot carry
it: NaN, infinity, half a surrogate pair.
"""

import json
from typing import Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError

UNPROCESSABLE: Final = 422  # Starlette has changed its name


async def wrong_shape(_request: Request, error: Exception) -> Response:
    """Say what is wrong, and where."""
    mistakes = error.errors() if isinstance(error, RequestValidationError) else []
    told = [{part: each[part] for part in ("type", "loc", "msg")} for each in mistakes]
    return Response(
        json.dumps({"detail": told}),
        UNPROCESSABLE,
        media_type="application/json",
    )


def refused(loc: tuple[str | int, ...], message: str) -> RequestValidationError:
    """Refuse what has the right shape, but names what is not there; `loc` is FastAPI's."""
    return RequestValidationError([{"type": "unknown", "loc": loc, "msg": message}])

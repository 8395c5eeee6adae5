"""The documented entry point of the mock auth proxy, which is in `oxaigen_auth_mock`.

`hypercorn oxaigen_auth.dev.mock_server:app` serves it, and so does uvicorn. Importing this module
reads no environment: `app` does that when a server first calls it.
"""

import sys
from functools import cached_property

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from oxaigen_auth_mock import MockConfigurationError
from oxaigen_auth_mock import create_app as create_mock_app
from oxaigen_auth_mock.cli.main import main

__all__ = ["app", "create_mock_app", "main"]


class _AppOnFirstCall:
    """Builds its mock when it is first called.

    A module `__getattr__` works with uvicorn, but not with hypercorn, which reads `__dict__`.
    """

    @cached_property
    def mock(self) -> FastAPI:
        return create_mock_app()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            mock = self.mock
        except MockConfigurationError as error:
            if scope["type"] != "lifespan":
                raise
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await mock(scope, receive, send)


app: ASGIApp = _AppOnFirstCall()

if __name__ == "__main__":
    sys.exit(main())

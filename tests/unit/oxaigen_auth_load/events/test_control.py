from __future__ import annotations

import anyio
import pytest

from oxaigen_auth_load.events.control import mock_api
from oxaigen_auth_load.events.event import EventError


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_mock_that_cannot_be_asked_is_an_error_without_the_token(backend: str) -> None:
    async def revoke() -> None:
        async with mock_api("http://127.0.0.1:9") as mock:
            await mock.revoke("secret-token")

    with pytest.raises(EventError, match="the embedded mock failed: POST revocations") as caught:
        anyio.run(revoke, backend=backend)
    assert "secret-token" not in str(caught.value)

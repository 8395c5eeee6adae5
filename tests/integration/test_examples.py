"""The apps and scripts of docs/examples, started as their users do, against a running mock.

`docs/examples/tests/` has the tests of what they do. `test_websockets.py` serves the chat.
"""

from __future__ import annotations

import os
import re
import sys

import anyio
import httpx
import pytest

from oxaigen_auth_mock import MockSettings, Persona, RunningMock, running_mock
from tests.support.example_servers import HTTP_SERVERS, TIMEOUT, example_under
from tests.support.paths import ROOT

pytestmark = pytest.mark.anyio
# The client of the tests runs on asyncio.
on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])

EXAMPLES = ROOT / "docs/examples"
ADA = Persona(name="ada", token="adas-token", roles=("owner",), permissions=("audit", "export"))
BOB = Persona(name="bob", token="bobs-token")

# For each app: the path that needs the permission `audit`, and the one that signs out.
APPS = {
    "app": ("/v1/audit", "/v1/sign-out"),
    "without_middleware": ("/v1/reports/q1", "/v1/sign-out"),
    "starlette_app": ("/audit", "/sign-out"),
    "gateway": ("/v1/exports", "/v1/sign-out"),
}


def settings_of(example: str, mock: RunningMock) -> dict[str, str]:
    if example == "gateway":  # the host of each request is that of its proxy
        return {"PROXY_SCHEME": "http", "ALLOWED_HOSTS": "127.0.0.1:*"}
    return {"DEV_MODE": "1", "DEV_PROXY_URL": mock.url}


@on_asyncio
@pytest.mark.parametrize("server", HTTP_SERVERS)
@pytest.mark.parametrize("example", APPS)
async def test_an_app_admits_and_refuses_under_each_server(example: str, server: str) -> None:
    protected, sign_out = APPS[example]
    async with (
        running_mock(personas=[ADA, BOB]) as mock,
        example_under(HTTP_SERVERS[server], example, **settings_of(example, mock)) as host,
        httpx.AsyncClient(base_url=f"http://{host}", timeout=TIMEOUT) as http,
    ):
        http.headers["X-Forwarded-Host"] = mock.url.removeprefix("http://")
        ada, bob = ({"Authorization": f"Bearer {it}"} for it in ("adas-token", "bobs-token"))
        guest: dict[str, str] = {}

        async def status(path: str, headers: dict[str, str]) -> int:
            return (await http.get(path, headers=headers)).status_code

        refused = 403 if example == "starlette_app" else 401  # `@requires` answers 403
        assert [await status(protected, it) for it in (ada, bob, guest)] == [200, 403, refused]
        mock.revoke("adas-token")
        assert await status(protected, ada) == 200  # from the cache
        assert (await http.post(sign_out, headers=ada)).status_code == 204
        assert await status(protected, ada) == refused

        assert await status("/ready", guest) == 200
        mock.fault("status", status=503)
        with anyio.fail_after(TIMEOUT):
            # The answer is cached for a second.
            while await status("/ready", guest) == 200:  # noqa: ASYNC110 (another process)
                await anyio.sleep(0.1)
        assert await status("/ready", guest) == 503


@on_asyncio
@pytest.mark.parametrize("script", ["worker", "threads"])
async def test_a_script_checks_who_ordered_its_jobs(script: str) -> None:
    async with running_mock(MockSettings(personas=str(EXAMPLES / "personas.toml"))) as mock:
        ended = await anyio.run_process(
            [sys.executable, "-W", "error", f"{script}.py", "jobs.txt"],
            cwd=EXAMPLES,
            env={**os.environ, "OXAIGEN_AUTH_PROXY_URL_OVERRIDE": mock.url},
        )
    assert sorted(ended.stdout.decode().splitlines()) == [
        "plans: Invalid token",
        "report: exported for ada",
        "secrets: refused to devuser",
    ]
    assert ended.stderr == b""


def test_the_readme_lists_each_example() -> None:
    listed = set(re.findall(r"\]\(([\w.]+?)/?\)", (EXAMPLES / "README.md").read_text()))
    names = {it.name for it in EXAMPLES.iterdir()} - {"README.md", "tests", "__pycache__"}
    assert names <= listed

"""The hook of docs/security.md keeps tokens out of crash reports, which show them without it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from base64 import urlsafe_b64encode
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from starlette.requests import Request

from oxaigen_auth import OxaigenAuthSettings
from tests.support.paths import ROOT
from tests.support.tokens import OTHER, TOKEN

if TYPE_CHECKING:
    from types import ModuleType

EXAMPLE = ROOT / "docs/examples/crash_reports.py"

# A process of its own, because sentry-sdk changes Starlette and FastAPI for good.
CRASH = """
import json, os, sys
import anyio, httpx, sentry_sdk
from sentry_sdk.integrations.fastapi import FastApiIntegration
from sentry_sdk.integrations.starlette import StarletteIntegration
from sentry_sdk.transport import Transport
from fastapi import Depends, FastAPI, Request
from oxaigen_auth import (
    OxaigenAuthMiddleware, User, aclose_client, extract_bearer_token, get_current_user
)
from tests.support.fake_proxy import FakeProxy
from tests.support.raw_server import PROFILE, answer, serving
from tests.support.tokens import TOKEN
from crash_reports import COOKIE, scrub_tokens

sent = []

class InMemory(Transport):
    def capture_envelope(self, envelope):
        sent.extend((item.type, item.payload.get_bytes().decode()) for item in envelope.items)

app = FastAPI()
app.add_middleware(OxaigenAuthMiddleware)

@app.get("/{way}")
async def crash(way: str, request: Request, user: User = Depends(get_current_user)):
    if way == "untouched":
        raise ValueError("a route that does nothing with its request")
    mine = [extract_bearer_token(request)]
    cookies, headers, text = dict(request.cookies), dict(request.headers), repr(request.headers)
    sentry_sdk.add_breadcrumb(message=text, data={"headers": headers, "cookies": cookies})
    sentry_sdk.set_context("caller", {"said": mine})
    if way == "captured":
        try:
            raise KeyError(mine[0])
        except KeyError as error:
            sentry_sdk.capture_exception(error)
    raise ValueError(f"no place for {mine}")

COMMON = {
    "dsn": "http://key@127.0.0.1:9/1",
    "transport": InMemory,
    "release": "1",
    "traces_sample_rate": 1.0,
    "auto_enabling_integrations": False,  # it would import dozens of libraries to look for them
    "integrations": [StarletteIntegration(), FastApiIntegration()],
}
HOOKS = {"before_send": scrub_tokens, "before_send_transaction": scrub_tokens}
REQUESTS = {
    "header": {"authorization": f"Bearer {TOKEN}"},
    "cookie": {"cookie": f"a=b; {COOKIE}={TOKEN}", **{f"x-{n}": "1" for n in range(20)}},
}

async def crashes(hooks, pii, headers, way):
    sent.clear()
    sentry_sdk.init(**COMMON, **hooks, send_default_pii=pii)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://app.example.com") as client:
        status = (await client.get(f"/{way}", headers=headers)).status_code
        assert status == (502 if way == "outage" else 500)
    return [(kind, text.count(TOKEN), text.count("Error")) for kind, text in sent]

async def crash_all(ways, answer_of_proxy):
    report = {}
    async with serving(FakeProxy(answer_of_proxy)) as server:
        os.environ["OXAIGEN_AUTH_PROXY_URL_OVERRIDE"] = server.url
        await aclose_client()
        for source, headers in REQUESTS.items():
            for way in ways:
                for pii in (False, True):
                    for name, hooks in {"without": {}, "with": HOOKS}.items():
                        report[f"{name} {source} {way} {pii}"] = await crashes(
                            hooks, pii, headers, way
                        )
    return report

async def main():
    crashed = await crash_all(["untouched", "raised", "captured"], answer(200, PROFILE))
    print(json.dumps(crashed | await crash_all(["outage"], answer(503))))

anyio.run(main)
sentry_sdk.init()
"""


@cache
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("crash_reports", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reports() -> dict[str, list[tuple[str, int, int]]]:
    """What sentry-sdk would send, by hook, source of the token, way and `send_default_pii`.

    Of each item its kind, how often it shows the token, and how often an exception's name.
    """
    code = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(EXAMPLE.parent)!r}]\n{CRASH}"
    run = [sys.executable, "-c", code]
    ended = subprocess.run(run, check=True, capture_output=True, text=True, cwd=ROOT)  # noqa: S603 (our own code)
    found: dict[str, list[tuple[str, int, int]]] = json.loads(ended.stdout)
    return found


def test_a_crash_report_shows_the_token_unless_it_is_scrubbed(reports: Any) -> None:
    """Also with `send_default_pii=False`, which is the default."""
    cases = [items for name, items in reports.items() if name.startswith("without")]
    assert len(cases) == 16
    for items in cases:
        events = [count for kind, count, _ in items if kind == "event"]
        assert events
        assert all(count > 0 for count in events)


def test_no_crash_report_shows_the_token_once_it_is_scrubbed(reports: Any) -> None:
    cases = [items for name, items in reports.items() if name.startswith("with ")]
    assert len(cases) == 16
    for items in cases:
        assert {kind for kind, _, _ in items} >= {"event", "transaction"}
        assert all(count == 0 for _, count, _ in items)
        assert any(names for kind, _, names in items if kind == "event")  # it is not emptied


@pytest.mark.parametrize(
    "text",
    [
        f"Bearer {TOKEN}",
        f"b'BEARER {TOKEN}'",
        f"a=b; OxaigenPlatformAuthAccessToken={TOKEN}; c=d",
        f'OxaigenPlatformAuthAccessToken="{TOKEN}"',
        f"{{'OxaigenPlatformAuthAccessToken': '{TOKEN}'}}",
        f'{{"OxaigenPlatformAuthAccessToken":"{TOKEN}"}}',
        f"(b'OxaigenPlatformAuthAccessToken', b'x'), 'Bearer  {TOKEN}'",
    ],
)
def test_a_token_is_scrubbed_after_its_scheme_or_cookie_name(text: str) -> None:
    event = {"message": text, "extra": {"list": [(text, 1)], text: None}}
    scrubbed = example().scrub_tokens(event, {})
    assert TOKEN not in repr(scrubbed)
    assert repr(scrubbed).count("[Filtered]") == 3
    assert scrubbed["extra"]["list"][0][1] == 1


@pytest.mark.parametrize("token", [TOKEN, f"{TOKEN},;'\"{{}}", f"{TOKEN}\\x"])
def test_a_token_of_the_current_request_is_scrubbed_under_any_name(token: str) -> None:
    headers = [(b"authorization", f"Bearer {token}".encode()), (b"cookie", b"=; a; b=c")]
    scope = {"type": "http", "headers": headers}
    event = {"vars": {"mine": repr(token), "kept": "text"}, "message": f"no {token} here"}
    scrubbed = example().scrub_tokens(event, {"exc_info": None})
    assert scope
    assert scrubbed["vars"]["kept"] == "text"
    assert scrubbed["message"] == "no [Filtered] here"
    assert TOKEN not in repr(scrubbed)


def test_a_token_of_the_request_that_failed_is_scrubbed_under_any_name() -> None:
    def fail(request: Request) -> None:
        raise ValueError(request)

    cookie = f"OxaigenPlatformAuthAccessToken={OTHER}"
    scope = {"type": "websocket", "headers": [(b"cookie", cookie.encode())]}
    with pytest.raises(ValueError, match="Request") as caught:
        fail(Request({**scope, "type": "http"}))
    hint = {"exc_info": (caught.type, caught.value, caught.tb)}
    del scope, cookie
    assert example().scrub_tokens({"message": OTHER}, hint) == {"message": "[Filtered]"}


@pytest.mark.parametrize("name", ["sec-websocket-protocol", "Sec-WebSocket-Protocol"])
def test_a_token_among_the_sub_protocols_is_scrubbed(name: str) -> None:
    encoded = urlsafe_b64encode(TOKEN.encode()).decode().rstrip("=")
    prefix = "base64url.bearer.authorization.oxaigen."
    offered = f"chat, {prefix}a, {prefix}{encoded}"
    scope = {"type": "websocket", "headers": [(name.lower().encode(), offered.encode())]}
    event = {"headers": {name: offered}, "message": f"no {TOKEN} here"}
    scrubbed = example().scrub_tokens(event, {})
    assert scope
    assert scrubbed["message"] == "no [Filtered] here"
    assert scrubbed["headers"][name].endswith("oxaigen.[Filtered]")


def test_a_cookie_that_was_parsed_is_scrubbed_by_its_name() -> None:
    event = {"cookies": {"a": "b", "OxaigenPlatformAuthAccessToken": "short"}}
    kept = {"a": "b", "OxaigenPlatformAuthAccessToken": "[Filtered]"}
    assert example().scrub_tokens(event, {}) == {"cookies": kept}


def test_a_token_that_is_no_secret_does_not_spoil_the_report() -> None:
    scope = {"type": "http", "headers": [(b"authorization", b"Bearer e")]}
    assert scope
    assert example().scrub_tokens({"message": "here"}, {}) == {"message": "here"}


def test_the_example_names_the_cookie_of_the_settings() -> None:
    assert OxaigenAuthSettings().access_token_cookie_name == example().COOKIE

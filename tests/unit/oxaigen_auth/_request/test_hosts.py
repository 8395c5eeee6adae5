from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import Depends, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from oxaigen_auth import OxaigenAuthSettings, derive_proxy_base_url
from oxaigen_auth._request.credentials import combined_headers
from oxaigen_auth._request.hosts import RefusedHosts, derive_base_url
from oxaigen_auth.errors import OxaigenAuthUntrustedHostError
from tests.support.apps import TestClient, connection

if TYPE_CHECKING:
    from collections.abc import Mapping

hosts = st.binary() | st.sampled_from([b"app.example.com", b"App:8443", b"[::1]", b"a@b", b"a/b"])


@given(st.lists(st.tuples(st.sampled_from([b"host", b"x-forwarded-host"]), hosts), max_size=3))
def test_headers_of_any_bytes_give_a_base_url_or_an_error(
    headers: list[tuple[bytes, bytes]],
) -> None:
    try:
        url = derive_proxy_base_url(HTTPConnection({"type": "http", "headers": headers}))
    except OxaigenAuthUntrustedHostError:
        return
    assert url.startswith("https://")
    assert not set(url.removeprefix("https://")) & set("/\\?#@ ")


def base(headers: Mapping[str, str], **settings: Any) -> str:
    found = combined_headers(connection(*headers.items()).scope)
    return derive_base_url(found, OxaigenAuthSettings(**settings))


def test_the_base_url_is_that_of_the_requests_host() -> None:
    assert base({"host": "App.example.com"}) == "https://app.example.com"
    assert base({"host": "app.example.com:8443"}) == "https://app.example.com:8443"
    assert base({"host": "app:80"}, proxy_scheme="http") == "http://app"


def test_the_forwarded_host_comes_before_the_host() -> None:
    headers = {"host": "internal:8000", "x-forwarded-host": "app.example.com"}
    assert base(headers) == "https://app.example.com"


def test_the_settings_come_before_the_request(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = connection(("host", "not a host"))
    monkeypatch.setenv("OXAIGEN_AUTH_DEV_MODE", "1")
    assert derive_proxy_base_url(broken) == "http://127.0.0.1:8765"
    monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", "https://p/")
    assert derive_proxy_base_url(broken) == "https://p"
    assert not caplog.records


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ([], "missing or malformed"),
        ([("host", "")], "missing or malformed"),
        ([("host", "a.example.com"), ("host", "a.example.com")], "missing or malformed"),
        ([("host", "a.example.com, a.example.com")], "missing or malformed"),
        ([("host", "a.example.com"), ("x-forwarded-host", "")], "missing or malformed"),
        ([("x-forwarded-host", "a.example.com, b.example.com")], "several values"),
        ([("x-forwarded-host", "a.example.com,")], "several values"),
        (
            [("host", "a.example.com")] + [("x-forwarded-host", "a.example.com")] * 2,
            "several values",
        ),
        ([("host", "evil.example.com/?x=a.example.com")], "missing or malformed"),
        ([("host", "user@evil.example.com")], "missing or malformed"),
    ],
)
def test_a_missing_ambiguous_or_malformed_host_is_refused_and_logged(
    headers: list[tuple[str, str | bytes]], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(OxaigenAuthUntrustedHostError, match=r"^Invalid host header$"):
        derive_proxy_base_url(connection(*headers))
    (record,) = caplog.records
    assert why in record.getMessage()
    assert "OXAIGEN_AUTH_" in record.getMessage()


@pytest.mark.parametrize(
    ("forwarded", "url"),
    [
        (["app.example.com, evil.example.org"], "https://app.example.com"),
        (["app.example.com", "evil.example.org"], "https://app.example.com"),
        (["App.example.com:443\t , b", "c"], "https://app.example.com"),
        (["app.example.com,"], "https://app.example.com"),
        (["evil.example.org, app.example.com"], None),
        (["evil.example.org", "app.example.com"], None),
        ([", app.example.com"], None),
        (["", "app.example.com"], None),
        (["app.example.com b, app.example.com"], None),
    ],
)
def test_the_first_of_several_forwarded_hosts_counts_if_it_is_allowed(
    forwarded: list[str], url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_ALLOWED_HOSTS", "*.example.com")
    headers = [("x-forwarded-host", value) for value in forwarded]
    request = connection(("host", "app.example.com"), *headers)
    if url is None:
        with pytest.raises(OxaigenAuthUntrustedHostError):
            derive_proxy_base_url(request)
    else:
        assert derive_proxy_base_url(request) == url


def test_several_host_headers_are_refused_even_with_allowed_hosts() -> None:
    for value in (b"app.example.com,app.example.com", b"app.example.com\napp.example.com"):
        with pytest.raises(OxaigenAuthUntrustedHostError):
            derive_base_url(
                {b"host": value}, OxaigenAuthSettings(allowed_hosts=("app.example.com",))
            )


def test_pitfall_19_a_host_that_is_not_allowed_is_refused_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    allowed = ("*.example.com",)
    assert base({"host": "app.example.com"}, allowed_hosts=allowed) == "https://app.example.com"
    assert not caplog.records
    for headers in (
        {"host": "evil.example.org"},
        {"host": "app.example.com", "x-forwarded-host": "evil.example.org"},
    ):
        with pytest.raises(OxaigenAuthUntrustedHostError, match=r"^Invalid host header$"):
            base(headers, allowed_hosts=allowed)
    assert [record.getMessage() for record in caplog.records] == [
        (
            "Refused a request for host 'evil.example.org': OXAIGEN_AUTH_ALLOWED_HOSTS does not "
            "list it; add it there if this app is served under it"
        )
    ]


def test_a_flood_of_refused_hosts_is_one_line_a_minute_for_each_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now, listed = 0.0, ("app.example.com",)
    refusals = RefusedHosts(lambda: now)
    for _ in range(60):
        for number in range(20):
            name = f"{number}.example.org".encode()
            refusals.note({b"host": name}, "https", listed)
            refusals.note({b"x-forwarded-host": name + b", app.example.com"}, "https", listed)
            refusals.note({b"x-forwarded-host": name + b", app.example.com"}, "https", ())
            refusals.note({b"host": name + b"/"}, "https", ())
        now += 2
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3 * 2
    assert len(set(lines)) == 3
    assert all("0.example.org" in line for line in lines)


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        (b"bad\r\n\x1b[31m h\xc3\xb6st", r"'bad\r\n\x1b[31m h\xc3\xb6st'"),
        (b"ada:hunter2@app/", "'***@app/'"),
        (b"x" * 300 + b":hunter2@" + b"y" * 300, f"'***@{'y' * 96}'…"),
        (b"z" * 1_000_000, f"'{'z' * 100}'…"),
    ],
)
def test_a_refused_host_is_logged_shortened_and_escaped(
    host: bytes, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(OxaigenAuthUntrustedHostError):
        derive_proxy_base_url(connection(("host", host)))
    (record,) = caplog.records
    assert f"host {shown}: it is missing or malformed" in record.getMessage()


def test_accepting_any_host_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    for host in ("a.example.com", "b.example.com"):
        base({"host": host})
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.name == "oxaigen_auth"
    assert "OXAIGEN_AUTH_ALLOWED_HOSTS" in record.getMessage()


def test_the_base_url_may_be_a_dependency() -> None:
    app = FastAPI()

    @app.get("/")
    async def show(url: str = Depends(derive_proxy_base_url)) -> str:
        return url

    client = TestClient(app, base_url="http://app.example.com")
    assert client.get("/").json() == "https://app.example.com"
    assert "parameters" not in app.openapi()["paths"]["/"]["get"]

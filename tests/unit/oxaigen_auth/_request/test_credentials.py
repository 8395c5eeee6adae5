from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection, Request, cookie_parser
from starlette.websockets import WebSocket

from oxaigen_auth import (
    OxaigenAuthSettings,
    OxaigenAuthUnauthenticatedError,
    derive_proxy_base_url,
    extract_bearer_token,
)
from oxaigen_auth._request.credentials import combined_headers
from oxaigen_auth._request.hosts import RefusedHosts, derive_base_url
from oxaigen_auth._syntax.tokens import MAX_TOKEN
from oxaigen_auth.client import default_client
from oxaigen_auth.errors import OxaigenAuthUntrustedHostError
from tests.support.heap_search import Graph
from tests.support.tokens import MARK, OTHER, TOKEN

if TYPE_CHECKING:
    from collections.abc import Mapping

COOKIE = "OxaigenPlatformAuthAccessToken"
LONGEST = TOKEN.ljust(MAX_TOKEN, "a")


def connection(*headers: tuple[str, str | bytes], kind: str = "http") -> HTTPConnection:
    raw = [(k.encode(), v if isinstance(v, bytes) else v.encode("latin-1")) for k, v in headers]
    scope: dict[str, Any] = {"type": kind, "headers": raw}
    return HTTPConnection(scope)


def token(*headers: tuple[str, str | bytes]) -> str | None:
    return extract_bearer_token(connection(*headers))


@pytest.mark.parametrize(
    "header",
    [
        f"Bearer {TOKEN}",
        f"bearer {TOKEN}",
        f"BEARER {TOKEN}",
        f"Bearer   {TOKEN}",
        f"  Bearer {TOKEN}\t ",
        f"Bearer \t{TOKEN}",
    ],
)
def test_the_scheme_is_bearer_in_any_case_and_the_rest_is_the_token(header: str) -> None:
    assert token(("authorization", header)) == TOKEN


def test_the_header_comes_before_the_cookie() -> None:
    both = ("cookie", f"{COOKIE}={OTHER}"), ("authorization", f"Bearer {TOKEN}")
    assert token(*both) == TOKEN
    assert token(both[0]) == OTHER


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "bearer \t ",
        "Basic YWRhOng=",
        f"Token {TOKEN}",
        TOKEN,
        f"Bearer{TOKEN}",
        " ",
    ],
)
def test_pitfall_24_another_scheme_or_nothing_after_bearer_counts_as_no_header(header: str) -> None:
    assert token(("authorization", header)) is None
    cookie = ("cookie", f"{COOKIE}={OTHER}")
    assert token(("authorization", header), cookie) == OTHER


def test_without_header_and_cookie_there_is_no_token() -> None:
    assert token() is None
    assert token(("cookie", "")) is None
    assert token(("cookie", "other=x; OxaigenPlatformAuthAccessToken2=y")) is None
    assert token(("x-authorization", f"Bearer {TOKEN}")) is None


@pytest.mark.parametrize(
    "pair",
    [
        (f"Bearer {TOKEN}", f"Bearer {OTHER}"),
        (f"Bearer {TOKEN}", f"Bearer {TOKEN}"),
        ("Basic YWRhOng=", f"Bearer {TOKEN}"),
        ("", ""),
    ],
)
def test_pitfall_24_several_authorization_headers_are_refused_and_none_is_taken(
    pair: tuple[str, str],
) -> None:
    with pytest.raises(OxaigenAuthUnauthenticatedError, match=r"^More than one Authorization hea"):
        token(*[("authorization", header) for header in pair])


@pytest.mark.parametrize(
    "bad",
    [
        f"{TOKEN} b",
        f"{TOKEN}, Bearer b",
        "caf\xe9",
        "a\x00b",
        "a\x7f",
        "a\tb",
        "\xa0",
        LONGEST + "a",
    ],
)
def test_a_malformed_token_is_refused_and_not_shown(bad: str) -> None:
    with pytest.raises(OxaigenAuthUnauthenticatedError) as caught:
        token(("authorization", f"Bearer {bad}"))
    assert caught.value.message == "Invalid token"
    assert bad not in repr(caught.value)


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", f"Bearer {TOKEN} b")],
        [("authorization", f"Bearer {TOKEN}"), ("authorization", f"Bearer {OTHER}")],
        [("cookie", f"{COOKIE}={TOKEN}; {COOKIE}={OTHER}")],
    ],
)
def test_a_refusal_keeps_no_token_in_its_traceback(headers: list[tuple[str, str]]) -> None:
    given = connection(*headers)
    with pytest.raises(OxaigenAuthUnauthenticatedError) as caught:
        extract_bearer_token(given)
    assert Graph(MARK, is_end=lambda thing: thing is given).find(caught.value) == []


def test_a_cookie_does_not_replace_a_malformed_header() -> None:
    with pytest.raises(OxaigenAuthUnauthenticatedError):
        token(("authorization", f"Bearer {TOKEN} b"), ("cookie", f"{COOKIE}={OTHER}"))


def test_a_token_may_have_8_kib() -> None:
    assert token(("authorization", f"Bearer {LONGEST}")) == LONGEST
    assert token(("cookie", f"{COOKIE}={LONGEST}")) == LONGEST
    with pytest.raises(OxaigenAuthUnauthenticatedError):
        token(("cookie", f"{COOKIE}={LONGEST}a"))


@pytest.mark.parametrize(
    "cookie",
    [
        f"{COOKIE}={TOKEN}",
        f"a=b; {COOKIE}={TOKEN}; c=d",
        f"{COOKIE}={TOKEN};",
        f"a=b;{COOKIE}={TOKEN}",
        f'{COOKIE}="{TOKEN}"',
        f"{COOKIE} = {TOKEN}",
        f"; ; =x; junk; {COOKIE}={TOKEN}",
        f"{COOKIE}=; {COOKIE}={TOKEN}",
        f"{COOKIE}={TOKEN}; {COOKIE}={TOKEN}",
    ],
)
def test_the_cookie_is_found_among_others(cookie: str) -> None:
    assert token(("cookie", cookie)) == TOKEN


def test_the_cookie_is_found_in_any_of_several_cookie_headers() -> None:
    headers = [("cookie", "a=b"), ("cookie", f"{COOKIE}={TOKEN}"), ("cookie", "c=d")]
    for _ in headers:
        headers.append(headers.pop(0))
        assert token(*headers) == TOKEN


@pytest.mark.parametrize("between", ["; ", "|"])
def test_pitfall_24_two_different_access_cookies_are_refused(between: str) -> None:
    values = f"{COOKIE}={TOKEN}{between}{COOKIE}={OTHER}".split("|")
    with pytest.raises(OxaigenAuthUnauthenticatedError, match=r"^More than one access cookie$"):
        token(*[("cookie", value) for value in values])


def test_a_cookie_that_cannot_be_a_token_is_refused() -> None:
    for bad in ("a b", '"\\040"', "caf\xe9"):
        with pytest.raises(OxaigenAuthUnauthenticatedError, match=r"^Invalid token$"):
            token(("cookie", f"{COOKIE}={bad}"))


def test_the_name_of_the_cookie_is_the_argument_or_from_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_ACCESS_TOKEN_COOKIE_NAME", "configured")
    cookies = connection(("cookie", f"configured={TOKEN}; argument={OTHER}; {COOKIE}={MARK}"))
    assert extract_bearer_token(cookies) == TOKEN
    assert extract_bearer_token(cookies, cookie_name="argument") == OTHER
    assert extract_bearer_token(cookies, cookie_name="absent") is None


# Whatever a header may hold: all but the line break.
cookie_texts = st.text(
    st.sampled_from('ab;="\\ \t\x0c\x1f\x85\xa0,01237') | st.characters(max_codepoint=255),
    max_size=30,
).map(lambda text: text.replace("\n", ""))


starts = [f'{COOKIE}="', f"{COOKIE}=", f' {COOKIE}\xa0= "', f"{COOKIE}2="]


@given(cookie_texts, st.sampled_from(starts), cookie_texts, st.sampled_from(['"', '"; ', ""]))
def test_a_cookie_has_the_value_that_starlette_reads(
    before: str, start: str, value: str, end: str
) -> None:
    header = f"{before};{start}{value}{end};{before}"
    found = cookie_parser(header).get(COOKIE)
    if found and not all("!" <= character <= "~" for character in found):
        with pytest.raises(OxaigenAuthUnauthenticatedError, match=r"^Invalid token$"):
            token(("cookie", header))
    else:
        assert token(("cookie", header)) == (found or None)


def test_a_cookie_that_is_too_long_is_refused_before_it_is_unquoted() -> None:
    for value in ('"' + "\\141" * MAX_TOKEN + '"', '"' + "a" * MAX_TOKEN + 'a"'):
        with pytest.raises(OxaigenAuthUnauthenticatedError, match=r"^Invalid token$"):
            token(("cookie", f"{COOKIE}={value}"))
    assert token(("cookie", f'{COOKIE}="{LONGEST}"')) == LONGEST
    assert token(("cookie", f'{COOKIE}="\\{TOKEN}\\041"')) == f"{TOKEN}!"


values = st.binary(max_size=60) | st.sampled_from(
    [b"Bearer x", b"Bearer ", b"bearer\xa0x", b"Basic x", f"{COOKIE}=x".encode(), b'="\\']
)
fields = st.lists(
    st.tuples(st.sampled_from([b"authorization", b"cookie", b"other"]), values)
    | st.tuples(
        st.just(b"authorization"), st.binary(max_size=20).map(lambda text: b"Bearer " + text)
    )
    | st.tuples(
        st.just(b"cookie"), st.binary(max_size=20).map(lambda text: f"{COOKIE}=".encode() + text)
    ),
    max_size=3,
)


@given(fields)
def test_headers_of_any_bytes_give_a_printable_token_none_or_an_error(
    headers: list[tuple[bytes, bytes]],
) -> None:
    try:
        found = extract_bearer_token(HTTPConnection({"type": "http", "headers": headers}))
    except OxaigenAuthUnauthenticatedError:
        return
    if found is not None:
        assert 0 < len(found) <= MAX_TOKEN
        assert all("!" <= character <= "~" for character in found)


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


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_requests_and_websockets_are_accepted(kind: str) -> None:
    scope = connection(
        ("authorization", f"Bearer {TOKEN}"), ("host", "app.example.com"), kind=kind
    ).scope

    async def never(*_: Any) -> Any: ...

    either = Request(scope) if kind == "http" else WebSocket(scope, never, never)
    assert extract_bearer_token(either) == TOKEN
    assert derive_proxy_base_url(either) == "https://app.example.com"


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


@pytest.mark.parametrize("anything", ["cookie", "host"])
def test_pitfall_57_reading_a_request_does_not_fix_the_settings_of_the_process(
    monkeypatch: pytest.MonkeyPatch, anything: str
) -> None:
    request = connection((anything, "x"), ("cookie", f"mine={TOKEN}"), ("host", "app.example.com"))
    assert extract_bearer_token(request) is None
    monkeypatch.setenv("OXAIGEN_AUTH_ACCESS_TOKEN_COOKIE_NAME", "mine")
    monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", "https://first")
    assert extract_bearer_token(request) == TOKEN
    assert derive_proxy_base_url(request) == "https://first"
    assert default_client().base_url == "https://first"
    monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", "https://second")
    assert derive_proxy_base_url(request) == "https://first"


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
            "list it; add it there if this app is reached under it"
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


def test_the_connection_is_passed_by_position() -> None:
    for function in (extract_bearer_token, derive_proxy_base_url):
        form: Any = function
        with pytest.raises(TypeError, match=rf"write {function.__name__}\(request, …\)"):
            form(request=connection())
        with pytest.raises(TypeError, match="unexpected keyword argument 'cookie'"):
            form(connection(), cookie="x")


def test_accepting_any_host_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    for host in ("a.example.com", "b.example.com"):
        base({"host": host})
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.name == "oxaigen_auth"
    assert "OXAIGEN_AUTH_ALLOWED_HOSTS" in record.getMessage()

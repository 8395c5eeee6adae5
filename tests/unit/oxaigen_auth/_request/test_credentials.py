from __future__ import annotations

from typing import Any

import pytest
from fastapi import Depends, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection, Request, cookie_parser
from starlette.websockets import WebSocket

from oxaigen_auth import (
    OxaigenAuthUnauthenticatedError,
    derive_proxy_base_url,
    extract_bearer_token,
)
from oxaigen_auth._default_client import default_client
from oxaigen_auth._syntax.tokens import MAX_TOKEN
from tests.support.apps import TestClient, connection
from tests.support.heap_search import Graph
from tests.support.tokens import MARK, OTHER, TOKEN

COOKIE = "OxaigenPlatformAuthAccessToken"
LONGEST = TOKEN.ljust(MAX_TOKEN, "a")


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


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_requests_and_websockets_are_accepted(kind: str) -> None:
    scope = connection(
        ("authorization", f"Bearer {TOKEN}"), ("host", "app.example.com"), kind=kind
    ).scope

    async def never(*_: Any) -> Any: ...

    either = Request(scope) if kind == "http" else WebSocket(scope, never, never)
    assert extract_bearer_token(either) == TOKEN
    assert derive_proxy_base_url(either) == "https://app.example.com"


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


def test_the_connection_is_passed_by_position() -> None:
    for function in (extract_bearer_token, derive_proxy_base_url):
        form: Any = function
        with pytest.raises(TypeError, match=rf"write {function.__name__}\(request, …\)"):
            form(request=connection())
        with pytest.raises(TypeError, match="unexpected keyword argument 'cookie'"):
            form(connection(), cookie="x")


def test_as_a_dependency_no_request_chooses_the_cookie() -> None:
    app = FastAPI()

    @app.get("/")
    async def show(token: str | None = Depends(extract_bearer_token)) -> bool:
        return token == TOKEN

    client = TestClient(app, headers={"cookie": f"session={OTHER}; {COOKIE}={TOKEN}"})
    assert client.get("/", params={"cookie_name": "session"}).json() is True
    assert "parameters" not in app.openapi()["paths"]["/"]["get"]

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxaigen_auth._syntax.shared_store_urls import (
    AutoUrl,
    RedisUrl,
    SharedStoreUrl,
    SqliteUrl,
    is_shared_by_hosts,
    is_shared_store_url,
    parse_shared_store_url,
    shown_shared_store_url,
)

GOOD: list[tuple[str, SharedStoreUrl]] = [
    ("sqlite:////run/my_app/auth.db", SqliteUrl("/run/my_app/auth.db")),
    ("sqlite:////a", SqliteUrl("/a")),
    ("sqlite:////run/my app/...db/.hidden", SqliteUrl("/run/my app/...db/.hidden")),
    ("auto:my_app", AutoUrl("my_app")),
    ("auto:App-1.2", AutoUrl("App-1.2")),
    ("redis://h", RedisUrl(host="h")),
    ("redis://h/", RedisUrl(host="h")),
    ("redis://h:1/15", RedisUrl(host="h", port=1, database=15)),
    ("redis://[::1]:65535", RedisUrl(host="::1", port=65535)),
    ("redis://:pw@h", RedisUrl(host="h", password="pw")),
    ("redis://ada:p%40%3a%C3%A9@h", RedisUrl(host="h", username="ada", password="p@:é")),
    ("rediss://h.example.com", RedisUrl(host="h.example.com", is_tls=True)),
    ("rediss://h/2", RedisUrl(host="h", is_tls=True, database=2)),
    ("rediss://h?ssl_ca_certs=/a/b.pem", RedisUrl(host="h", is_tls=True, ca_file="/a/b.pem")),
    ("unix:///run/redis.sock", RedisUrl(path="/run/redis.sock")),
    ("unix:///run/redis.sock?db=3", RedisUrl(path="/run/redis.sock", database=3)),
    ("unix://:pw@/r.sock", RedisUrl(path="/r.sock", password="pw")),
]

BAD = {
    "four slashes": [
        "sqlite:",
        "sqlite:auth.db",
        "sqlite:/run/auth.db",
        "sqlite:///run/auth.db",
        "sqlite:////",
        "sqlite://///run/auth.db",
        "sqlite:////run/auth.db/",
        "sqlite:////run//auth.db",
        "sqlite:////run/../auth.db",
        "sqlite:////run/./auth.db",
        "sqlite:////run/auth.db/..",
        "sqlite:////run/auth.db?mode=ro",
        "sqlite:////run/auth.db#x",
        "sqlite:////run/auth\n.db",
        "sqlite:////run/auth\0.db",
    ],
    "such as auto:my_app": [
        "auto:",
        "auto:a/b",
        "auto:.",
        "auto:..",
        "auto:-x",
        "auto:é",
        "auto://x",
    ],
    "redis://HOST:PORT/DATABASE, without a query": [
        "redis:",
        "redis://",
        "redis:///0",
        "redis://:6379",
        "redis://h:0",
        "redis://h:65536",
        "redis://h:port",
        "redis://h/zero",
        "redis://h/0/1",
        "redis://h/-1",
        "redis://h?db=1",
        "redis://h?ssl_ca_certs=/a.pem",
        "redis://h#x",
        "redis://h1,h2",
        "redis://ada@h",
        "redis://ada:@h",
        "redis://:@h",
        "redis://:p@ss@h",
        "redis://:p/ss@h",
        "redis://:p%ss@h",
        "redis://:%ff@h",
        "redis://[::g]",
        "redis://[1.2.3.4]",
        "redis://::1",
        "redis://h\t",
    ],
    "rediss://HOST:PORT/DATABASE, with no query but": [
        "rediss://",
        "rediss://h?ssl_ca_certs=a.pem",
        "rediss://h?ssl_cert_reqs=none",
        "rediss://h?ssl_ca_certs=/a.pem&ssl_cert_reqs=none",
    ],
    "unix:///path.sock, with no query but": [
        "unix://",
        "unix://run/redis.sock",
        "unix:///run/redis.sock?db=x",
        "unix:///run/redis.sock?db=1&x=2",
        "unix://ada@/run/redis.sock",
    ],
    "auto:NAME, redis://HOST": [
        "",
        "/run/auth.db",
        "memcached://h",
        "REDIS://h",
        " auto:x",
    ],
}


@pytest.mark.parametrize(("text", "url"), GOOD)
def test_a_url_is_read(text: str, url: SharedStoreUrl) -> None:
    assert parse_shared_store_url(text) == url
    assert is_shared_store_url(text)
    assert is_shared_by_hosts(text) == isinstance(url, RedisUrl)


@pytest.mark.parametrize(
    ("text", "expected"), [(text, expected) for expected, found in BAD.items() for text in found]
)
def test_an_invalid_url_says_what_is_expected(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=":") as caught:
        parse_shared_store_url(text)
    assert expected in str(caught.value)
    assert caught.value.__context__ is None
    assert not is_shared_store_url(text)
    assert not is_shared_by_hosts(text)


@pytest.mark.parametrize(("text", "url"), GOOD)
def test_the_text_of_a_url_has_no_user_and_no_password_and_can_be_read(
    text: str, url: SharedStoreUrl
) -> None:
    shown = shown_shared_store_url(text)
    assert shown == str(url)
    assert "pw" not in shown + repr(url)
    assert "ada" not in shown + repr(url)
    again = parse_shared_store_url(shown)
    assert str(again) == shown


def test_an_invalid_url_is_shown_only_where_it_can_have_no_password() -> None:
    assert shown_shared_store_url("sqlite:///auth.db") == "'sqlite:///auth.db'"
    assert shown_shared_store_url("/run/auth.db") == "'/run/auth.db'"
    assert shown_shared_store_url(None) == "None"
    assert shown_shared_store_url("redis://:hunter2") == "***"
    assert shown_shared_store_url("hunter2@h") == "***"


@given(st.text())
def test_no_text_gives_another_error(text: str) -> None:
    for start in ("", "sqlite:////", "auto:", "redis://", "rediss://:", "unix://"):
        shown_shared_store_url(start + text)


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_password_can_be_written(password: str) -> None:
    escaped = "".join(f"%{byte:02x}" for byte in password.encode())
    url = parse_shared_store_url(f"redis://:{escaped}@h")
    assert isinstance(url, RedisUrl)
    assert url.password == password

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxaigen_auth._syntax import hosts
from oxaigen_auth._syntax.hosts import Host, parse_host, parse_pattern, resolve_base_url


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("app.example.com", Host("app.example.com", "")),
        ("APP.Example.COM", Host("app.example.com", "")),
        ("app.example.com.", Host("app.example.com", "")),
        ("app.example.com.:8443", Host("app.example.com", "8443")),
        ("app.example.com:443", Host("app.example.com", "")),
        ("app.example.com:0443", Host("app.example.com", "")),
        ("app.example.com:80", Host("app.example.com", "80")),
        ("app.example.com:65535", Host("app.example.com", "65535")),
        ("my_app", Host("my_app", "")),
        ("xn--bcher-kva.example", Host("xn--bcher-kva.example", "")),
        ("127.0.0.1:8000", Host("127.0.0.1", "8000")),
        ("[::1]", Host("[::1]", "")),
        ("[2001:DB8::1]:8000", Host("[2001:db8::1]", "8000")),
        ("[::ffff:127.0.0.1]", Host("[::ffff:127.0.0.1]", "")),
        ("a" * 63 + ".example", Host("a" * 63 + ".example", "")),
    ],
)
def test_a_host_has_one_spelling(text: str, host: Host) -> None:
    assert parse_host(text, "https") == host


def test_the_standard_port_depends_on_the_scheme() -> None:
    assert parse_host("app:80", "http") == parse_host("app", "http") == Host("app", "")
    assert parse_host("app:443", "http") == Host("app", "443")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ".",
        "app.example.com ",
        " app.example.com",
        "app.example.com\n",
        "app..example.com",
        "app.example.com..",
        ".example.com",
        "-app.example.com",
        "app-.example.com",
        "app.example.com:",
        "app.example.com:0",
        "app.example.com:00000",
        "app.example.com:65536",
        "app.example.com:123456",
        "app.example.com:-1",
        "app.example.com:٨",
        "app.example.com:*",
        "*.example.com",
        "app.example.com/path",
        "app.example.com?x",
        "app.example.com#x",
        "evil.example.com@app.example.com",
        "app.example.com\\evil",
        "a.example.com,b.example.com",
        "a.example.com, b.example.com",
        "https://app.example.com",
        "äpp.example.com",
        "app%2eexample.com",
        "app.example.com\x00",
        "::1",
        "[::1",
        "[::1]x",
        "[::g]",
        "[:::1]",
        "[fe80::1%eth0]",
        "[127.0.0.1]",
        "[]",
        "999.1.1.1",
        "1.2.3",
        "127.0.0.01",
        "1.2.3.4.5",
        "7",
        "example.7:80",
        "a" * 64 + ".example",
        "a." * 150 + "example",
    ],
)
def test_a_malformed_host_is_not_parsed(text: str) -> None:
    assert parse_host(text, "https") is None


@pytest.mark.parametrize(
    "text", ["", "*", "*.", "**.a", "a.*", "*a.b", "a.", "a:", "a:x", "a:0", "[x]"]
)
def test_a_malformed_pattern_is_not_parsed(text: str) -> None:
    assert parse_pattern(text, "https") is None


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        (
            "app.example.com",
            ["app.example.com", "app.example.com:443"],
            ["example.com", "app.example.com:80"],
        ),
        ("app.example.com:443", ["app.example.com"], ["app.example.com:8443"]),
        (
            "*.Example.com",
            ["a.example.com", "a.b.example.com"],
            ["example.com", "aexample.com", "a.example.com:1", "a.example.com.evil.org"],
        ),
        ("*.example.com:*", ["a.example.com", "a.example.com:1"], ["example.com:1"]),
        ("localhost:*", ["localhost", "localhost:8000"], ["localhost.example.com"]),
        ("[::1]:8000", ["[::1]:8000"], ["[::1]", "[::2]:8000"]),
    ],
)
def test_a_pattern_matches_its_hosts_only(
    pattern: str, matching: list[str], other: list[str]
) -> None:
    parsed = parse_pattern(pattern, "https")
    assert parsed is not None
    hosts = {text: parse_host(text, "https") for text in [*matching, *other]}
    assert [t for t, host in hosts.items() if host and host.matches(parsed)] == matching
    assert None not in hosts.values()


@given(st.text(max_size=80) | st.from_regex(r"\A[a-z0-9.:\[\]_-]{1,80}\Z"))
def test_parsing_a_formatted_host_returns_the_host(text: str) -> None:
    host = parse_host(text, "https")
    if host is not None:
        assert parse_host(str(host), "https") == host
        assert not set(str(host)) & set("/\\?#@%, \t\r\n*")


def test_long_hosts_are_not_cached() -> None:
    caches = [it for it in vars(hosts).values() if hasattr(it, "cache_info")]
    assert caches
    for cache in caches:
        cache.cache_clear()
    for number in range(2000):
        assert resolve_base_url(f"{number}.".encode() + b"a" * 10_000, "https", ()) == ("", False)
    assert sum(it.cache_info().currsize for it in caches) < 1024


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("app.example.com", True),
        ("APP.example.com.", True),
        ("app.example.com:443", True),
        ("app.example.com:8443", False),
        ("example.org", False),
        ("a.example.org", True),
        ("a.b.example.org", True),
        ("aexample.org", False),
        ("localhost", False),
        ("localhost:8000", True),
        ("localhost:8001", False),
        ("[::1]:1", True),
        ("127.0.0.1", False),
    ],
)
def test_a_host_is_allowed_if_a_pattern_matches(host: str, *, allowed: bool) -> None:
    patterns = ("app.example.com", "*.example.org", "localhost:8000", "[::1]:*")
    assert resolve_base_url(host.encode(), "https", patterns)[1] is allowed

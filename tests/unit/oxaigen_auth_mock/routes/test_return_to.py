import pytest

from oxaigen_auth_mock.routes.return_to import MAX_ORIGIN, allowed_origin, safe_return_to

FALLBACK = "/home"


@pytest.mark.parametrize(
    "path",
    ["/", "/reports", "/a/b?page=2&next=%2F%2Fx#part", "/a//b", "/ä/日本", "/a b", "/?x=%0A",
     "/#\\", "/a:b@c", "/.", "/a\\b"],
)  # fmt: skip
def test_a_local_path_is_kept(path: str) -> None:
    assert safe_return_to(path, fallback=FALLBACK) == path


@pytest.mark.parametrize(
    "path",
    ["", "reports", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example",
     "https://evil.example", "http:evil.example", "javascript:alert(1)", "data:text/html,x",
     "user:password@evil.example", "@evil.example", " /x", "\t/x", "\n//evil.example",
     "/\t/evil.example", "/\n/evil.example", "/\r/evil.example", "/%09/evil.example",
     "/%0a/evil.example", "/%0D/evil.example", "/%2f/evil.example", "/%2Fevil.example",
     "/%5cevil.example", "/%5C/evil.example", "/a\x00b", "/a%00b", "/a\x7fb", "/a\x85b",
     "/a\u2028b", "/a\u202eb", "/?x=\n", "?x", "#x", "/\ud800"],
)  # fmt: skip
def test_a_path_that_could_lead_to_another_site_is_replaced(path: str) -> None:
    assert safe_return_to(path, fallback=FALLBACK) == FALLBACK


@pytest.mark.parametrize(
    "origin",
    ["http://localhost:5173", "https://app.example.com", "http://127.0.0.1:1", "http://[::1]:80"],
)
def test_any_web_origin_is_kept_if_all_are_allowed(origin: str) -> None:
    assert allowed_origin(origin, ("*",)) == origin


@pytest.mark.parametrize(
    "origin",
    [None, "", "null", "*", "localhost:5173", "file://", "ftp://x", "chrome-extension://abc",
     "http://", "http://x/", "http://x/path", "http://x?y", "http://u@x", "http://x:99999",
     "http://[zz]", "http://[1::2::3]", "http://x http://y", "HTTP://x", "javascript:alert(1)",
     "http://x\n", "http://<script>", "http://" + MAX_ORIGIN * "x"],
)  # fmt: skip
def test_an_invalid_origin_counts_as_none(origin: str | None) -> None:
    assert allowed_origin(origin, ("*",)) is None


def test_an_origin_that_is_not_allowed_is_not_kept() -> None:
    allowed = ("http://localhost:5173", "https://app.example.com")
    assert allowed_origin("https://app.example.com", allowed) == "https://app.example.com"
    assert allowed_origin("https://app.example.com:444", allowed) is None
    assert allowed_origin("https://x.app.example.com", allowed) is None

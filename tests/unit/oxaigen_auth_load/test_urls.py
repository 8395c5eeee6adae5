from __future__ import annotations

import pytest

from oxaigen_auth_load.urls import is_reachable, is_url


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("http://h", True),
        ("https://h:8000/@ada?x=a@b", True),
        ("http://[::1]:8000/", True),
        ("http://u:hunter2@h", False),
        ("http://@h", False),
        ("ftp://h", False),
        ("http://", False),
        ("http://h:0", False),
        ("http://h\n/", False),
        ("http://h:99999", False),
        ("http://[::1", False),
        ("h/me", False),
    ],
)
def test_a_url_is_http_or_https_without_a_user(text: str, *, valid: bool) -> None:
    assert is_url(text) is valid


def test_a_server_is_reachable_if_anything_answers() -> None:
    assert not is_reachable("http://127.0.0.1:9")
    assert not is_reachable("http://.:9")  # no host name

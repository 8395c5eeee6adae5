from __future__ import annotations

import pytest

from oxaigen_auth._syntax.urls import base_url


def test_a_base_url_loses_its_trailing_slash_and_nothing_else() -> None:
    assert base_url("https://proxy.example.com/a//") == "https://proxy.example.com/a"
    assert base_url("http://127.0.0.1:8765") == "http://127.0.0.1:8765"


@pytest.mark.parametrize("url", ["https://ada:hunter2", "https://ada:hunter2/x@proxy.example.com"])
def test_a_bad_base_url_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValueError, match="the proxy's URL is invalid") as caught:
        base_url(url)
    assert "hunter2" not in str(caught.value)

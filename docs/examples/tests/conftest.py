"""Each test has new settings, a new default client and empty caches."""

import pytest


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, oxaigen_fresh: None) -> None:  # noqa: ARG001
    # The probes need the URL of a proxy. Tests in which it is asked use `oxaigen_proxy`.
    monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", "https://proxy.example.com")

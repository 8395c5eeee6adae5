from __future__ import annotations

import sys
from pathlib import Path

import pytest

from oxaigen_auth import OxaigenAuthConfigurationError, OxaigenAuthSettings, ProxyAuthClient
from oxaigen_auth._shared.engines import new_engine

SECRET = "a secret of at least thirty-two bytes"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    private = tmp_path / "private"
    private.mkdir(0o700)
    return private


def test_processes_of_one_host_share_a_secret_that_the_first_one_makes(folder: Path) -> None:
    settings = OxaigenAuthSettings(shared_store=f"sqlite:///{folder}/auth.db")
    (first, keys), (_, same) = new_engine(settings), new_engine(settings)
    assert first.name == f"sqlite:///{folder}/auth.db"
    assert keys.token_id("x") == same.token_id("x")
    assert (folder / "auth.db.secret").stat().st_mode & 0o777 == 0o600


def test_secrets_of_the_settings_are_used_on_one_host_too(folder: Path) -> None:
    url = f"sqlite:///{folder}/auth.db"
    settings = OxaigenAuthSettings(shared_store=url, shared_secret=(SECRET,))
    _, keys = new_engine(settings)
    _, others = new_engine(OxaigenAuthSettings(shared_store=url))
    assert keys.token_id("x") != others.token_id("x")


def test_a_server_is_not_asked_before_it_is_needed() -> None:
    url = "redis://user:hidden@127.0.0.1:1/3"
    engine, _ = new_engine(OxaigenAuthSettings(shared_store=url, shared_secret=(SECRET,)))
    assert engine.name == "redis://127.0.0.1:1/3"
    assert "hidden" not in repr(engine)


@pytest.mark.parametrize("module", ["coredis", "cryptography.exceptions"])
def test_a_missing_extra_is_an_error_that_says_what_to_install(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.startswith(("coredis", "oxaigen_auth._shared.redis", "oxaigen_auth._shared.keys")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "oxaigen_auth._shared.engines")
    monkeypatch.setitem(sys.modules, module, None)
    settings = OxaigenAuthSettings(shared_store="redis://127.0.0.1", shared_secret=(SECRET,))
    extra = "redis" if module == "coredis" else "shared"
    with pytest.raises(OxaigenAuthConfigurationError, match=rf"oxaigen-auth\[{extra}\]"):
        ProxyAuthClient("https://app.example.com", settings=settings)


def test_a_folder_that_others_can_read_is_a_configuration_error(folder: Path) -> None:
    folder.chmod(0o755)
    settings = OxaigenAuthSettings(shared_store=f"sqlite:///{folder}/auth.db")
    with pytest.raises(OxaigenAuthConfigurationError):
        ProxyAuthClient("https://app.example.com", settings=settings)


def test_a_client_works_without_the_store_if_its_files_cannot_be_made(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"sqlite:///{folder}/{'a' * 250}"  # the names of the other files are too long
    client = ProxyAuthClient(
        "https://app.example.com", settings=OxaigenAuthSettings(shared_store=url)
    )
    assert client.validator.shared is None
    assert client.stats().shared_failures == 1
    assert url in caplog.text

import importlib
import runpy
import sys
from collections.abc import MutableMapping
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from hypercorn.utils import load_application
from uvicorn.importer import import_from_string

import oxaigen_auth_mock
from oxaigen_auth.dev import mock_server
from oxaigen_auth_mock import MockConfigurationError
from oxaigen_auth_mock.cli import main as cli
from tests.support.apps import TestClient

pytestmark = pytest.mark.anyio

DEV = {"Authorization": "Bearer mock-dev-token"}


def test_the_documented_module_exports_the_mock() -> None:
    assert mock_server.create_mock_app is oxaigen_auth_mock.create_app
    assert mock_server.main is cli.main


def test_the_documented_app_works_with_and_without_a_lifespan() -> None:
    assert TestClient(mock_server.app).get("/health").status_code == 200
    with TestClient(mock_server.app) as client:
        assert client.get("/_oxa_auth/get-me", headers=DEV).json()["user_name"] == "devuser"


async def test_all_calls_reach_the_same_mock() -> None:
    app = importlib.reload(mock_server).app
    async with AsyncClient(transport=ASGITransport(app), base_url="http://mock") as client:
        await client.get("/_oxa_auth/get-me", headers=DEV)
        assert (await client.get("/_mock/api/calls")).json()["total"] == 1


def test_hypercorn_and_uvicorn_find_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert import_from_string("oxaigen_auth.dev.mock_server:app") is mock_server.app
    wrapped = load_application("oxaigen_auth.dev.mock_server:app", 0)
    assert vars(wrapped)["app"] is mock_server.app


def test_importing_it_reads_no_environment_but_starting_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_MOCK_PORT", "nonsense")
    app = importlib.reload(mock_server).app
    with pytest.raises(MockConfigurationError, match="nonsense"):
        TestClient(app).get("/health")
    monkeypatch.delenv("OXAIGEN_AUTH_MOCK_PORT")
    assert TestClient(app).get("/health").status_code == 200


def test_python_dash_m_runs_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["mock_server", "--help"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(mock_server.__file__, run_name="__main__")
    assert caught.value.code == 0
    assert "usage: oxaigen-auth-mock" in capsys.readouterr().out


async def test_a_bad_environment_fails_the_start_up_with_its_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_MOCK_PORT", "nonsense")
    app = importlib.reload(mock_server).app
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.startup"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await app({"type": "lifespan"}, receive, send)
    (message,) = sent
    assert message["type"] == "lifespan.startup.failed"
    assert "OXAIGEN_AUTH_MOCK_PORT is 'nonsense'" in message["message"]

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from docs.examples.threads import export, export_with_retries
from oxaigen_auth import BlockingProxyAuthClient, OxaigenAuthUpstreamError
from oxaigen_auth_mock import Persona, RunningMock, running_mock

ADA = Persona(name="ada", token="adas-token", permissions=("export",))
BOB = Persona(name="bob", token="bobs-token", permissions=())


@pytest.fixture
def mock() -> Iterator[RunningMock]:
    with running_mock(personas=[ADA, BOB]) as mock:
        yield mock


@pytest.fixture
def client(mock: RunningMock) -> Iterator[BlockingProxyAuthClient]:
    with BlockingProxyAuthClient(mock.url) as client:
        yield client


def test_tasks_need_a_valid_token_and_the_permission(client: BlockingProxyAuthClient) -> None:
    assert export(client, "adas-token", "report") == "report: exported for ada"
    assert export(client, "bobs-token", "report") == "report: refused to bob"
    assert export(client, "unknown", "report") == "report: Invalid token"


def test_an_outage_is_an_error(client: BlockingProxyAuthClient, mock: RunningMock) -> None:
    mock.fault("status", status=503)
    with pytest.raises(OxaigenAuthUpstreamError):
        export(client, "adas-token", "report")


def test_a_task_is_repeated_after_an_outage(
    client: BlockingProxyAuthClient, mock: RunningMock
) -> None:
    mock.fault("status", status=503, times=1)
    assert export_with_retries(client, "adas-token", "report") == "report: exported for ada"


def test_threads_share_the_client(client: BlockingProxyAuthClient, mock: RunningMock) -> None:
    with ThreadPoolExecutor(20) as pool:
        tasks = [pool.submit(export, client, "adas-token", f"report {n}") for n in range(100)]
    assert {task.result()[-16:] for task in tasks} == {"exported for ada"}
    assert len(mock.calls()) == 2

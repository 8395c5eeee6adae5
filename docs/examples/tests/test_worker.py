import anyio
import pytest
from anyio.abc import ObjectSendStream
from trio.testing import MockClock

from docs.examples.worker import Job, run, work
from oxaigen_auth.testing import FakeProxy

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, object]:
    """Trio, in virtual time: nobody waits for the end of an outage."""
    return "trio", {"clock": MockClock(autojump_threshold=0)}


@pytest.fixture
def proxy() -> FakeProxy:
    proxy = FakeProxy(delay=0.1)
    proxy.add_user("adas-token", user_name="ada", permissions=["export"])
    proxy.add_user("bobs-token", user_name="bob")
    return proxy


async def test_jobs_need_a_valid_token_and_the_permission(proxy: FakeProxy) -> None:
    async with proxy.client() as client:
        assert await run(Job("adas-token", "report"), client) == "report: exported for ada"
        assert await run(Job("bobs-token", "report"), client) == "report: refused to bob"
        assert await run(Job("unknown", "report"), client) == "report: Invalid token"


async def test_a_job_waits_for_the_end_of_an_outage(proxy: FakeProxy) -> None:
    proxy.fail(times=10)
    async with proxy.client(clock=anyio.current_time) as client:
        assert await run(Job("adas-token", "report"), client) == "report: exported for ada"


async def test_a_hundred_jobs_of_a_user_ask_the_proxy_once(
    proxy: FakeProxy, capsys: pytest.CaptureFixture[str]
) -> None:
    send: ObjectSendStream[Job]
    send, receive = anyio.create_memory_object_stream[Job](100)
    async with proxy.client() as client, send:
        for number in range(100):
            await send.send(Job("adas-token", f"report {number}"))
        await send.aclose()
        async with anyio.create_task_group() as group, receive:
            for _ in range(10):
                group.start_soon(work, receive.clone(), client)
    assert len(capsys.readouterr().out.splitlines()) == 100
    assert proxy.count("adas-token", endpoint="get-me") == 1


def test_a_job_shows_no_token() -> None:
    assert "adas-token" not in repr(Job("adas-token", "report"))

from itertools import pairwise

import pytest
from httpx import ASGITransport, AsyncClient

from oxaigen_auth_mock import MockSettings, Persona, Snapshot, create_app
from oxaigen_auth_mock.scenarios.builtin import READY

pytestmark = pytest.mark.anyio

ME = "/_oxa_auth/get-me"
DEV = {"Authorization": "Bearer mock-dev-token"}


@pytest.mark.parametrize("name", READY)
def test_a_ready_scenario_ends_and_leaves_nothing(name: str) -> None:
    mock = create_app(MockSettings(), clock=lambda: 1000.0).control
    before = mock.snapshot()
    report = mock.play(name)
    assert (report.name, report.status) == (name, "playing")
    mock.advance(60)
    report = mock.scenario() or report
    assert (report.status, {step.status for step in report.steps}) == ("ended", {"done"})
    assert 30 <= report.elapsed <= 40
    mock.advance(-60)
    assert (mock.snapshot(), mock.state.faults.faults) == (before, [])


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("revoked-user", {0: 200, 10: 401, 39: 401, 40: 200}),
        ("expired-session", {0: 200, 10: 401, 39: 401, 40: 200}),
        ("flapping-proxy", {0: 200, 5: 503, 10: 200, 15: 503, 40: 200}),
        ("rolling-restart", {0: 200, 9: 200, 45: 200}),
    ],
)
async def test_a_ready_scenario_does_what_its_name_says(
    name: str, statuses: dict[int, int]
) -> None:
    app = create_app(MockSettings(), clock=lambda: 1000.0)
    app.control.play(name)
    async with AsyncClient(transport=ASGITransport(app), base_url="http://mock") as client:
        for before, (time, status) in pairwise([(0, 200), *statuses.items()]):
            app.control.advance(time - before[0])
            response = await client.get(ME, headers=DEV)
            assert (time, response.status_code) == (time, status)


def test_the_user_of_a_ready_scenario_is_the_one_who_signs_in_by_default() -> None:
    mock = create_app(MockSettings(user_name="zoe")).control
    assert mock.play("revoked-user").steps[0].description == "tokens of zoe revoked"
    mock.load(Snapshot(personas=[Persona(name="ada"), Persona(name="bob")]))
    assert mock.play("expired-session").steps[0].description == "ada is expired"

"""The part of the control API that plays scenarios."""

from fastapi import APIRouter
from starlette.status import HTTP_201_CREATED, HTTP_204_NO_CONTENT

from oxaigen_auth_mock.faults.plan import unknown_persona
from oxaigen_auth_mock.scenarios.builtin import ready_scenarios
from oxaigen_auth_mock.scenarios.model import Scenario
from oxaigen_auth_mock.scenarios.play import ScenarioReport
from oxaigen_auth_mock.web.api_models import NOT_FOUND, ScenarioToPlay
from oxaigen_auth_mock.web.dependencies import Control
from oxaigen_auth_mock.web.validation_errors import validation_error

scenario_router: APIRouter = APIRouter()


@scenario_router.get("/scenarios")
async def scenarios(control: Control) -> list[Scenario]:
    """List the ready scenarios."""
    return list(ready_scenarios(control.state.personas).values())


@scenario_router.get("/scenario")
async def scenario(control: Control) -> ScenarioReport | None:
    """Return how far the scenario is that plays, or how the last one was; null without one."""
    return control.scenario()


@scenario_router.post("/scenario", status_code=HTTP_201_CREATED, responses=NOT_FOUND)
async def play(scenario: ScenarioToPlay, control: Control) -> ScenarioReport:
    """Play a scenario from now on, instead of the one that plays."""
    personas = control.state.personas
    played = scenario.resolve(ready_scenarios(personas))
    for location, name in played.unknown_personas(personas.names):
        raise validation_error(("body", *location), unknown_persona(name, personas.names) or "")
    return control.play(played)


@scenario_router.delete("/scenario", status_code=HTTP_204_NO_CONTENT)
async def stop(control: Control) -> None:
    """Stop the scenario and undo its steps. Does nothing if none plays."""
    control.stop_scenario()

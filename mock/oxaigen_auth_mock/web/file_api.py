"""The part of the control API that takes the content of files."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel

from oxaigen_auth_mock.config.files import parse_faults, parse_personas, parse_scenario
from oxaigen_auth_mock.config.settings import MockConfigurationError
from oxaigen_auth_mock.web.dependencies import Control
from oxaigen_auth_mock.web.validation_errors import validation_error_response

BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}

Name = Annotated[
    str,
    Query(
        min_length=1, max_length=300, description="Name of the file; ends in `.toml` or `.json`."
    ),
]
router: APIRouter = APIRouter()


class Loaded(BaseModel):
    """The number of personas, faults or steps in a file."""

    loaded: int


@router.put("/personas/file", openapi_extra=BODY)
async def load_personas(name: Name, request: Request, control: Control) -> Loaded:
    """Add the personas of a file for `--personas`, or replace those with their names."""
    content = await request.body()
    personas = parse_personas(name, content, control.state.personas.blocking_holder)
    control.merge(personas)
    return Loaded(loaded=len(personas))


@router.put("/faults/file", openapi_extra=BODY)
async def load_faults(name: Name, request: Request, control: Control) -> Loaded:
    """Replace all faults by those of a file for `--faults`."""
    content = await request.body()
    faults = parse_faults(name, content, control.state.personas.names)
    control.replace_faults(faults)
    return Loaded(loaded=len(faults))


@router.put("/scenario/file", openapi_extra=BODY)
async def play_file(name: Name, request: Request, control: Control) -> Loaded:
    """Play the scenario of a file for `--scenario` from now on, instead of the one that plays."""
    content = await request.body()
    scenario = parse_scenario(name, content, control.state.personas.names)
    control.play(scenario)
    return Loaded(loaded=len(scenario.steps))


async def invalid_file_response(request: Request, error: Exception) -> Response:
    """Answer 422 with the messages that the mock prints at the start for such a file."""
    problems = error.problems if isinstance(error, MockConfigurationError) else ()
    details = [{"type": "file", "loc": ("body",), "msg": problem} for problem in problems]
    return await validation_error_response(request, RequestValidationError(details))

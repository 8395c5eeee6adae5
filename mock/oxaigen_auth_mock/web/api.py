"""The control API below `/_mock/api`, and `/health`; the real proxy has neither."""

from collections import Counter
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Depends, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.status import (
    HTTP_201_CREATED,
    HTTP_204_NO_CONTENT,
    HTTP_404_NOT_FOUND,
    HTTP_405_METHOD_NOT_ALLOWED,
    HTTP_409_CONFLICT,
)

from oxaigen_auth_mock.asgi.methods import method_not_allowed
from oxaigen_auth_mock.config.settings import MockConfigurationError
from oxaigen_auth_mock.control import MockControl
from oxaigen_auth_mock.faults.kinds import Fault
from oxaigen_auth_mock.faults.plan import unknown_persona
from oxaigen_auth_mock.personas.model import Persona
from oxaigen_auth_mock.personas.store import NameTakenError, TokenTakenError, UnknownPersonaError
from oxaigen_auth_mock.scenarios.builtin import UnknownScenarioError
from oxaigen_auth_mock.snapshot import Fingerprint, Snapshot
from oxaigen_auth_mock.web.access import require_own_page
from oxaigen_auth_mock.web.api_models import (
    CONFLICT,
    EVENT_STREAM,
    FORBIDDEN,
    NOT_FOUND,
    AddedFault,
    AutoLogin,
    ClockChange,
    PermissionChange,
    Revocation,
)
from oxaigen_auth_mock.web.dependencies import Control
from oxaigen_auth_mock.web.file_api import invalid_file_response
from oxaigen_auth_mock.web.file_api import router as file_router
from oxaigen_auth_mock.web.scenario_api import scenario_router
from oxaigen_auth_mock.web.sse import EventStream
from oxaigen_auth_mock.web.validation_errors import validation_error, validation_error_response
from oxaigen_auth_mock.web.views import state_view

NO_CONTENT: Final = HTTP_204_NO_CONTENT

health_router: APIRouter = APIRouter(tags=["mock"])


@health_router.get("/health")
async def health() -> dict[str, str]:
    """Answer 200 while the mock runs."""
    return {"status": "ok", "service": "oxaigen-auth-mock"}


router: APIRouter = APIRouter(
    prefix="/_mock/api",
    tags=["mock"],
    dependencies=[Depends(require_own_page)],
    responses=FORBIDDEN,
)
router.include_router(scenario_router)
router.include_router(file_router)


@router.get("/state")
async def state(control: Control) -> dict[str, Any]:
    """Return all that the control page shows, except the calls."""
    return state_view(control.state)


@router.get("/events", responses=EVENT_STREAM, response_class=Response)
async def events(control: Control) -> Response:
    """Stream `state` and `calls` events: first all there is, then what changes."""
    return EventStream(control.state)


@router.post("/personas", status_code=HTTP_201_CREATED, responses=CONFLICT)
async def add_persona(persona: Persona, control: Control) -> Persona:
    """Add a persona; an existing one is not changed."""
    control.add(persona)
    return persona


@router.put("/personas", responses=CONFLICT)
async def put_persona(persona: Persona, control: Control) -> Persona:
    """Add a persona, or replace the one with the same name."""
    control.put(persona)
    return persona


@router.delete("/personas/{name:path}", status_code=NO_CONTENT, responses=NOT_FOUND)
async def delete_persona(name: str, control: Control) -> None:
    """Delete a persona; its tokens are invalid from then on."""
    control.remove(name)


@router.put("/permissions", responses=NOT_FOUND)
async def put_permission(change: PermissionChange, control: Control) -> Persona:
    """Grant a permission to a persona, or withdraw it."""
    return control.permit(change.persona, change.permission, granted=change.granted)


@router.put("/auto-login", responses=NOT_FOUND, status_code=NO_CONTENT)
async def put_auto_login(auto_login: AutoLogin, control: Control) -> None:
    """Set the persona that signs in automatically."""
    control.sign_in_as(auto_login.persona)


@router.post("/revocations", status_code=NO_CONTENT)
async def revoke(revocation: Revocation, control: Control) -> None:
    """Revoke a token, whether or not a persona has it."""
    control.revoke_fingerprint(revocation.revoked_fingerprint)


@router.delete("/revocations/{name}", status_code=NO_CONTENT)
async def restore(name: Fingerprint, control: Control) -> None:
    """Restore a revoked token. Does nothing for a token that is not revoked."""
    control.restore_fingerprint(name)


@router.post("/clock", status_code=NO_CONTENT)
async def move_clock(change: ClockChange, control: Control) -> None:
    """Move the clock forward or back, by which issued codes and tokens expire."""
    control.advance(change.advance)


@router.get("/faults")
async def faults(control: Control) -> list[dict[str, Any]]:
    """List the faults, with the number of calls that each matched and hit."""
    return control.state.faults.report()


@router.post("/faults", status_code=HTTP_201_CREATED)
async def add_fault(fault: Annotated[Fault, Body()], control: Control) -> AddedFault:
    """Add a fault after the existing ones."""
    _check_persona(fault, control, ())
    return AddedFault(id=control.add_fault(fault))


@router.put("/faults", status_code=NO_CONTENT)
async def replace_faults(faults: list[Fault], control: Control) -> None:
    """Replace all faults."""
    for number, fault in enumerate(faults):
        _check_persona(fault, control, (number,))
    control.replace_faults(faults)


def _check_persona(fault: Fault, control: MockControl, loc: tuple[int, ...]) -> None:
    problem = unknown_persona(fault.persona, control.state.personas.names)
    if problem:
        raise validation_error(("body", *loc, fault.kind, "persona"), problem)


@router.delete("/faults", status_code=NO_CONTENT)
async def clear_faults(control: Control) -> None:
    """Remove all faults."""
    control.replace_faults()


@router.delete("/faults/{number}", status_code=NO_CONTENT, responses=NOT_FOUND)
async def remove_fault(number: int, control: Control) -> None:
    """Remove one fault."""
    if not control.remove_fault(number):
        raise HTTPException(HTTP_404_NOT_FOUND, f"There is no fault {number}.")


@router.get("/snapshot")
async def snapshot(control: Control) -> Snapshot:
    """Export the state, including tokens, to be imported later or into another mock."""
    return control.snapshot()


@router.put("/snapshot", status_code=NO_CONTENT)
async def load_snapshot(snapshot: Snapshot, control: Control) -> None:
    """Replace the state by an exported one."""
    _check_tokens(snapshot, control)
    control.load(snapshot)


def _check_tokens(snapshot: Snapshot, control: MockControl) -> None:
    """Reject a token that two personas have, unless the settings give it to two of them."""
    given = Counter(persona.token for persona in control.initial.personas)
    first: dict[str, int] = {}
    for number, persona in enumerate(snapshot.personas):
        original = first.setdefault(persona.token, number)
        if original != number and given[persona.token] < 2:  # noqa: PLR2004 - two of them
            duplicate = f"is the same as personas[{original}].token; expected a unique token"
            raise validation_error(("body", "personas", number, "token"), duplicate)


@router.post("/reset", status_code=NO_CONTENT)
async def reset(control: Control) -> None:
    """Return to the initial state, and forget the recorded calls."""
    control.reset()


@router.get("/calls")
async def calls(control: Control) -> dict[str, Any]:
    """Count the calls to the proxy's endpoints, in total and per token.

    A token is named by its fingerprint, the first 12 hex digits of its SHA-256; calls without a
    token are under `none`. `max_concurrency` is the highest number of calls that ran at the same
    time.
    """
    return control.state.journal.counts.report()


@router.get("/journal")
async def journal(control: Control) -> list[dict[str, Any]]:
    """List the recorded calls, oldest first."""
    return [call.report() for call in control.state.journal]


@router.delete("/calls", status_code=NO_CONTENT)
async def clear_calls(control: Control) -> None:
    """Forget the recorded calls, and set all counts to zero."""
    control.clear_calls()


async def _not_found(_: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, HTTP_404_NOT_FOUND)


async def _conflict(_: Request, error: Exception) -> Response:
    field = "name" if isinstance(error, NameTakenError) else "token"
    return JSONResponse({"detail": str(error), "field": field}, HTTP_409_CONFLICT)


EXCEPTION_HANDLERS: Final[dict[Any, Any]] = {
    RequestValidationError: validation_error_response,
    MockConfigurationError: invalid_file_response,
    UnknownPersonaError: _not_found,
    UnknownScenarioError: _not_found,
    NameTakenError: _conflict,
    TokenTakenError: _conflict,
    HTTP_405_METHOD_NOT_ALLOWED: method_not_allowed,
}

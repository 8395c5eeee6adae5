"""The control API below `/_mock/api`, and `/health`: what no proxy has. Answers JSON."""

from ipaddress import ip_address
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Body, Depends, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.status import (
    HTTP_201_CREATED,
    HTTP_204_NO_CONTENT,
    HTTP_403_FORBIDDEN,
    HTTP_404_NOT_FOUND,
    HTTP_405_METHOD_NOT_ALLOWED,
    HTTP_409_CONFLICT,
)

from oxaigen_auth_mock.asgi.methods import not_allowed
from oxaigen_auth_mock.config.constraints import PermissionName
from oxaigen_auth_mock.control import Fingerprint, MockControl, Move, Snapshot
from oxaigen_auth_mock.faults.plan import Fault, unknown_persona
from oxaigen_auth_mock.journal.counts import fingerprint
from oxaigen_auth_mock.personas.model import Persona
from oxaigen_auth_mock.personas.store import NameTakenError, TokenTakenError, UnknownPersonaError
from oxaigen_auth_mock.routes.token import Detail
from oxaigen_auth_mock.routes.validation_errors import refused, wrong_shape
from oxaigen_auth_mock.web.sse import Events
from oxaigen_auth_mock.web.views import state_of


class Conflict(Detail):
    """Why a persona was refused, and which field another one has."""

    field: Literal["name", "token"]


Responses = dict[int | str, dict[str, Any]]

FOREIGN: Final[Responses] = {403: {"model": Detail, "description": "Asked by a foreign page"}}
NOT_FOUND: Final[Responses] = {404: {"model": Detail, "description": "There is none"}}
CONFLICT: Final[Responses] = {
    409: {"model": Conflict, "description": "Somebody has the token, or the name that is to be new"}
}
STREAM: Final[Responses] = {200: {"content": {"text/event-stream": {}}, "description": "Events"}}
NOTHING: Final = HTTP_204_NO_CONTENT


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Permission(Order):
    """Whether a persona has a permission."""

    persona: str
    permission: PermissionName
    granted: Annotated[bool, Field(strict=True)]


class SignIn(Order):
    """Who signs in without being asked; `deny` lets nobody, null asks or takes the default."""

    persona: str | None


class Revocation(Order):
    """A token that is good no longer, by itself or by its fingerprint."""

    token: Annotated[str, Field(min_length=1)] | None = None
    fingerprint: Fingerprint | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> "Revocation":
        if (self.token is None) == (self.fingerprint is None):
            raise ValueError("give either a token or its fingerprint")
        return self

    @property
    def name(self) -> str:
        return self.fingerprint or fingerprint(self.token)


class ClockMove(Order):
    """How far to move the clock."""

    advance: Move


class Placed(BaseModel):
    id: int


def own_pages_only(request: Request) -> None:
    """Refuse pages of other origins: any site that a developer visits could reach the mock.

    A site can also have its own name lead to the mock, so that its pages seem to be the mock's.

    Raises:
        HTTPException: 403 if the origin is neither the mock's own nor one that the settings list,
            or if the mock is called by a name that anybody can register.
    """
    settings = control_of(request).proxy.settings
    host = request.url.hostname or ""
    if not (settings.allow_remote or host == settings.host or is_local_name(host)):
        detail = f"{host} may not control this mock; call it by its address, or as localhost."
        raise HTTPException(HTTP_403_FORBIDDEN, detail)
    origin = request.headers.get("origin")
    own = f"{request.url.scheme}://{request.headers.get('host')}"
    if origin not in (None, own, *settings.cors_origins):
        detail = f"Pages of {origin} may not control this mock; list it with --origins."
        raise HTTPException(HTTP_403_FORBIDDEN, detail)


def is_local_name(host: str) -> bool:
    """Whether a host is an address, or a name that no public name server answers for.

    >>> [is_local_name(host) for host in ("127.0.0.1", "::1", "localhost", "mock", "evil.example")]
    [True, True, True, True, False]
    """
    if "." not in host or host.endswith(".localhost"):
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def control_of(request: Request) -> MockControl:
    control: MockControl = request.app.state.control
    return control


health_router = APIRouter(tags=["mock"])


@health_router.get("/health")
async def health() -> dict[str, str]:
    """Answer as long as the mock runs, and say that it is one."""
    return {"status": "ok", "service": "oxaigen-auth-mock"}


Control = Annotated[MockControl, Depends(control_of)]
router = APIRouter(
    prefix="/_mock/api", tags=["mock"], dependencies=[Depends(own_pages_only)], responses=FOREIGN
)


@router.get("/state")
async def state(control: Control) -> dict[str, Any]:
    """All that the page shows but the calls."""
    return state_of(control.proxy)


@router.get("/events", responses=STREAM, response_class=Response)
async def events(control: Control) -> Response:
    """Stream `state` and `calls` events: all there is at first, then what changes."""
    return Events(control.proxy)


@router.post("/personas", status_code=HTTP_201_CREATED, responses=CONFLICT)
async def add_persona(persona: Persona, control: Control) -> Persona:
    """Add a persona; one that is there stays as it is."""
    control.add(persona)
    return persona


@router.put("/personas", responses=CONFLICT)
async def put_persona(persona: Persona, control: Control) -> Persona:
    """Add a persona, or change the one of that name."""
    control.put(persona)
    return persona


@router.delete("/personas/{name:path}", status_code=NOTHING, responses=NOT_FOUND)
async def delete_persona(name: str, control: Control) -> None:
    """Forget a persona; its tokens are unknown from then on."""
    control.remove(name)


@router.put("/permissions", responses=NOT_FOUND)
async def put_permission(change: Permission, control: Control) -> Persona:
    """Grant a persona a permission, or withdraw it."""
    return control.permit(change.persona, change.permission, granted=change.granted)


@router.put("/auto-login", responses=NOT_FOUND, status_code=NOTHING)
async def put_auto_login(sign_in: SignIn, control: Control) -> None:
    """Choose who signs in next, and from then on."""
    control.sign_in_as(sign_in.persona)


@router.post("/revocations", status_code=NOTHING)
async def revoke(revocation: Revocation, control: Control) -> None:
    """Make a token unknown, whosever it is."""
    control.revoke_fingerprint(revocation.name)


@router.delete("/revocations/{name}", status_code=NOTHING)
async def restore(name: Fingerprint, control: Control) -> None:
    """Take back that a token was revoked; one that was not stays as it is."""
    control.restore_fingerprint(name)


@router.post("/clock", status_code=NOTHING)
async def move_clock(move: ClockMove, control: Control) -> None:
    """Put the clock forward or back: what signing in handed out gets older, or younger."""
    control.advance(move.advance)


@router.get("/faults")
async def faults(control: Control) -> list[dict[str, Any]]:
    """Tell of each fault, and of the calls that it saw and struck."""
    return control.proxy.faults.report()


@router.post("/faults", status_code=HTTP_201_CREATED)
async def place_fault(fault: Annotated[Fault, Body()], control: Control) -> Placed:
    """Place a fault behind those that are there."""
    _check_persona(fault, control, ())
    return Placed(id=control.place(fault))


@router.put("/faults", status_code=NOTHING)
async def replace_faults(faults: list[Fault], control: Control) -> None:
    """Have these faults and no others."""
    for number, fault in enumerate(faults):
        _check_persona(fault, control, (number,))
    control.replace_faults(faults)


def _check_persona(fault: Fault, control: MockControl, place: tuple[int, ...]) -> None:
    problem = unknown_persona(fault, control.proxy.roster.names)
    if problem:
        raise refused(("body", *place, fault.kind, "persona"), problem)


@router.delete("/faults", status_code=NOTHING)
async def clear_faults(control: Control) -> None:
    """Let everything work again."""
    control.replace_faults()


@router.delete("/faults/{number}", status_code=NOTHING, responses=NOT_FOUND)
async def remove_fault(number: int, control: Control) -> None:
    """Take out one fault."""
    if not control.remove_fault(number):
        raise HTTPException(HTTP_404_NOT_FOUND, f"There is no fault {number}.")


@router.get("/snapshot")
async def snapshot(control: Control) -> Snapshot:
    """Export all that was changed, tokens included, to be imported later or elsewhere."""
    return control.snapshot()


@router.put("/snapshot", status_code=NOTHING)
async def load_snapshot(snapshot: Snapshot, control: Control) -> None:
    """Be as the snapshot says."""
    control.load(snapshot)


@router.post("/reset", status_code=NOTHING)
async def reset(control: Control) -> None:
    """Be as at the start, and forget what was asked."""
    control.reset()


@router.get("/calls")
async def calls(control: Control) -> dict[str, Any]:
    """Count the calls to the proxy's endpoints, together and per token.

    A token goes by its fingerprint, the first 12 hex digits of its SHA-256; calls without one are
    under `none`. `most_at_once` says how many calls were running at the same time, at most.
    """
    return control.proxy.journal.counts.report()


@router.get("/journal")
async def journal(control: Control) -> list[dict[str, Any]]:
    """List the calls that are remembered, the oldest first."""
    return [call.report() for call in control.proxy.journal]


@router.delete("/calls", status_code=NOTHING)
async def clear_calls(control: Control) -> None:
    """Forget the calls, and start counting anew."""
    control.clear_calls()


async def _not_found(_: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, HTTP_404_NOT_FOUND)


async def _conflict(_: Request, error: Exception) -> Response:
    field = "name" if isinstance(error, NameTakenError) else "token"
    return JSONResponse({"detail": str(error), "field": field}, HTTP_409_CONFLICT)


EXCEPTION_HANDLERS: Final[dict[Any, Any]] = {
    RequestValidationError: wrong_shape,
    UnknownPersonaError: _not_found,
    NameTakenError: _conflict,
    TokenTakenError: _conflict,
    HTTP_405_METHOD_NOT_ALLOWED: not_allowed,
}

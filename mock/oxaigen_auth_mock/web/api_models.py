"""The bodies of the control API, and the descriptions of its responses."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from oxaigen_auth_mock.config.constraints import Name, PermissionName, Text
from oxaigen_auth_mock.control import ClockStep
from oxaigen_auth_mock.journal.counts import fingerprint
from oxaigen_auth_mock.scenarios.builtin import find_ready
from oxaigen_auth_mock.scenarios.model import Scenario, Steps
from oxaigen_auth_mock.snapshot import Fingerprint

Responses = dict[int | str, dict[str, Any]]


class Detail(BaseModel):
    """The reason for an error, in a sentence."""

    detail: str


class Conflict(Detail):
    """The reason for a conflict, and the field that another persona has."""

    field: Literal["name", "token"]


FORBIDDEN: Final[Responses] = {403: {"model": Detail, "description": "Called by a foreign page"}}
NOT_FOUND: Final[Responses] = {404: {"model": Detail, "description": "Not found"}}
CONFLICT: Final[Responses] = {
    409: {"model": Conflict, "description": "Another persona has the name or the token"}
}
EVENT_STREAM: Final[Responses] = {
    200: {"content": {"text/event-stream": {}}, "description": "Server-sent events"}
}


class RequestBody(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


class PermissionChange(RequestBody):
    """Whether a persona has a permission."""

    persona: str
    permission: PermissionName
    granted: Annotated[bool, Field(strict=True)]


class AutoLogin(RequestBody):
    """The persona that signs in automatically; `deny` refuses, null asks or uses the default."""

    persona: str | None


class Revocation(RequestBody):
    """A token to revoke, itself or its fingerprint."""

    token: Annotated[str, Field(min_length=1)] | None = None
    fingerprint: Fingerprint | None = None

    @model_validator(mode="after")
    def _check_one_is_given(self) -> "Revocation":
        if (self.token is None) == (self.fingerprint is None):
            raise ValueError("pass either a token or its fingerprint")
        return self

    @property
    def revoked_fingerprint(self) -> str:
        return self.fingerprint or fingerprint(self.token)


class ScenarioToPlay(RequestBody):
    """A scenario with its steps, or the name of a ready one."""

    name: Name = "unnamed"
    description: Text = ""
    steps: Steps | None = None

    def resolve(self, ready: Mapping[str, Scenario]) -> Scenario:
        """Return the scenario to play.

        Raises:
            UnknownScenarioError: it has no steps, and no ready one has its name.
        """
        if self.steps is None:
            return find_ready(self.name, ready)
        return Scenario(name=self.name, description=self.description, steps=self.steps)


class ClockChange(RequestBody):
    """How far to move the clock."""

    advance: ClockStep


class AddedFault(BaseModel):
    id: int

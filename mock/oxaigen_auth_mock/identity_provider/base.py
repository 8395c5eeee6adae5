"""What an identity provider issues, and the interface that the routes call."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, TypeAlias

from attrs import define, field, frozen
from pydantic import BaseModel, ConfigDict, Field

from oxaigen_auth_mock.config.settings import MockSettings
from oxaigen_auth_mock.personas.model import Persona
from oxaigen_auth_mock.personas.store import PersonaStore


class ProviderError(Exception):
    """The provider rejects a code, a token or a sign-in; the message is the reason to report."""


@frozen
class Tokens:
    """The tokens of a completed sign-in or refresh."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)


@frozen
class AccessToken:
    """The owner of an access token, by name, and whether the token has expired."""

    persona: str
    expired: bool


CredentialKind: TypeAlias = Literal["sign-in", "code", "access", "refresh"]
_Value: TypeAlias = Annotated[str, Field(min_length=1, max_length=4096, repr=False)]


class Credential(BaseModel):
    """One thing that a provider has issued and remembers; part of a snapshot."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    kind: CredentialKind
    value: _Value
    session: Annotated[_Value, Field(description="The sign-in that it belongs to.")]
    persona: Annotated[str, Field(description="Name of its owner; empty before one is picked.")]
    expires_at: Annotated[
        float, Field(strict=True, allow_inf_nan=False, description="Unix time in seconds.")
    ]
    used: Annotated[bool, Field(strict=True)] = False


@define(eq=False)
class IdentityProvider(ABC):
    """Issue codes and tokens for personas, without any HTTP.

    A provider that remembers what it has issued overrides the methods that are not abstract.
    """

    settings: MockSettings
    personas: PersonaStore

    @abstractmethod
    def start_sign_in(self) -> str:
        """Start a sign-in and return its ticket, which its signed state carries."""

    @abstractmethod
    def issue_code(self, ticket: str, persona: str) -> str:
        """Return a code with which the persona completes the sign-in.

        Raises:
            ProviderError: the sign-in is over.
        """

    @abstractmethod
    def exchange_code(self, ticket: str, code: str) -> Tokens:
        """Exchange a code for tokens.

        Raises:
            ProviderError: the code is not valid for this sign-in.
        """

    @abstractmethod
    def refresh(self, token: str) -> Tokens:
        """Exchange a refresh token for new tokens.

        Raises:
            ProviderError: the refresh token is not valid.
        """

    @abstractmethod
    def may_have_issued(self, refresh_token: str) -> bool:
        """Return whether a refresh token can be one of this mock, also of an earlier run."""

    def end_session(self, refresh_token: str) -> None:  # noqa: B027 - optional
        """End the session of a refresh token, if it has one."""

    def find_access_token(self, token: str) -> AccessToken | None:  # noqa: ARG002 - optional
        """Return the access token, or None if this provider has not issued it."""
        return None

    def export(self) -> list[Credential]:
        """Return all that was issued and is remembered, oldest first."""
        return []

    def restore(self, issued: Iterable[Credential]) -> None:  # noqa: B027 - optional
        """Replace all that is remembered."""


def can_refresh(persona: Persona | None) -> bool:
    """Return whether refresh tokens of a persona work: it exists and is not expired."""
    return persona is not None and persona.state != "expired"

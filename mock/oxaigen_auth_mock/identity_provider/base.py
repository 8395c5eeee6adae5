"""The identity provider behind the proxy: what signing in hands out, and for whom it is good.

Two of them: the static one here, and the strict one that behaves like those out there. Neither
knows HTTP.
"""

from collections.abc import Iterable
from typing import Annotated, Literal, Protocol, TypeAlias
from urllib.parse import quote, unquote

from attrs import define, field, frozen
from pydantic import BaseModel, ConfigDict, Field

from oxaigen_auth_mock.config.settings import MockSettings
from oxaigen_auth_mock.personas.model import Persona
from oxaigen_auth_mock.personas.store import PersonaStore


class ProviderError(Exception):
    """The provider refuses; its message is the reason, fit to be shown: `Code already used`."""


@frozen
class Tokens:
    """What a sign-in or a refresh hands out."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)


@frozen
class Access:
    """Whose an access token is, by name, and whether its time is over."""

    persona: str
    expired: bool


Kind: TypeAlias = Literal["sign-in", "code", "access", "refresh"]
_Value: TypeAlias = Annotated[str, Field(min_length=1, max_length=4096, repr=False)]


class Issued(BaseModel):
    """One thing that a provider has handed out and remembers, as an export of a mock holds it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    value: _Value
    session: Annotated[_Value, Field(description="The sign-in that it comes from.")]
    persona: Annotated[str, Field(description="Whose, by name; empty before they are picked.")]
    ends: Annotated[
        float, Field(strict=True, allow_inf_nan=False, description="Unix time in seconds.")
    ]
    used: Annotated[bool, Field(strict=True)] = False


class Provider(Protocol):
    def begin(self) -> str:
        """Begin a sign-in; gives a value that its signed state carries."""
        ...

    def code(self, sign_in: str, persona: str) -> str:
        """Let a persona sign in; gives the code with which the sign-in goes on."""
        ...

    def exchange(self, sign_in: str, code: str) -> Tokens:
        """Take a code for tokens. Raises `ProviderError` where it is not good for this sign-in."""
        ...

    def refresh(self, token: str) -> Tokens:
        """Take a refresh token for new tokens. Raises `ProviderError` where it is not good."""
        ...

    def sign_out(self, refresh_token: str) -> None:
        """End the session of a refresh token, if it has one."""
        ...

    def access(self, token: str) -> Access | None:
        """Find whose access token this is; None for one that was not handed out."""
        ...

    def export(self) -> list[Issued]:
        """Tell all that it remembers, the oldest first."""
        ...

    def restore(self, issued: Iterable[Issued]) -> None:
        """Remember this and nothing else."""
        ...


def may_refresh(persona: Persona | None) -> bool:
    """Whether a refresh token of somebody is good: not if they are gone, or their time is over."""
    return persona is not None and persona.state != "expired"


@define(eq=False)
class StaticProvider:
    """Hands out the same values every time, so that scripts can know them.

    The code and the refresh token of anybody but the default user end in `~` and their name.
    """

    settings: MockSettings
    roster: PersonaStore

    def begin(self) -> str:
        return ""

    def code(self, sign_in: str, persona: str) -> str:  # noqa: ARG002 - good for every sign-in
        return self._marked(self.settings.auth_code, persona)

    def exchange(self, sign_in: str, code: str) -> Tokens:  # noqa: ARG002 - as above
        """Take any code; one with an unknown name in it is refused."""
        plain = self.settings.auth_code
        marked = code.startswith(f"{plain}~")
        persona = self._named_in(code, plain) if marked else self._default()
        if persona is None:
            raise ProviderError("Invalid code")
        return self._tokens(persona)

    def refresh(self, token: str) -> Tokens:
        persona = self._named_in(token, self.settings.refresh_token_value)
        if persona is None or not may_refresh(persona):
            raise ProviderError("invalid_grant")
        return self._tokens(persona)

    def sign_out(self, refresh_token: str) -> None:
        """End nothing: a static token stays good."""

    def access(self, token: str) -> Access | None:  # noqa: ARG002 - the roster knows them all
        return None

    def export(self) -> list[Issued]:
        return []

    def restore(self, issued: Iterable[Issued]) -> None:
        """Remember nothing: all that it hands out is in the settings and the roster."""

    def _tokens(self, persona: Persona) -> Tokens:
        return Tokens(persona.token, self._marked(self.settings.refresh_token_value, persona.name))

    def _marked(self, value: str, name: str) -> str:
        return value if name == self.roster.default.name else f"{value}~{quote(name, safe='')}"

    def _named_in(self, value: str, plain: str) -> Persona | None:
        """Find whom a value is for: the plain one is the default user's."""
        if value == plain:
            return self._default()
        before, mark, name = value.partition(f"{plain}~")  # a name may have a ~ as well
        return self.roster.named(unquote(name)) if mark and not before else None

    def _default(self) -> Persona | None:
        return self.roster.default if self.roster.personas else None

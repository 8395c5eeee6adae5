"""The identity provider behind the proxy: what signing in hands out, and for whom it is good.

Two of them: the static one here, and the strict one that behaves like those out there. Neither
knows HTTP.
"""

from typing import Protocol
from urllib.parse import quote, unquote

from attrs import define, frozen

from oxaigen_auth_mock.roster import Roster
from oxaigen_auth_mock.settings import MockSettings


class ProviderError(Exception):
    """The provider refuses; its message is the reason, fit to be shown: `Code already used`."""


@frozen
class Tokens:
    """What a sign-in or a refresh hands out."""

    access: str
    refresh: str


@frozen
class Access:
    """Whose an access token is, by name, and whether its time is over."""

    persona: str
    expired: bool


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


@define(eq=False)
class StaticProvider:
    """Hands out the same values every time, so that scripts can know them.

    The code and the refresh token of anybody but the default user end in `~` and their name.
    """

    settings: MockSettings
    roster: Roster

    def begin(self) -> str:
        return ""

    def code(self, sign_in: str, persona: str) -> str:  # noqa: ARG002 - good for every sign-in
        return self._marked(self.settings.auth_code, persona)

    def exchange(self, sign_in: str, code: str) -> Tokens:  # noqa: ARG002 - as above
        """Take any code; one with an unknown name in it is refused."""
        name = _name_in(code, self.settings.auth_code) or self.roster.default.name
        return self._tokens(name, "Invalid code")

    def refresh(self, token: str) -> Tokens:
        plain = self.settings.refresh_token_value
        if token == plain:
            return self._tokens(self.roster.default.name, "invalid_grant")
        return self._tokens(_name_in(token, plain), "invalid_grant")

    def sign_out(self, refresh_token: str) -> None:
        """End nothing: a static token stays good."""

    def access(self, token: str) -> Access | None:  # noqa: ARG002 - the roster knows them all
        return None

    def _tokens(self, name: str | None, refusal: str) -> Tokens:
        persona = self.roster.named(name or "")
        if persona is None:
            raise ProviderError(refusal)
        return Tokens(persona.token, self._marked(self.settings.refresh_token_value, persona.name))

    def _marked(self, value: str, name: str) -> str:
        return value if name == self.roster.default.name else f"{value}~{quote(name, safe='')}"


def _name_in(value: str, plain: str) -> str | None:
    """Read the name behind the mark, if there is one."""
    before, mark, name = value.rpartition("~")
    return unquote(name) if mark and before == plain else None

"""The default identity provider, whose codes and tokens never change."""

from collections.abc import Iterable
from urllib.parse import quote, unquote

from attrs import define

from oxaigen_auth_mock.config.settings import MockSettings
from oxaigen_auth_mock.identity_provider.base import (
    AccessToken,
    Credential,
    ProviderError,
    Tokens,
    can_refresh,
)
from oxaigen_auth_mock.personas.model import Persona
from oxaigen_auth_mock.personas.store import PersonaStore


@define(eq=False)
class StaticProvider:
    """Issue the same values every time, so that scripts can contain them.

    The default user gets the values of the settings. For another persona, `~` and its name are
    appended to the code and the refresh token.
    """

    settings: MockSettings
    roster: PersonaStore

    def start_sign_in(self) -> str:
        return ""

    def issue_code(self, ticket: str, persona: str) -> str:  # noqa: ARG002 - valid for every sign-in
        return self._with_name(self.settings.auth_code, persona)

    def exchange_code(self, ticket: str, code: str) -> Tokens:  # noqa: ARG002 - as above
        """Accept any code, except one with the name of a persona that does not exist."""
        plain = self.settings.auth_code
        has_name = code.startswith(f"{plain}~")
        persona = self._owner(code, plain) if has_name else self._default()
        if persona is None:
            raise ProviderError("Invalid code")
        return self._tokens(persona)

    def refresh(self, token: str) -> Tokens:
        persona = self._owner(token, self.settings.refresh_token_value)
        if persona is None or not can_refresh(persona):
            raise ProviderError("invalid_grant")
        return self._tokens(persona)

    def end_session(self, refresh_token: str) -> None:
        """Do nothing: static tokens stay valid."""

    def find_access_token(self, token: str) -> AccessToken | None:  # noqa: ARG002 - the roster has them all
        return None

    def export(self) -> list[Credential]:
        return []

    def restore(self, issued: Iterable[Credential]) -> None:
        """Do nothing: all values come from the settings and the personas."""

    def _tokens(self, persona: Persona) -> Tokens:
        refresh = self._with_name(self.settings.refresh_token_value, persona.name)
        return Tokens(persona.token, refresh)

    def _with_name(self, value: str, name: str) -> str:
        return value if name == self.roster.default.name else f"{value}~{quote(name, safe='')}"

    def _owner(self, value: str, plain: str) -> Persona | None:
        """Return the owner of a value; the plain value belongs to the default user."""
        if value == plain:
            return self._default()
        before, separator, name = value.partition(f"{plain}~")  # a name may contain ~ as well
        return self.roster.named(unquote(name)) if separator and not before else None

    def _default(self) -> Persona | None:
        return self.roster.default if self.roster.personas else None

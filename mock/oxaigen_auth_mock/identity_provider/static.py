"""The default identity provider, whose codes and tokens never change."""

from urllib.parse import quote, unquote

from attrs import define

from oxaigen_auth_mock.identity_provider.base import (
    IdentityProvider,
    ProviderError,
    Tokens,
    can_refresh,
)
from oxaigen_auth_mock.personas.model import Persona


@define(eq=False)
class StaticProvider(IdentityProvider):
    """Issue the same values every time, so that scripts can contain them.

    The default user gets the values of the settings. For another persona, `~` and its name are
    appended to the code and the refresh token.
    """

    def start_sign_in(self) -> str:
        return ""

    def issue_code(self, ticket: str, persona: str) -> str:  # noqa: ARG002 - valid for every sign-in
        return self._with_name(self.settings.auth_code, persona)

    def exchange_code(self, ticket: str, code: str) -> Tokens:  # noqa: ARG002 - as above
        """Accept any code, except one with the name of a persona that does not exist."""
        plain = self.settings.auth_code
        has_name = code.startswith(f"{plain}~")
        persona = self._owner(code, plain) if has_name else self.personas.default
        if persona is None:
            raise ProviderError("Invalid code")
        return self._tokens(persona)

    def refresh(self, token: str) -> Tokens:
        persona = self._owner(token, self.settings.refresh_token_value)
        if persona is None or not can_refresh(persona):
            raise ProviderError("invalid_grant")
        return self._tokens(persona)

    def may_have_issued(self, refresh_token: str) -> bool:
        return self._owner(refresh_token, self.settings.refresh_token_value) is not None

    def _tokens(self, persona: Persona) -> Tokens:
        refresh = self._with_name(self.settings.refresh_token_value, persona.name)
        return Tokens(persona.token, refresh)

    def _with_name(self, value: str, name: str) -> str:
        is_default = self.personas.default == self.personas.named(name)
        return value if is_default else f"{value}~{quote(name, safe='')}"

    def _owner(self, value: str, plain: str) -> Persona | None:
        """Return the owner of a value; the plain value belongs to the default user."""
        if value == plain:
            return self.personas.default
        before, separator, name = value.partition(f"{plain}~")  # a name may contain ~ as well
        return self.personas.named(unquote(name)) if separator and not before else None

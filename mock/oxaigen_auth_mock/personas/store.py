"""The personas of one running mock, by name and by token."""

import json
from collections.abc import Iterable, Iterator

from attrs import define, field

from oxaigen_auth_mock.config.settings import MockSettings
from oxaigen_auth_mock.personas.builtin import builtin_personas
from oxaigen_auth_mock.personas.model import Persona, State, profile_of


class UnknownPersonaError(LookupError):
    """No persona has the name."""


class NameTakenError(ValueError):
    """Another persona has the name."""


class TokenTakenError(ValueError):
    """Another persona, which the message names, has the token."""


@define(eq=False)
class PersonaStore:
    """The personas of a mock, with unique names.

    If two have the same token, it belongs to the first. The tokens of the settings belong to the
    settings' user while that persona exists.
    """

    settings: MockSettings
    _named: dict[str, Persona] = field(init=False, factory=dict[str, Persona])
    _holders: dict[str, Persona] = field(init=False, factory=dict[str, Persona])
    _profiles: dict[str, bytes] = field(init=False, factory=dict[str, bytes])

    def __attrs_post_init__(self) -> None:
        personas: dict[str, Persona] = {}
        for persona in builtin_personas(self.settings):
            personas.setdefault(persona.name, persona)
        self.replace(personas.values())

    def __iter__(self) -> Iterator[Persona]:
        return iter(self._named.values())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._named)

    @property
    def default(self) -> Persona | None:
        """The persona that signs in by default: the settings' user, else the first one."""
        return self.named(self.settings.user_name) or next(iter(self), None)

    def named(self, name: str) -> Persona | None:
        """Return the persona with a name, if there is one."""
        return self._named.get(name)

    def require(self, name: str) -> Persona:
        """Return the persona with a name.

        Raises:
            UnknownPersonaError: no persona has the name.
        """
        persona = self._named.get(name)
        if persona is None:
            raise UnknownPersonaError(f"no persona is called {name!r}")
        return persona

    def holder(self, token: str | None) -> Persona | None:
        """Return the persona that has the token, apart from tokens issued by signing in."""
        return self._holders.get(token or "")

    def blocking_holder(self, token: str) -> str | None:
        """Return the name of the persona that keeps others from having a token.

        None for the forbidden token, which stays forbidden, whoever has it.
        """
        holder = self.holder(token)
        if holder is None or token == self.settings.forbidden_token:
            return None
        return holder.name

    def profile(self, persona: Persona) -> bytes:
        """Return what get-me answers for a persona, as compact JSON that is rendered once."""
        return self._profiles[persona.name]

    def put(self, persona: Persona) -> None:
        """Add a persona, or replace the one with its name.

        Raises:
            TokenTakenError: another persona has its token.
        """
        holder = self._holders.get(persona.token)
        if holder is not None and holder.name != persona.name:
            raise TokenTakenError(
                f"{holder.name!r} already has the token of {persona.name!r}; choose another one"
            )
        self.replace({**self._named, persona.name: persona}.values())

    def merge(self, personas: Iterable[Persona]) -> None:
        """Add personas, or replace those with their names. Their tokens are not checked."""
        self.replace({each.name: each for each in (*self, *personas)}.values())

    def remove(self, name: str) -> None:
        """Remove a persona and its tokens.

        Raises:
            UnknownPersonaError: no persona has the name.
        """
        self.require(name)
        self.replace(each for each in self if each.name != name)

    def set_state(self, name: str, state: State) -> None:
        """Change the state of a persona, and nothing else."""
        changed = self.require(name).model_copy(update={"state": state})
        self.replace({**self._named, name: changed}.values())

    def tokens_of(self, name: str) -> list[str]:
        """Return the tokens of a persona, apart from tokens issued by signing in."""
        return [token for token, holder in self._holders.items() if holder.name == name]

    def replace(self, personas: Iterable[Persona]) -> None:
        """Replace all personas."""
        self._named = {persona.name: persona for persona in personas}
        self._profiles = {
            name: _compact_json(profile_of(persona, self.settings))
            for name, persona in self._named.items()
        }
        self._holders = {}
        for persona in self:
            self._holders.setdefault(persona.token, persona)
        user = self.named(self.settings.user_name)
        if user is not None:
            for token in (*self.settings.tokens, self.settings.access_token_value):
                if token != self.settings.forbidden_token:
                    self._holders[token] = user


def _compact_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

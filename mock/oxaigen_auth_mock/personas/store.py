"""Whom one running mock knows, by name and by token. Knows no HTTP."""

import json
from collections.abc import Iterable

from attrs import define, field

from oxaigen_auth_mock.config.settings import MockSettings
from oxaigen_auth_mock.personas.builtin import builtin_personas
from oxaigen_auth_mock.personas.model import Persona, profile_of


class UnknownPersonaError(LookupError):
    """Nobody has this name, or nobody is left; the message says so."""


class NameTakenError(ValueError):
    """There is a persona of this name already; the message says so."""


class TokenTakenError(ValueError):
    """Another persona has this token; the message says who."""


@define(eq=False)
class PersonaStore:
    """The personas of a mock; no two have the same name.

    Of two with the same token the one that came first has it. Further tokens of the settings are
    the user's, for as long as the user is there.
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

    @property
    def personas(self) -> tuple[Persona, ...]:
        return tuple(self._named.values())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._named)

    @property
    def default(self) -> Persona:
        """Who signs in when nobody is picked: the settings' user, else whoever comes first.

        Raises:
            UnknownPersonaError: nobody is left.
        """
        for persona in (self.named(self.settings.user_name), *self.personas):
            if persona is not None:
                return persona
        raise UnknownPersonaError("no persona is left; add one or reset the mock")

    def named(self, name: str) -> Persona | None:
        return self._named.get(name)

    def holder(self, token: str | None) -> Persona | None:
        """Find whose configured token this is."""
        return self._holders.get(token or "")

    def profile(self, persona: Persona) -> bytes:
        """What get-me answers about a persona, as compact JSON rendered once."""
        return self._profiles[persona.name]

    def put(self, persona: Persona) -> None:
        """Take in a persona, in place of the one of that name.

        Raises:
            TokenTakenError: another persona has this token.
        """
        holder = self._holders.get(persona.token)
        if holder is not None and holder.name != persona.name:
            raise TokenTakenError(
                f"{holder.name!r} already has the token of {persona.name!r}; choose another one"
            )
        self.replace({**self._named, persona.name: persona}.values())

    def remove(self, name: str) -> None:
        """Take out a persona, whose tokens are unknown from then on.

        Raises:
            UnknownPersonaError: nobody has this name.
        """
        if name not in self._named:
            raise UnknownPersonaError(f"no persona is called {name!r}")
        self.replace(each for each in self.personas if each.name != name)

    def replace(self, personas: Iterable[Persona]) -> None:
        """Know these and nobody else."""
        self._named = {persona.name: persona for persona in personas}
        self._profiles = {
            name: _compact_json(profile_of(persona, self.settings))
            for name, persona in self._named.items()
        }
        self._holders = {}
        for persona in self.personas:
            self._holders.setdefault(persona.token, persona)
        user = self.named(self.settings.user_name)
        if user is not None:
            for token in (*self.settings.tokens, self.settings.access_token_value):
                if token != self.settings.forbidden_token:
                    self._holders[token] = user


def _compact_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

from collections.abc import Callable, Iterable

import pytest
from attrs import define, field, frozen
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
)
from pydantic import TypeAdapter, ValidationError

from oxaigen_auth_mock import MockSettings, Persona
from oxaigen_auth_mock.identity_provider.base import (
    AccessToken,
    Credential,
    IdentityProvider,
    ProviderError,
    Tokens,
)
from oxaigen_auth_mock.identity_provider.static import StaticProvider
from oxaigen_auth_mock.identity_provider.strict import (
    CODE_TTL,
    MAX_CREDENTIALS,
    STATE_TTL,
    StrictProvider,
)
from oxaigen_auth_mock.journal.clock import Clock
from oxaigen_auth_mock.personas.store import PersonaStore

ACCESS_LASTS = 300
REFRESH_LASTS = 1800


@define(eq=False)
class Strict:
    """A strict provider with a clock that stands still until it is moved."""

    time: float = 1_000_000.0
    personas: PersonaStore = field(factory=lambda: PersonaStore(MockSettings()))
    provider: StrictProvider = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.provider = self.another()

    def another(self) -> StrictProvider:
        return StrictProvider(MockSettings(), self.personas, Clock(lambda: self.time))

    def sign_in(self, persona: str = "guest") -> tuple[str, str]:
        ticket = self.provider.start_sign_in()
        return ticket, self.provider.issue_code(ticket, persona)

    def tokens(self, persona: str = "guest") -> Tokens:
        return self.provider.exchange_code(*self.sign_in(persona))

    def is_good(self, tokens: Tokens) -> bool:
        access = self.provider.find_access_token(tokens.access)
        return access is not None and not access.expired


@pytest.fixture
def strict() -> Strict:
    return Strict()


def refusal(call: Callable[..., object], *arguments: str) -> str:
    with pytest.raises(ProviderError) as caught:
        call(*arguments)
    return str(caught.value)


def test_a_code_gives_fresh_tokens_of_its_persona(strict: Strict) -> None:
    one, other = strict.tokens("guest"), strict.tokens("admin")
    assert len({one.access, one.refresh, other.access, other.refresh}) == 4
    assert strict.provider.find_access_token(one.access) == AccessToken("guest", expired=False)
    assert strict.provider.find_access_token(other.access) == AccessToken("admin", expired=False)


def test_tokens_that_were_not_issued_are_unknown(strict: Strict) -> None:
    tokens = strict.tokens()
    assert strict.provider.find_access_token("mock-dev-token") is None
    assert strict.provider.find_access_token(tokens.refresh) is None
    assert refusal(strict.provider.refresh, tokens.access) == "invalid_grant"
    assert refusal(strict.provider.refresh, "mock-dev-refresh-token") == "invalid_grant"


def test_a_state_expires(strict: Strict) -> None:
    ticket, code = strict.sign_in()
    strict.time += STATE_TTL
    assert refusal(strict.provider.issue_code, ticket, "guest") == "Expired state"
    assert refusal(strict.provider.exchange_code, ticket, code) == "Expired state"


def test_a_forgotten_state_has_expired(strict: Strict) -> None:
    assert refusal(strict.provider.issue_code, "who", "guest") == "Expired state"
    assert refusal(strict.provider.exchange_code, "who", strict.sign_in()[1]) == "Expired state"


def test_a_state_is_valid_until_it_expires(strict: Strict) -> None:
    ticket = strict.provider.start_sign_in()
    strict.time += STATE_TTL - 1
    strict.provider.exchange_code(ticket, strict.provider.issue_code(ticket, "guest"))


def test_a_state_works_once(strict: Strict) -> None:
    ticket, code = strict.sign_in()
    second = strict.provider.issue_code(ticket, "admin")
    tokens = strict.provider.exchange_code(ticket, code)
    assert refusal(strict.provider.issue_code, ticket, "guest") == "State already used"
    assert refusal(strict.provider.exchange_code, ticket, second) == "State already used"
    assert strict.is_good(tokens)


def test_a_code_expires(strict: Strict) -> None:
    ticket, code = strict.sign_in()
    strict.time += CODE_TTL
    assert refusal(strict.provider.exchange_code, ticket, code) == "Expired code"
    strict.provider.exchange_code(ticket, strict.provider.issue_code(ticket, "guest"))


def test_a_code_is_valid_only_with_its_own_state(strict: Strict) -> None:
    (ticket, code), (other, _) = strict.sign_in(), strict.sign_in()
    assert refusal(strict.provider.exchange_code, other, code) == "Invalid code"
    assert refusal(strict.provider.exchange_code, ticket, "mock-auth-code") == "Invalid code"
    assert strict.is_good(strict.provider.exchange_code(ticket, code))


def test_a_code_with_a_used_state_ends_the_session_that_it_opened(strict: Strict) -> None:
    ticket, code = strict.sign_in()
    tokens, bystander = strict.provider.exchange_code(ticket, code), strict.tokens()
    assert refusal(strict.provider.exchange_code, ticket, code) == "State already used"
    assert strict.provider.find_access_token(tokens.access) is None
    assert refusal(strict.provider.refresh, tokens.refresh) == "invalid_grant"
    assert strict.is_good(bystander)


def test_a_used_code_with_a_fresh_state_ends_the_session_that_it_opened(strict: Strict) -> None:
    ticket, code = strict.sign_in()
    tokens = strict.provider.exchange_code(ticket, code)
    assert (
        refusal(strict.provider.exchange_code, strict.provider.start_sign_in(), code)
        == "Code already used"
    )
    assert not strict.is_good(tokens)


def test_an_access_token_expires(strict: Strict) -> None:
    tokens = strict.tokens()
    strict.time += ACCESS_LASTS - 1
    assert strict.is_good(tokens)
    strict.time += 1
    assert strict.provider.find_access_token(tokens.access) == AccessToken("guest", expired=True)


def test_a_refresh_gives_fresh_tokens_and_leaves_the_access_token(strict: Strict) -> None:
    first = strict.tokens()
    second = strict.provider.refresh(first.refresh)
    assert {first.access, first.refresh}.isdisjoint({second.access, second.refresh})
    assert strict.is_good(first)
    assert strict.is_good(second)


def test_a_refresh_token_expires(strict: Strict) -> None:
    tokens = strict.tokens()
    strict.time += REFRESH_LASTS - 1
    fresh = strict.provider.refresh(tokens.refresh)
    strict.time += REFRESH_LASTS
    assert refusal(strict.provider.refresh, fresh.refresh) == "invalid_grant"


def test_a_reused_refresh_token_ends_the_whole_session_and_no_other(strict: Strict) -> None:
    first, bystander = strict.tokens(), strict.tokens()
    second = strict.provider.refresh(first.refresh)
    third = strict.provider.refresh(second.refresh)
    assert refusal(strict.provider.refresh, first.refresh) == "invalid_grant"
    assert not any(map(strict.is_good, (first, second, third)))
    assert refusal(strict.provider.refresh, third.refresh) == "invalid_grant"
    assert strict.is_good(bystander)


def test_signing_out_ends_the_whole_session_and_no_other(strict: Strict) -> None:
    first, bystander = strict.tokens(), strict.tokens()
    second = strict.provider.refresh(first.refresh)
    strict.provider.end_session(second.refresh)
    strict.provider.end_session("unknown")
    assert not any(map(strict.is_good, (first, second)))
    assert refusal(strict.provider.refresh, second.refresh) == "invalid_grant"
    assert strict.is_good(bystander)


def test_a_removed_persona_gets_no_tokens(strict: Strict) -> None:
    tokens, (ticket, code) = strict.tokens(), strict.sign_in()
    strict.personas.remove("guest")
    assert refusal(strict.provider.refresh, tokens.refresh) == "invalid_grant"
    assert refusal(strict.provider.exchange_code, ticket, code) == "Invalid code"
    strict.personas.put(Persona(name="guest"))
    strict.provider.refresh(tokens.refresh)
    strict.provider.exchange_code(ticket, code)


def test_an_expired_persona_gets_no_refresh(strict: Strict) -> None:
    tokens = strict.tokens()
    strict.personas.put(Persona(name="guest", state="expired"))
    assert refusal(strict.provider.refresh, tokens.refresh) == "invalid_grant"
    strict.personas.put(Persona(name="guest"))
    assert strict.is_good(strict.provider.refresh(tokens.refresh))


def test_its_state_can_be_loaded_by_another(strict: Strict) -> None:
    (ticket, code), old = strict.sign_in(), strict.tokens()
    fresh = strict.provider.refresh(old.refresh)
    models = TypeAdapter(list[Credential])
    exported = models.dump_json(strict.provider.export())
    other = strict.another()
    other.start_sign_in()
    other.restore(models.validate_json(exported))
    assert other.export() == strict.provider.export()
    other.exchange_code(ticket, code)
    assert other.find_access_token(fresh.access) == AccessToken("guest", expired=False)
    assert refusal(other.refresh, old.refresh) == "invalid_grant"
    assert other.find_access_token(fresh.access) is None
    assert strict.is_good(fresh)


@pytest.mark.parametrize(
    "change",
    [{"kind": "cookie"}, {"value": ""}, {"session": ""}, {"expires_at": "nan"},
     {"expires_at": None}, {"used": None}, {"more": 1}],
)  # fmt: skip
def test_an_invalid_credential_is_refused(strict: Strict, change: dict[str, object]) -> None:
    strict.sign_in()
    good = strict.provider.export()[0].model_dump()
    assert Credential.model_validate(good) == strict.provider.export()[0]
    with pytest.raises(ValidationError):
        Credential.model_validate({**good, **change})


def test_only_the_newest_entries_are_remembered(strict: Strict) -> None:
    tokens = strict.tokens()
    for _ in range(MAX_CREDENTIALS - 1):
        strict.provider.start_sign_in()
    last = strict.provider.start_sign_in()
    assert len(strict.provider.export()) == MAX_CREDENTIALS
    assert strict.provider.find_access_token(tokens.access) is None
    assert strict.provider.export()[-1].value == last
    strict.provider.restore([*strict.provider.export(), *Strict().provider.export()])
    assert len(strict.provider.export()) == MAX_CREDENTIALS


def test_no_code_or_token_is_in_its_repr(strict: Strict) -> None:
    ticket, code = strict.sign_in()
    tokens = strict.provider.exchange_code(ticket, code)
    shown = repr(strict.provider) + repr(strict.provider.export()) + repr(tokens)
    assert not [secret for secret in (code, tokens.access, tokens.refresh) if secret in shown]


@pytest.fixture
def static() -> StaticProvider:
    settings = MockSettings()
    return StaticProvider(settings, PersonaStore(settings))


def test_the_static_provider_issues_predictable_tokens(static: StaticProvider) -> None:
    assert static.issue_code(static.start_sign_in(), "devuser") == "mock-auth-code"
    assert static.issue_code(static.start_sign_in(), "guest") == "mock-auth-code~guest"
    default = Tokens("mock-dev-token", "mock-dev-refresh-token")
    guest = Tokens("mock-guest-token", "mock-dev-refresh-token~guest")
    assert static.exchange_code("", "any code") == default
    assert static.exchange_code("", "mock-auth-code~guest") == guest
    assert static.refresh(default.refresh) == default
    assert static.refresh(guest.refresh) == guest


def test_the_static_provider_encodes_and_decodes_any_name(static: StaticProvider) -> None:
    name = "Zoë~~ <b>;,%"
    static.personas.put(Persona(name=name, token="zoe"))
    code = static.issue_code("", name)
    assert code.isascii()
    assert static.exchange_code("", code).access == "zoe"
    assert static.refresh(static.exchange_code("", code).refresh).access == "zoe"


@pytest.mark.parametrize("code", ["mock-auth-code~nobody", "mock-auth-code~"])
def test_the_static_provider_refuses_a_code_with_an_unknown_name(
    static: StaticProvider, code: str
) -> None:
    assert refusal(static.exchange_code, "", code) == "Invalid code"


@pytest.mark.parametrize(
    "token",
    ["", "wrong", "wrong~guest", "mock-dev-refresh-token~", "mock-dev-refresh-token~nobody",
     "mock-dev-token", "~guest"],
)  # fmt: skip
def test_the_static_provider_refuses_a_wrong_refresh_token(
    static: StaticProvider, token: str
) -> None:
    assert refusal(static.refresh, token) == "invalid_grant"


def test_the_static_provider_refreshes_no_expired_persona(static: StaticProvider) -> None:
    static.personas.put(Persona(name="guest", state="expired"))
    assert refusal(static.refresh, "mock-dev-refresh-token~guest") == "invalid_grant"


def test_without_personas_the_static_provider_refuses(static: StaticProvider) -> None:
    static.personas.replace(())
    assert refusal(static.exchange_code, "", "mock-auth-code") == "Invalid code"
    assert refusal(static.refresh, "mock-dev-refresh-token") == "invalid_grant"


def test_the_static_provider_has_no_state(static: StaticProvider, strict: Strict) -> None:
    tokens = strict.tokens()
    static.restore(strict.provider.export())
    static.end_session("mock-dev-refresh-token")
    assert static.export() == []
    assert static.find_access_token(tokens.access) is None
    static.refresh("mock-dev-refresh-token")


def test_both_implement_the_provider_protocol(static: StaticProvider, strict: Strict) -> None:
    providers: Iterable[IdentityProvider] = (static, strict.provider)
    assert all(callable(provider.exchange_code) for provider in providers)


@define(eq=False)
class Session:
    """What the model knows of one sign-in; times are when things end."""

    ticket: str
    ends: float
    used_code: str | None = None
    access: dict[str, float] = field(factory=dict[str, float])
    used_refresh: set[str] = field(factory=set[str])
    over: bool = False


@frozen
class Given:
    """A code or refresh token that a session was given."""

    session: Session
    value: str
    ends: float


class StrictMachine(RuleBasedStateMachine):
    """Sign-ins that go right and wrong in any order, beside a plain model of each session."""

    sessions = Bundle("sessions")
    codes = Bundle("codes")
    refresh_tokens = Bundle("refresh_tokens")

    def __init__(self) -> None:
        super().__init__()
        self.strict = Strict()
        self.known: list[Session] = []

    @property
    def provider(self) -> StrictProvider:
        return self.strict.provider

    @rule(target=sessions)
    def begin(self) -> Session:
        return self._begun()

    @rule(seconds=st.sampled_from((1, CODE_TTL, ACCESS_LASTS, STATE_TTL, REFRESH_LASTS)))
    def wait(self, seconds: float) -> None:
        self.strict.time += seconds

    @rule()
    def move(self) -> None:
        exported = self.provider.export()
        self.strict.provider = self.strict.another()
        self.provider.restore(exported)

    @rule(target=codes, session=sessions)
    def code(self, session: Session) -> MultipleResults[Given]:
        reason = self._refused_state(session)
        if reason:
            assert refusal(self.provider.issue_code, session.ticket, "guest") == reason
            return multiple()
        code = self.provider.issue_code(session.ticket, "guest")
        return multiple(Given(session, code, self.strict.time + CODE_TTL))

    @rule(target=refresh_tokens, code=codes)
    def exchange(self, code: Given) -> MultipleResults[Given]:
        reason = self._refused_state(code.session) or (
            "Expired code" if self.strict.time >= code.ends else None
        )
        self._replay(code)
        if reason:
            assert refusal(self.provider.exchange_code, code.session.ticket, code.value) == reason
            return multiple()
        code.session.used_code = code.value
        return self._taken(
            code.session, self.provider.exchange_code(code.session.ticket, code.value)
        )

    @rule(code=codes)
    def exchange_at_another_sign_in(self, code: Given) -> None:
        replayed = code.value == code.session.used_code
        reason = "Code already used" if replayed else "Invalid code"
        self._replay(code)
        assert (
            refusal(self.provider.exchange_code, self.provider.start_sign_in(), code.value)
            == reason
        )

    @rule(target=refresh_tokens)
    def sign_in(self) -> MultipleResults[Given]:
        session = self._begun()
        session.used_code = self.provider.issue_code(session.ticket, "guest")
        tokens = self.provider.exchange_code(session.ticket, session.used_code)
        return self._taken(session, tokens)

    @rule(target=refresh_tokens, token=refresh_tokens)
    def refresh(self, token: Given) -> MultipleResults[Given]:
        session = token.session
        session.over |= token.value in session.used_refresh
        if session.over or self.strict.time >= token.ends:
            assert refusal(self.provider.refresh, token.value) == "invalid_grant"
            return multiple()
        session.used_refresh.add(token.value)
        return self._taken(session, self.provider.refresh(token.value))

    @rule(token=refresh_tokens)
    def sign_out(self, token: Given) -> None:
        self.provider.end_session(token.value)
        token.session.over = True

    @invariant()
    def an_access_token_is_good_until_it_or_its_session_ends(self) -> None:
        for session in self.known:
            for token, ends in session.access.items():
                found = self.provider.find_access_token(token)
                expired = self.strict.time >= ends
                assert found == (None if session.over else AccessToken("guest", expired))

    def _begun(self) -> Session:
        session = Session(self.provider.start_sign_in(), self.strict.time + STATE_TTL)
        self.known.append(session)
        return session

    def _replay(self, code: Given) -> None:
        code.session.over |= code.value == code.session.used_code

    def _taken(self, session: Session, tokens: Tokens) -> MultipleResults[Given]:
        assert not any(tokens.access in each.access for each in self.known)
        session.access[tokens.access] = self.strict.time + ACCESS_LASTS
        return multiple(Given(session, tokens.refresh, self.strict.time + REFRESH_LASTS))

    def _refused_state(self, session: Session) -> str | None:
        if session.used_code is not None:
            return "State already used"
        return "Expired state" if self.strict.time >= session.ends else None


StrictMachine.TestCase.settings = hypothesis_settings(deadline=None)
TestStrictMachine = StrictMachine.TestCase

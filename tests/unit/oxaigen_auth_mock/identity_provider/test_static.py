import pytest

from oxaigen_auth_mock import MockSettings, Persona, create_app
from oxaigen_auth_mock.identity_provider.base import ProviderError


@pytest.mark.parametrize("name", ["ada~b", "~", "a/b", "é~%7E", "mock-auth-code~"])
def test_a_persona_with_a_tilde_in_its_name_signs_in_and_refreshes(name: str) -> None:
    persona = Persona(name=name, token="t")
    provider = create_app(MockSettings(), personas=[persona]).mock_state.provider
    tokens = provider.exchange_code("", provider.issue_code("", name))
    assert tokens.access == "t"
    assert provider.refresh(tokens.refresh) == tokens


@pytest.mark.parametrize("token", ["x", "~guest", "mock-dev-refresh-token~", "x~guest"])
def test_a_refresh_token_without_a_persona_is_refused(token: str) -> None:
    with pytest.raises(ProviderError, match="invalid_grant"):
        create_app(MockSettings()).mock_state.provider.refresh(token)

"""What the control page and its API show of a mock, as JSON. No token but those of personas."""

from typing import Any, Final

from oxaigen_auth_mock.journal.counts import fingerprint
from oxaigen_auth_mock.personas.model import Persona
from oxaigen_auth_mock.state import MockProxy

SHOWN_TOKENS: Final = 100  # of the tokens that were used last


def state_of(proxy: MockProxy) -> dict[str, Any]:
    """All that the page shows but the calls."""
    settings = proxy.settings
    return {
        "strict": settings.strict,
        "pick": settings.pick,
        "auto_login": proxy.auto_login,
        "default": proxy.roster.default.name if proxy.roster.personas else None,
        "clock": {"now": proxy.clock.now(), "offset": proxy.clock.offset},
        "personas": [_persona(each) for each in proxy.roster.personas],
        "faults": proxy.faults.report(),
        "revoked": sorted(proxy.revoked),
        "counts": counts_of(proxy),
    }


def counts_of(proxy: MockProxy) -> dict[str, Any]:
    """The counts, with the tokens that were used last."""
    return proxy.journal.counts.report(tokens=SHOWN_TOKENS)


def calls_of(proxy: MockProxy, *, since: int) -> dict[str, Any]:
    """The calls that began or ended since a change, and which calls are still remembered."""
    return {
        "oldest": proxy.journal.oldest,
        "calls": [call.report() for call in proxy.journal.since(since)],
        "counts": counts_of(proxy),
    }


def _persona(persona: Persona) -> dict[str, Any]:
    return {**persona.model_dump(), "fingerprint": fingerprint(persona.token)}

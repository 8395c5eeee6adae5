"""The state of a mock as JSON, for the control page and its API.

The only tokens in it are those of personas.
"""

from typing import Any, Final

from oxaigen_auth_mock.journal.counts import fingerprint
from oxaigen_auth_mock.personas.model import Persona
from oxaigen_auth_mock.playback import scenario_report
from oxaigen_auth_mock.scenarios.builtin import ready_scenarios
from oxaigen_auth_mock.state import MockState

MAX_TOKENS: Final = 100  # the most recently used ones


def state_view(state: MockState) -> dict[str, Any]:
    """Return all that the page shows, except the calls."""
    settings, default, report = state.settings, state.personas.default, scenario_report(state)
    return {
        "strict": settings.strict,
        "pick": settings.pick,
        "auto_login": state.auto_login,
        "default": default.name if default else None,
        "clock": {"now": state.clock.now(), "offset": state.clock.offset},
        "personas": [_persona_view(each) for each in state.personas],
        "faults": state.faults.report(),
        "revoked": sorted(state.revoked),
        "scenario": None if report is None else report.model_dump(),
        "scenarios": scenarios_view(state),
        "counts": counts_view(state),
    }


def scenarios_view(state: MockState) -> list[dict[str, Any]]:
    """Return the ready scenarios with their names and their descriptions."""
    ready = ready_scenarios(state.personas).values()
    return [each.model_dump(include={"name", "description"}) for each in ready]


def counts_view(state: MockState) -> dict[str, Any]:
    """Return the counts, with the most recently used tokens, and how many tokens there are."""
    counts = state.journal.counts
    return {
        **counts.report(tokens=MAX_TOKENS),
        "token_count": counts.token_count,
        "personas": counts.per_persona(),
    }


def calls_view(state: MockState, *, since: int) -> dict[str, Any]:
    """Return the calls that began or ended after a change, and the oldest number remembered."""
    return {
        "oldest": state.journal.oldest,
        "calls": [call.report() for call in state.journal.since(since)],
        "counts": counts_view(state),
    }


def _persona_view(persona: Persona) -> dict[str, Any]:
    return {**persona.model_dump(), "fingerprint": fingerprint(persona.token)}

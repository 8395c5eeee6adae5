"""The scenarios that every mock has ready."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from oxaigen_auth_mock.config.validation_errors import did_you_mean
from oxaigen_auth_mock.personas.store import PersonaStore
from oxaigen_auth_mock.scenarios.model import Scenario

READY: Final = (
    "rolling-restart",
    "revoked-user",
    "expired-session",
    "flapping-proxy",
    "slow-database",
)


class UnknownScenarioError(LookupError):
    """No ready scenario has the name."""


def find_ready(name: str, ready: Mapping[str, Scenario]) -> Scenario:
    """Return the ready scenario with a name.

    Raises:
        UnknownScenarioError: there is none.
    """
    if name not in ready:
        expected = f"a file that ends in .toml or .json, or one of {', '.join(ready)}"
        raise UnknownScenarioError(
            f"no scenario is called {name!r}; expected {expected}{did_you_mean(name, ready)}"
        )
    return ready[name]


def _fault(at: float, until: float, kind: str, **fields: Any) -> dict[str, Any]:
    return {"at": at, "until": until, "fault": {"kind": kind, **fields}}


def _slow(at: float, until: float, median: float) -> dict[str, Any]:
    return _fault(at, until, "latency", distribution="log-normal", median=median, sigma=0.5)


def ready_scenarios(personas: PersonaStore) -> Mapping[str, Scenario]:
    """Return the ready scenarios by name; those about a user are about the default one."""
    default = personas.default
    return _scenarios_about(default.name if default else personas.settings.user_name)


@lru_cache(maxsize=16)
def _scenarios_about(user: str) -> Mapping[str, Scenario]:
    restarts = [
        step
        for start in (5, 15, 25)
        for step in (
            _fault(start, start + 3, "close", every=3),
            _fault(start + 3, start + 8, "status", status=503, retry_after=1, every=3),
        )
    ]
    about = (
        ("Three replicas of the proxy restart, one after another.", restarts),
        (
            "The user's tokens are revoked for 30 s.",
            [{"at": 10, "until": 40, "revoke": user}],
        ),
        (
            "The user's tokens expire, and refreshing fails, for 30 s.",
            [{"at": 10, "until": 40, "persona": {"name": user, "state": "expired"}}],
        ),
        (
            "The proxy fails for 5 s of every 10 s.",
            [_fault(start, start + 5, "status", status=503) for start in (5, 15, 25, 35)],
        ),
        (
            "The proxy gets slow, then some calls time out, then it recovers.",
            [
                _slow(5, 15, 0.5),
                _slow(15, 30, 2.0),
                _fault(15, 30, "status", status=504, probability=0.25),
                _slow(30, 40, 0.5),
            ],
        ),
    )
    return {
        name: Scenario.model_validate({"name": name, "description": words, "steps": steps})
        for name, (words, steps) in zip(READY, about, strict=True)
    }

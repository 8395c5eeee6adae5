"""The settings of the environment, also if some are invalid."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import fields

from oxaigen_auth._hints.variables import unknown_variables, variable
from oxaigen_auth.cli.report import SETTINGS, Finding, Setting
from oxaigen_auth.errors import OxaigenAuthConfigurationError
from oxaigen_auth.settings import OxaigenAuthSettings


def read_settings(
    environ: Mapping[str, str],
) -> tuple[OxaigenAuthSettings, list[Setting], list[Finding]]:
    """Return the settings, with defaults for the invalid ones, each one's source, and problems."""
    names = [setting.name for setting in fields(OxaigenAuthSettings)]
    texts = {variable(name): environ.get(variable(name), "").strip() for name in names}
    given = {name: text for name, text in texts.items() if text}
    faulty = {name: _faults({name: text}) for name, text in given.items()}
    findings = [finding for found in faulty.values() for finding in found]
    valid = {name: text for name, text in given.items() if not faulty[name]}
    if faults := _faults(valid):  # dev mode in production
        findings += faults
        del valid[variable("dev_mode")]
    settings = OxaigenAuthSettings.from_env(valid)
    for name, suggestion in unknown_variables(environ, names):
        findings.append(Finding(SETTINGS, "warn", f"{name} is unknown and ignored", suggestion))
    sources = [
        Setting(name, getattr(settings, name), _source(variable(name), valid, given))
        for name in names
    ]
    return settings, sources, findings + _advice(settings, given)


def _faults(environ: Mapping[str, str]) -> list[Finding]:
    """Return what is wrong with variables, as the error of the settings describes it."""
    try:
        OxaigenAuthSettings.from_env(environ)
    except OxaigenAuthConfigurationError as error:
        _, *faults = error.message.splitlines()
        advice = "Correct it: the app does not start."
        return [Finding(SETTINGS, "fail", fault.strip(), advice) for fault in faults]
    return []


def _source(name: str, valid: Mapping[str, str], given: Mapping[str, str]) -> str:
    if name in valid:
        return name
    return f"default, as {name} is invalid" if name in given else "default"


def _advice(settings: OxaigenAuthSettings, given: Mapping[str, str]) -> list[Finding]:
    total = len(fields(OxaigenAuthSettings))
    text = f"{len(given)} of {total} settings are in the environment"
    findings = [Finding(SETTINGS, "ok", text)]
    if settings.dev_mode:
        findings.append(
            Finding(
                SETTINGS,
                "warn",
                "OXAIGEN_AUTH_DEV_MODE is on: a mock validates the tokens",
                "Switch it off in production.",
            )
        )
    elif not settings.environment:
        findings.append(
            Finding(
                SETTINGS,
                "warn",
                "OXAIGEN_AUTH_ENVIRONMENT is unset, so a mock would be accepted",
                "In production, set it to production.",
            )
        )
    return findings

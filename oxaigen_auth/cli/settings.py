"""The settings of the environment, also if some are invalid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Attribute, fields

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
    valid, findings = given, _faults(given)
    while faults := _faults(valid):  # without an invalid variable, another one may be invalid
        invalid = {fault.text.split()[0] for fault in faults}
        valid = {name: text for name, text in valid.items() if name not in invalid}
    settings = OxaigenAuthSettings.from_env(valid)
    for name, suggestion in unknown_variables(environ, names):
        findings.append(Finding(SETTINGS, "warn", f"{name} is unknown and ignored", suggestion))
    sources = [
        Setting(it.name, _value(it, settings), _source(variable(it.name), valid, given))
        for it in fields(OxaigenAuthSettings)
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


def _value(setting: Attribute[Any], settings: OxaigenAuthSettings) -> Any:
    """Return the value of a setting; only what may be shown, if it holds a secret."""
    value = getattr(settings, setting.name)
    return setting.repr(value) if callable(setting.repr) and value else value


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
    if settings.shared_secret and variable("shared_store") not in given:
        findings.append(
            Finding(
                SETTINGS,
                "warn",
                "OXAIGEN_AUTH_SHARED_SECRET has no effect without OXAIGEN_AUTH_SHARED_STORE",
                "Set the store, or remove the secret.",
            )
        )
    return findings

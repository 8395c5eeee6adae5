"""Runs all checks of `doctor`, from the settings to the shared store."""

from __future__ import annotations

from collections.abc import Mapping

from oxaigen_auth._syntax.urls import base_url
from oxaigen_auth.cli.hosts import check_host
from oxaigen_auth.cli.network import NetworkCheck
from oxaigen_auth.cli.report import Report
from oxaigen_auth.cli.settings import read_settings
from oxaigen_auth.cli.shared_store import check_shared_store
from oxaigen_auth.cli.versions import check_versions


def examine(url: str | None, host: str | None, environ: Mapping[str, str]) -> Report:
    """Return the report on a proxy: that of `url`, otherwise that of the settings, or of `host`.

    Raises:
        ValueError: `url` is not an http or https URL.
    """
    target = base_url(url) if url is not None else None
    report = Report()
    settings, report.settings, report.findings = read_settings(environ)
    if target is None or host is not None:
        derived, findings = check_host(settings, host)
        report.findings += findings
        target = target or derived
    report.target = target
    if target is not None:
        report.findings += NetworkCheck(target, settings).run()
    report.findings += check_shared_store(settings)
    report.findings += check_versions()
    return report

"""What `doctor` found."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from attrs import asdict, define, field, frozen

SETTINGS = "Settings"  # the check that is shown below the settings themselves

Level: TypeAlias = Literal["ok", "warn", "fail"]


@frozen
class Finding:
    """The result of a check, and what to do about it."""

    check: str
    level: Level
    text: str
    advice: str = ""


@frozen
class Setting:
    """A setting, its value, and where that came from: "default", or a variable."""

    name: str
    value: Any
    source: str


@define(eq=False)
class Report:
    """The settings and the findings, in the order of the checks."""

    target: str | None = None
    settings: list[Setting] = field(factory=list[Setting])
    findings: list[Finding] = field(factory=list[Finding])

    @property
    def status(self) -> Level:
        """The worst level."""
        levels = {finding.level for finding in self.findings}
        return "fail" if "fail" in levels else "warn" if "warn" in levels else "ok"

    def by_check(self) -> dict[str, list[Finding]]:
        checks: dict[str, list[Finding]] = {}
        for finding in self.findings:
            checks.setdefault(finding.check, []).append(finding)
        return checks

    def as_dict(self) -> dict[str, Any]:
        return {"version": 1, "status": self.status, **asdict(self)}

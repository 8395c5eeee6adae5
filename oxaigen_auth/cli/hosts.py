"""Which proxy would validate the token of a request, by its host."""

from __future__ import annotations

from oxaigen_auth._syntax.hosts import resolve_base_url
from oxaigen_auth.cli.report import Finding
from oxaigen_auth.settings import OxaigenAuthSettings

CHECK = "Host"
_UNCHECKED = Finding(
    CHECK,
    "warn",
    "OXAIGEN_AUTH_ALLOWED_HOSTS is unset: who can choose the Host of a request chooses who "
    "validates its token",
    "Set it to the hosts under which the app is served.",
)


def check_host(settings: OxaigenAuthSettings, host: str | None) -> tuple[str | None, list[Finding]]:
    """Return the URL of the proxy for a request with this `Host`, None if there is none."""
    fixed = settings.fixed_proxy_url
    if fixed is not None:
        return fixed, [Finding(CHECK, "ok", f"every request is validated at {fixed}")]
    findings = [] if settings.allowed_hosts else [_UNCHECKED]
    if host is None:
        return None, [*findings, _no_host()]
    scheme, patterns = settings.proxy_scheme, settings.allowed_hosts
    url, allowed = resolve_base_url(host.encode(), scheme, patterns)
    if allowed:
        text = f"a request with Host {host} is validated at {url}"
        return url, [Finding(CHECK, "ok", text), *findings]
    if not url:
        text, advice = f"the Host {host!r} is malformed", "Write host or host:port."
    else:
        text = f"OXAIGEN_AUTH_ALLOWED_HOSTS does not list {host}"
        advice = "Add it there if the app is served under it."
    return None, [*findings, Finding(CHECK, "fail", f"{text}: such a request gets 400", advice)]


def _no_host() -> Finding:
    text = "the URL of the proxy comes from the Host of each request, so no proxy was checked"
    advice = "Run it again with --host app.example.com, or with the URL of the proxy."
    return Finding(CHECK, "warn", text, advice)

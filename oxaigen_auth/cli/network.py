"""Whether a proxy can be reached: DNS, TCP, TLS, and what it answers without a token."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from statistics import median
from typing import Any, cast
from urllib.parse import urlsplit

from anyio import CancelScope, current_time
from anyio.from_thread import start_blocking_portal
from attrs import define, field

from oxaigen_auth._upstream.call import TOO_LARGE, Call
from oxaigen_auth._upstream.failures import why_it_failed
from oxaigen_auth._upstream.http_library import httpx
from oxaigen_auth._upstream.request import build_request
from oxaigen_auth._upstream.response import MOCK_HEADER, Answer, AnswerError
from oxaigen_auth._validation.observer import Observer
from oxaigen_auth._validation.question import Secret, user_question
from oxaigen_auth.cli.report import Finding, Level
from oxaigen_auth.settings import OxaigenAuthSettings

ROUNDS = 5
MIN_DAYS = 14  # below that a certificate expires soon
_DAY = 24 * 60 * 60  # seconds
_UNTRUSTED = (
    "Renew the certificate, or trust its authority: set SSL_CERT_FILE, or pass "
    "ssl_context=ssl.create_default_context(cafile=…) to ProxyAuthClient."
)


@define(eq=False)
class NetworkCheck:
    """Checks the proxy at a URL, layer by layer, up to the first one that fails."""

    url: str
    settings: OxaigenAuthSettings
    _host: str = field(init=False)
    _port: int = field(init=False)
    _is_tls: bool = field(init=False)
    _context: ssl.SSLContext = field(init=False)

    def __attrs_post_init__(self) -> None:
        parts = urlsplit(self.url)
        self._is_tls = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._is_tls else 80)
        self._context = httpx.create_ssl_context()

    def run(self) -> Iterator[Finding]:
        began = time.perf_counter()
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as error:
            yield _failed("DNS", f"{self._host}: ", error, "Check the name and the DNS.")
            return
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        text = f"{self._host}: {', '.join(addresses)} ({_since(began)})"
        yield Finding("DNS", "ok", text)
        attempts = [(address, self._connect(address)) for address in addresses]
        reached = [address for address, failure in attempts if failure is None]
        for address, failure in attempts:
            yield self._reached(address, failure, is_fatal=not reached)
        if reached and self._is_tls:
            finding = self._check_tls(reached[0])
            yield finding
            if finding.level == "fail":
                return
        if reached:
            yield from self._check_http()

    def _connect(self, address: str) -> OSError | None:
        timeout = self.settings.proxy_timeout_seconds
        try:
            socket.create_connection((address, self._port), timeout).close()
        except OSError as error:
            return error
        return None

    def _reached(self, address: str, failure: OSError | None, *, is_fatal: bool) -> Finding:
        if failure is None:
            return Finding("TCP", "ok", f"{address} port {self._port} accepts connections")
        advice = "Check that the proxy runs, its port, and firewalls."
        level: Level = "fail" if is_fatal else "warn"
        return _failed("TCP", f"{address} port {self._port}: ", failure, advice, level)

    def _check_tls(self, address: str) -> Finding:
        timeout = self.settings.proxy_timeout_seconds
        try:
            with (
                socket.create_connection((address, self._port), timeout) as connection,
                self._context.wrap_socket(connection, server_hostname=self._host) as stream,
            ):
                return _describe(stream.version(), stream.getpeercert() or {})
        except ssl.SSLCertVerificationError as error:
            return _failed("TLS", "", error, _UNTRUSTED)
        except OSError as error:
            return _failed("TLS", "", error, "Check that the port serves TLS, or use http.")

    def _check_http(self) -> Iterator[Finding]:
        """Send what `ping` sends, several times."""
        advice = "Check that the URL is that of the auth proxy."
        try:
            with start_blocking_portal() as portal:
                answers, seconds = portal.call(self._ask)
        except AnswerError as error:
            yield Finding("Proxy", "fail", str(error), advice)
            return
        except httpx.HTTPError as error:
            yield _failed("Proxy", "", error, advice)
            return
        yield _judge(answers[-1].status)
        yield self._judge_latency(seconds)
        if MOCK_HEADER in answers[-1].headers:
            yield self._judge_mock()

    async def _ask(self) -> tuple[list[Answer], list[float]]:
        """Return the answers and how long each took. The limits are those of a client's calls."""
        answers: list[Answer] = []
        seconds: list[float] = []
        async with httpx.AsyncHTTPTransport(verify=self._context) as transport:
            for _ in range(ROUNDS):
                began = time.perf_counter()
                answers.append(await self._ask_once(transport))
                seconds.append(time.perf_counter() - began)
        return answers, seconds

    async def _ask_once(self, transport: httpx.AsyncHTTPTransport) -> Answer:
        request = build_request(user_question("", self.url), Secret(""))
        timeout = self.settings.proxy_timeout_seconds
        with CancelScope(deadline=current_time() + timeout) as scope:
            call = Call(scope, Observer(), refuse_mock=False)
            return cast("Answer", await call.send(transport, request))
        late = f"there was no complete answer within {timeout:g} seconds"
        raise AnswerError(TOO_LARGE if call.too_large else late)

    def _judge_latency(self, seconds: list[float]) -> Finding:
        typical = median(seconds)
        text = (
            f"answers within {_ms(typical)} (median of {ROUNDS}; with connecting {_ms(seconds[0])})"
        )
        if typical * 2 < self.settings.proxy_timeout_seconds:
            return Finding("Proxy", "ok", text)
        advice = "Make it faster, or raise OXAIGEN_AUTH_PROXY_TIMEOUT_SECONDS."
        return Finding("Proxy", "warn", f"{text}, more than half of the timeout", advice)

    def _judge_mock(self) -> Finding:
        if self.settings.is_production:
            text = "a mock answers, which OXAIGEN_AUTH_ENVIRONMENT=production refuses"
            return Finding("Proxy", "fail", text, "Set the URL of the real proxy.")
        return Finding("Proxy", "warn", "a mock answers", "Never use it in production.")


def _judge(status: int) -> Finding:
    """Return what an answer to a request without a token means."""
    if status == httpx.codes.UNAUTHORIZED:
        return Finding("Proxy", "ok", "answers 401 without a token, as it should")
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return Finding("Proxy", "warn", "answers 429: it limits requests", "Try again later.")
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        advice = "Look at the proxy's own log: users get 502 meanwhile."
    elif httpx.codes.is_redirect(status):
        advice = "Use the URL that it redirects to: redirects are not followed."
    else:
        advice = "Check that the URL is that of the auth proxy."
    return Finding("Proxy", "fail", f"answers {status} instead of 401 without a token", advice)


def _describe(version: str | None, certificate: Any) -> Finding:
    expires = certificate["notAfter"]
    days = int((ssl.cert_time_to_seconds(expires) - time.time()) // _DAY)
    text = (
        f"{version}, certificate of {_name(certificate['subject'])}, issued by "
        f"{_name(certificate['issuer'])}, expires {expires} (in {days} days)"
    )
    if days < MIN_DAYS:
        return Finding("TLS", "warn", text, "Renew the certificate.")
    return Finding("TLS", "ok", text)


def _name(names: Any) -> str:
    """Return the most specific name of a subject or an issuer."""
    found = {key: value for part in names for key, value in part}
    return str(found.get("commonName") or found.get("organizationName") or "an unnamed owner")


def _failed(
    check: str, prefix: str, error: Exception, advice: str, level: Level = "fail"
) -> Finding:
    return Finding(check, level, f"{prefix}{why_it_failed(error)}", advice)


def _since(began: float) -> str:
    return _ms(time.perf_counter() - began)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"

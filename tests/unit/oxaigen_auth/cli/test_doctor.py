"""Each check of `doctor`, against real sockets."""

from __future__ import annotations

import re
import socket
import ssl
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from anyio.from_thread import start_blocking_portal
from attrs import fields

from oxaigen_auth import OxaigenAuthSettings
from oxaigen_auth.cli.doctor import examine
from oxaigen_auth.cli.versions import check_versions
from tests.support.apps import serving_elsewhere
from tests.support.fake_proxy import ADA, REVOKED, FakeProxy
from tests.support.raw_server import answer, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from oxaigen_auth.cli.report import Finding, Report

PREFIX = "OXAIGEN_AUTH_"
SETTINGS = len(fields(OxaigenAuthSettings))


def findings(report: Report, check: str) -> list[tuple[str, str]]:
    return [(it.level, it.text) for it in report.findings if it.check == check]


def examined(url: str | None = None, host: str | None = None, **variables: str) -> Report:
    return examine(url, host, {f"{PREFIX}{name}": text for name, text in variables.items()})


def only(report: Report, check: str) -> Finding:
    [finding] = [it for it in report.findings if it.check == check]
    return finding


# Settings.


def test_each_invalid_setting_is_listed_and_its_default_used() -> None:
    report = examined(CACHE_TTL_SECONDS="x", BREAKER="off", MAX_CONNECTIONS="0")
    assert findings(report, "Settings")[:2] == [
        ("fail", "OXAIGEN_AUTH_CACHE_TTL_SECONDS is 'x'; expected a number of seconds >= 0"),
        ("fail", "OXAIGEN_AUTH_MAX_CONNECTIONS is 0; expected an integer >= 1"),
    ]
    shown = {setting.name: (setting.value, setting.source) for setting in report.settings}
    invalid = "default, as OXAIGEN_AUTH_MAX_CONNECTIONS is invalid"
    assert shown["max_connections"] == (100, invalid)
    assert shown["breaker"] == (False, "OXAIGEN_AUTH_BREAKER")
    assert shown["allowed_hosts"] == ((), "default")


def test_a_password_in_an_invalid_url_is_not_shown() -> None:
    report = examined(PROXY_URL_OVERRIDE="https://ada:hunter2@example.com")
    assert "hunter2" not in repr(report)
    assert report.status == "fail"


def test_dev_mode_in_production_fails_and_the_rest_is_checked() -> None:
    report = examined(DEV_MODE="1", ENVIRONMENT="production", ALLOWED_HOSTS="example.com")
    level, text = findings(report, "Settings")[0]
    assert level == "fail"
    assert text.startswith("OXAIGEN_AUTH_DEV_MODE is on while OXAIGEN_AUTH_ENVIRONMENT is prod")
    assert findings(report, "Host")[0][0] == "warn"


def test_unknown_variables_are_named_but_not_that_of_the_token(
    caplog: pytest.LogCaptureFixture,
) -> None:
    report = examined(CACHE_TTL="1", TOKEN="x", MOCK_PORT="1", ENVIRONMENT="production")
    unknown = [it for it in report.findings if "unknown" in it.text]
    assert [it.text for it in unknown] == ["OXAIGEN_AUTH_CACHE_TTL is unknown and ignored"]
    assert "did you mean OXAIGEN_AUTH_CACHE_TTL_SECONDS" in unknown[0].advice
    assert caplog.records == []
    assert findings(report, "Settings")[-1] == (
        "ok",
        f"1 of {SETTINGS} settings are in the environment",
    )


def test_dev_mode_and_an_unknown_environment_are_warnings() -> None:
    for variables, expected in (
        ({"DEV_MODE": "1", "DEV_PROXY_URL": "http://127.0.0.1:9"}, "a mock validates the tokens"),
        ({}, "OXAIGEN_AUTH_ENVIRONMENT is unset"),
    ):
        level, text = findings(examined(**variables), "Settings")[-1]
        assert level == "warn"
        assert expected in text


def test_the_secret_and_the_password_of_the_shared_store_are_not_shown() -> None:
    store = "rediss://ada:hunter2@redis.example.com/1"
    report = examined(SHARED_STORE=store, SHARED_SECRET="hunter3-" * 4)
    shown = {setting.name: (setting.value, setting.source) for setting in report.settings}
    is_from = f"{PREFIX}SHARED_STORE"
    assert shown["shared_store"] == ("rediss://redis.example.com:6379/1", is_from)
    assert shown["shared_secret"] == ("***", f"{PREFIX}SHARED_SECRET")
    assert "hunter" not in repr(report)
    assert not [text for level, text in findings(report, "Settings") if level == "fail"]


@pytest.mark.parametrize(("secret", "invalid"), [("", "STORE"), ("hunter2", "SECRET")])
def test_a_server_without_a_valid_secret_is_one_failure(secret: str, invalid: str) -> None:
    report = examined(SHARED_STORE="redis://:hunter2@redis.example.com", SHARED_SECRET=secret)
    failures = [text for level, text in findings(report, "Settings") if level == "fail"]
    assert len(failures) == 1
    assert failures[0].startswith(f"{PREFIX}SHARED_{invalid} is ")
    shown = {setting.name: (setting.value, setting.source) for setting in report.settings}
    assert shown["shared_store"] == (None, f"default, as {PREFIX}SHARED_STORE is invalid")
    assert "hunter" not in repr(report)
    assert not any("has no effect" in it.text for it in report.findings)


def test_a_secret_without_a_store_is_a_warning() -> None:
    report = examined(SHARED_SECRET="hunter3-" * 4)
    assert findings(report, "Settings")[-1] == (
        "warn",
        f"{PREFIX}SHARED_SECRET has no effect without {PREFIX}SHARED_STORE",
    )


# Host.


@pytest.mark.parametrize(
    ("host", "hosts", "level", "expected"),
    [
        ("a.invalid", "a.invalid", "ok", "with Host a.invalid is validated at https://a.invalid"),
        ("A.invalid:443", "", "ok", "is validated at https://a.invalid"),
        ("b.invalid", "a.invalid", "fail", "does not list b.invalid: such a request gets 400"),
        ("a b", "", "fail", "the Host 'a b' is malformed: such a request gets 400"),
        ("é", "a.invalid", "fail", "is malformed"),
        (None, "a.invalid", "warn", "comes from the Host of each request"),
    ],
)
def test_what_a_request_with_this_host_would_do(
    host: str | None, hosts: str, level: str, expected: str
) -> None:
    report = examined(host=host, ALLOWED_HOSTS=hosts)
    found = findings(report, "Host")
    assert any(it[0] == level and expected in it[1] for it in found)
    assert any("ALLOWED_HOSTS is unset" in text for _, text in found) is (hosts == "")
    assert (report.target is not None) is (level == "ok")


def test_a_fixed_url_ignores_the_host_and_a_given_url_is_checked_instead() -> None:
    report = examined(host="x", PROXY_URL_OVERRIDE="http://127.0.0.1:9/")
    assert findings(report, "Host") == [("ok", "every request is validated at http://127.0.0.1:9")]
    assert report.target == "http://127.0.0.1:9"
    given = examined("http://127.0.0.1:7", "x", PROXY_URL_OVERRIDE="http://127.0.0.1:9/")
    assert given.target == "http://127.0.0.1:7"
    assert findings(examined("http://127.0.0.1:7"), "Host") == []


# Network.


def test_a_name_that_is_not_found_fails() -> None:
    finding = only(examined("https://nothing.invalid"), "DNS")
    assert finding.level == "fail"
    assert "the host name was not found" in finding.text


def test_an_address_that_refuses_is_a_warning_if_another_one_is_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve = socket.getaddrinfo

    def two_addresses(host: str | bytes, port: int, *args: Any, **options: Any) -> list[Any]:
        if host not in {"proxy.invalid", b"proxy.invalid"}:
            return list(resolve(host, port, *args, **options))
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, ("127.0.0.2", port)), (*kind, ("127.0.0.1", port))]

    with serving_elsewhere(FakeProxy(user=REVOKED)) as server:
        port = server.url.rpartition(":")[2]
        with monkeypatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", two_addresses)
            report = examined(f"http://proxy.invalid:{port}")
    assert [level for level, _ in findings(report, "TCP")] == ["warn", "ok"]
    assert findings(report, "TCP")[1][1] == f"127.0.0.1 port {port} accepts connections"
    assert findings(report, "DNS")[0][1].startswith("proxy.invalid: 127.0.0.2, 127.0.0.1 (")
    assert findings(report, "Proxy")[0][0] == "ok"


@pytest.mark.parametrize(
    ("reply", "level", "expected"),
    [
        (REVOKED, "ok", "answers 401 without a token, as it should"),
        (ADA, "fail", "answers 200 instead of 401"),
        (answer(302, location="/x"), "fail", "answers 302 instead of 401"),
        (answer(404), "fail", "answers 404 instead of 401"),
        (answer(429), "warn", "answers 429"),
        (answer(503), "fail", "answers 503 instead of 401"),
        (b"junk\r\n\r\n", "fail", "the call failed with RemoteProtocolError"),
    ],
)
def test_what_the_answer_without_a_token_means(reply: bytes, level: str, expected: str) -> None:
    with serving_elsewhere(FakeProxy(user=reply)) as server:
        found = findings(examined(server.url), "Proxy")
    assert found[0][0] == level
    assert expected in found[0][1]


def test_a_slow_proxy_is_a_warning_and_one_that_is_too_slow_fails() -> None:
    with serving_elsewhere(FakeProxy(user=REVOKED, delay=0.2)) as server:
        slow = findings(examined(server.url, PROXY_TIMEOUT_SECONDS="0.39"), "Proxy")
        late = findings(examined(server.url, PROXY_TIMEOUT_SECONDS="0.05"), "Proxy")
    assert slow[-1][0] in {"warn", "fail"}
    assert late == [("fail", "there was no complete answer within 0.05 seconds")]


class Dripping(BaseHTTPRequestHandler):
    """Sends an answer byte by byte, for ever."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        with suppress(OSError):
            while True:
                self.wfile.write(b"x")
                time.sleep(0.05)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name of the base)
        pass


def test_an_answer_that_never_ends_is_cut_off_at_the_timeout() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Dripping) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        began = time.monotonic()
        found = findings(examined(url, PROXY_TIMEOUT_SECONDS="0.3"), "Proxy")
        assert time.monotonic() - began < 30
        server.shutdown()
        thread.join()
    assert found == [("fail", "there was no complete answer within 0.3 seconds")]


def test_a_huge_answer_is_cut_off_and_not_requested_again() -> None:
    proxy = FakeProxy(user=answer(401, b"x" * 1_000_000))
    with serving_elsewhere(proxy) as server:
        found = findings(examined(server.url), "Proxy")
    assert found == [("fail", "the body is larger than 262144 bytes")]
    assert len(proxy.calls) == 1


@pytest.mark.parametrize(("environment", "level"), [("production", "fail"), ("staging", "warn")])
def test_a_mock_is_a_warning_and_fails_in_production(environment: str, level: str) -> None:
    mocked = answer(401, x_oxaigen_mock="1")
    with serving_elsewhere(FakeProxy(user=mocked)) as server:
        report = examined(server.url, ENVIRONMENT=environment)
    assert findings(report, "Proxy")[-1][0] == level
    assert findings(report, "Proxy")[-1][1].startswith("a mock answers")
    assert report.status == level


# TLS.


@contextmanager
def serving_tls(certificate: trustme.LeafCert) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serving(FakeProxy(user=REVOKED), context)) as server,
    ):
        yield server.url


def trust(authority: trustme.CA, path: Path, patch: pytest.MonkeyPatch) -> None:
    authority.cert_pem.write_to_path(str(path / "ca.pem"))
    patch.setenv("SSL_CERT_FILE", str(path / "ca.pem"))


@pytest.mark.parametrize(("not_after", "level"), [(None, "ok"), (3, "warn")])
def test_a_certificate_is_described_and_one_that_expires_soon_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, not_after: int | None, level: str
) -> None:
    authority = trustme.CA()
    trust(authority, tmp_path, monkeypatch)
    expires = None if not_after is None else datetime.now(UTC) + timedelta(days=not_after)
    issue = partial(authority.issue_cert, "127.0.0.1", common_name="app")
    with serving_tls(issue(not_after=expires)) as url:
        report = examined(url, ENVIRONMENT="production")
    finding = only(report, "TLS")
    assert finding.level == level
    assert re.match(r"TLSv1\.\d, certificate of app, issued by trustme v", finding.text)
    assert findings(report, "Proxy")[0] == ("ok", "answers 401 without a token, as it should")


def test_an_unknown_authority_and_a_port_without_tls_fail_with_what_to_do() -> None:
    with serving_tls(trustme.CA().issue_cert("127.0.0.1")) as url:
        report = examined(url)
    finding = only(report, "TLS")
    assert "the certificate is not trusted" in finding.text
    assert "SSL_CERT_FILE" in finding.advice
    assert findings(report, "Proxy") == []
    with serving_elsewhere(FakeProxy()) as server:
        finding = only(examined(server.url.replace("http", "https")), "TLS")
    assert finding.level == "fail"
    assert finding.advice == "Check that the port serves TLS, or use http."


# Installation.


def test_versions_and_extras_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [finding.text for finding in check_versions()]
    assert any(text.startswith("HTTP library: httpx") for text in texts)
    assert "extra cli: installed" in texts
    assert not any(text.startswith("extra all") for text in texts)
    requirements = ["attrs", "no-such-package>=1; extra == 'reload'"]
    monkeypatch.setattr(metadata, "requires", lambda _: requirements)
    assert [it.text for it in check_versions()][3:] == [
        "extra reload: not installed (no-such-package missing)"
    ]


def test_without_the_dist_info_folder_no_extras_are_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    assert len(list(check_versions())) == 3

"""What the log says of a call that failed."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import TYPE_CHECKING

import anyio
import pytest
import trustme

from oxaigen_auth._upstream.failures import why_it_failed
from oxaigen_auth._validation.observer import Observer
from oxaigen_auth._validation.verdict import Unavailable
from oxaigen_auth.settings import OxaigenAuthSettings
from tests.support.asked_proxy import AskedProxy
from tests.support.fake_proxy import FakeProxy
from tests.support.raw_server import serving
from tests.support.tokens import MARK, TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable


class LibraryError(Exception):
    """As HTTP libraries raise, from another exception."""


def raised_from(cause: BaseException) -> BaseException:
    try:
        raise LibraryError(MARK) from cause  # noqa: TRY301 (so that it has a traceback)
    except LibraryError as error:
        return error


def certificate_error() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(MARK)
    error.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (ConnectionRefusedError(111, MARK), ": the connection was refused"),
        (ConnectionRefusedError(), ": the connection was refused"),
        (socket.gaierror(-2, "Name or service not known"), "not found (Name or service not known)"),
        (socket.gaierror(), ": the host name was not found"),
        (certificate_error(), ": the certificate is not trusted (self-signed certificate)"),
        (ssl.SSLCertVerificationError(MARK), ": the certificate is not trusted"),
        (ssl.SSLError(MARK), ": TLS failed"),
        (ConnectionResetError(errno.ECONNRESET, MARK), ": connection reset by peer"),
        (OSError(errno.ENETUNREACH, MARK), ": network is unreachable"),
        (OSError(errno.EHOSTUNREACH, MARK), ": no route to host"),
        (OSError(MARK), "the call failed with LibraryError"),
        (ValueError(MARK), "the call failed with LibraryError"),
        (ExceptionGroup(MARK, [ValueError(MARK), ConnectionRefusedError()]), "was refused"),
    ],
)
def test_the_reason_is_found_among_the_causes_and_shows_none_of_their_messages(
    cause: BaseException, expected: str
) -> None:
    said = why_it_failed(raised_from(cause))
    assert said.startswith("the call failed with LibraryError")
    assert said.endswith(expected)
    assert MARK not in said


def test_an_endless_chain_of_causes_is_followed_for_a_few_steps() -> None:
    first = LibraryError()
    first.__cause__ = second = LibraryError()
    second.__cause__ = first
    assert why_it_failed(first) == "the call failed with LibraryError"
    error: BaseException = ConnectionRefusedError()
    for _ in range(100):
        error = raised_from(error)
    assert why_it_failed(error) == "the call failed with LibraryError"


async def reason_of(url: str, ssl_context: ssl.SSLContext | None = None) -> str:
    proxy = AskedProxy(OxaigenAuthSettings(), ssl_context, Observer())
    try:
        verdict = await proxy.get_me(url, TOKEN)
    finally:
        await proxy.aclose()
    assert isinstance(verdict, Unavailable)
    assert verdict.is_outage
    assert MARK not in verdict.detail
    return verdict.detail


@pytest.mark.anyio
async def test_the_log_says_that_a_connection_was_refused(
    free_tcp_port_factory: Callable[[], int],
) -> None:
    said = await reason_of(f"http://127.0.0.1:{free_tcp_port_factory()}")
    assert said.endswith("the connection was refused")


@pytest.mark.anyio
async def test_the_log_says_that_a_name_was_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_found(*_: object, **__: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", not_found)
    said = await reason_of("http://nowhere.test")
    assert said.endswith("the host name was not found (Name or service not known)")


@pytest.mark.anyio
async def test_the_log_says_that_a_certificate_is_not_trusted() -> None:
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(ours)
    async with serving(FakeProxy(), ours) as server:
        said = await reason_of(server.url, ssl.create_default_context())
    assert "the certificate is not trusted (" in said


@pytest.mark.anyio
async def test_the_log_says_that_the_server_speaks_no_tls() -> None:
    async def no_tls(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, no_tls)
            said = await reason_of(f"https://127.0.0.1:{port}")
            group.cancel_scope.cancel()
    assert "TLS failed (" in said

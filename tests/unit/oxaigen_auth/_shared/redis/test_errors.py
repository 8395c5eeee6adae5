import logging

import anyio
import pytest
from coredis.exceptions import (
    AuthenticationFailureError,
    ConnectionError,  # noqa: A004 (the library's)
    MovedError,
    ReadOnlyError,
    ResponseError,
)

from oxaigen_auth._shared.redis.errors import ConnectionLostError, describe, quiet


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


LOST = "the connection to the server was lost"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (AuthenticationFailureError("WRONGPASS"), "the server refuses the user or the password"),
        (ReadOnlyError("x"), "the server is a read-only replica"),
        (MovedError("1 a:1"), "the server belongs to a cluster; it must be a single primary"),
        (ResponseError("OOM command not allowed"), "the server has no memory left (maxmemory)"),
        (
            ResponseError("The user executing the script can't run this command"),
            "the server's user lacks a permission",
        ),
        (ResponseError("ERR -OOM command"), "the server has no memory left (maxmemory)"),
        (TimeoutError(), "the server does not answer"),
        (TimeoutError("PING timed out"), "PING timed out"),
        (OSError(111, "refused"), "[Errno 111] refused"),
        (ResponseError("several\r\nlines  " + "x" * 300), "several lines " + "x" * 186),
        (caused(ConnectionError("Connection lost"), anyio.EndOfStream()), LOST),
        (caused(ConnectionError("x"), caused(OSError("y"), ValueError("z"))), "z"),
        (
            ExceptionGroup("", [ConnectionLostError("lost"), TimeoutError()]),
            "the server does not answer",
        ),
        (ExceptionGroup("", [ExceptionGroup("", [ConnectionError("closed")])]), "closed"),
    ],
)
def test_a_failure_is_described_in_one_line(error: Exception, line: str) -> None:
    assert describe(error) == line


def test_only_our_connections_are_silent(caplog: pytest.LogCaptureFixture) -> None:
    library = logging.getLogger("coredis")
    library.error("theirs")
    token = quiet.set(True)
    library.error("ours")
    quiet.reset(token)
    assert [record.message for record in caplog.records] == ["theirs"]

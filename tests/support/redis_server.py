"""Starts Redis and Valkey servers, which keep nothing on disk, for tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from contextlib import contextmanager
from shutil import which
from ssl import SSLContext, create_default_context
from time import monotonic, sleep
from typing import TYPE_CHECKING

import pytest
import trustme
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

START_TIMEOUT = 30  # seconds


PROGRAMS = [name for name in ("redis-server", "valkey-server") if which(name)] or ["redis-server"]


def path_of(program: str) -> str:
    """Return the path of a program, or skip the test; in CI, which installs it, the test fails."""
    path = which(program)
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"needs {program}")
    return path


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@define(eq=False)
class RedisServer:
    """A server on a port of the loopback interface, and on a Unix socket in a folder.

    Args:
        options: of the command, such as `--requirepass`.
        prefix: words before the command, which then replaces them.
    """

    folder: Path
    options: tuple[str, ...] = ()
    program: str = PROGRAMS[0]
    port: int = field(factory=free_port)
    prefix: Sequence[str] = ()
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def socket(self) -> Path:
        return self.folder / "redis.sock"

    def start(self) -> None:
        """Start it without data, and wait until it answers."""
        command = [
            *(*self.prefix, path_of(self.program)),
            *("--bind", "127.0.0.1", "--save", "", "--appendonly", "no"),
            *("--port", str(self.port), "--dir", str(self.folder), "--loglevel", "warning"),
            *("--unixsocket", str(self.socket), *self.options),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603
        deadline = monotonic() + START_TIMEOUT
        while not self._answers():
            assert self._process.poll() is None, "the server has ended"
            assert monotonic() < deadline, "the server does not answer"
            sleep(0.01)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it as `kill -9` does. It has no data when it is started again."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def command(self, *words: str | bytes, password: str = "") -> bytes:
        """Send a command over the Unix socket, and return the start of the answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self.socket))
            if password:
                connection.sendall(f"AUTH {password}\r\n".encode())
                connection.recv(65536)
            parts = [word.encode() if isinstance(word, str) else word for word in words]
            bulk = b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
            connection.sendall(b"*%d\r\n" % len(parts) + bulk)
            return connection.recv(65536)

    def _answers(self) -> bool:
        try:
            return not self.command("PING").startswith(b"-LOADING")
        except OSError:
            return False


def tls(folder: Path, port: int) -> tuple[tuple[str, ...], SSLContext]:
    """Return the options of a server that also serves TLS, and a context that trusts it."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    context = create_default_context()
    authority.configure_trust(context)
    options = (
        *("--tls-port", str(port), "--tls-auth-clients", "no"),
        *("--tls-cert-file", str(folder / "cert.pem")),
        *("--tls-key-file", str(folder / "key.pem")),
        *("--tls-ca-cert-file", str(folder / "cert.pem")),
    )
    return options, context


@contextmanager
def redis_server(folder: Path, *options: str, program: str = PROGRAMS[0]) -> Iterator[RedisServer]:
    """Run a server until the block ends."""
    server = RedisServer(folder, options, program)
    server.start()
    try:
        yield server
    finally:
        server.kill()

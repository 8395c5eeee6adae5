"""The engines of a shared store, which a test can kill, and start again without data."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING

from attrs import define, field

from tests.support.hosts import HERE, Host
from tests.support.redis_server import RedisServer

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator
    from pathlib import Path


@define(eq=False)
class SqliteEngine:
    """A database in a folder of its own. To kill it is to delete its files."""

    folder: Path
    delay: float = 0.0  # seconds in which a worker may still accept what another one forgot

    @property
    def settings(self) -> dict[str, str]:
        return {"SHARED_STORE": f"sqlite:///{self.folder}/auth.db"}

    def kill(self) -> None:
        for file in self.folder.iterdir():
            file.unlink()

    def start(self) -> None:
        """The workers make a new database."""


@define(eq=False)
class RedisEngine:
    """A server without persistence, which keeps its port."""

    folder: Path
    host: Host = HERE
    delay: float = 1.1
    _secret: str = field(factory=partial(token_hex, 16), init=False)
    _server: RedisServer = field(init=False)

    def __attrs_post_init__(self) -> None:
        options = ("--bind", self.host.address, "--protected-mode", "no")
        self._server = RedisServer(self.folder, options, prefix=self.host.prefix)

    @property
    def settings(self) -> dict[str, str]:
        url = f"redis://{self.host.address}:{self._server.port}"
        return {"SHARED_STORE": url, "SHARED_SECRET": self._secret}

    def kill(self) -> None:
        self._server.kill()

    def start(self) -> None:
        self._server.start()

    def reset_connections(self) -> None:
        """Close the connections over which the workers learn what others have forgotten."""
        self._server.command("CLIENT", "KILL", "TYPE", "pubsub")

    def signal(self, number: signal.Signals) -> None:
        self._server.signal(number)


@contextmanager
def engine_of(name: str, folder: Path, host: Host = HERE) -> Iterator[SqliteEngine | RedisEngine]:
    folder.mkdir(mode=0o700)
    engine = SqliteEngine(folder) if name == "sqlite" else RedisEngine(folder, host)
    engine.start()
    try:
        yield engine
    finally:
        engine.kill()

"""Several hosts on one machine: network namespaces of Linux, connected by a bridge.

Only processes on this machine reach them. Creating them needs root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NOBODY = "02:00:00:00:00:fe"  # a hardware address that no interface has


@frozen
class Host:
    """Where a process runs: an address, and the words before its command."""

    address: str = "127.0.0.1"
    namespace: str = ""

    @property
    def prefix(self) -> list[str]:
        """Return words which, before a command, run it on this host."""
        return ["ip", "netns", "exec", self.namespace] if self.namespace else []

    def drop_packets_to(self, other: Host) -> None:
        """Lose in silence all that this host sends to the other one, but not the other way."""
        neighbour = ["neigh", "replace", other.address, "lladdr", NOBODY]
        _ip("-n", self.namespace, *neighbour, "dev", "eth0", "nud", "permanent")

    def send_packets_to(self, other: Host) -> None:
        _ip("-n", self.namespace, "neigh", "del", other.address, "dev", "eth0")


HERE = Host()


@contextmanager
def hosts(names: Sequence[str]) -> Iterator[list[Host]]:
    """Create hosts that reach each other, and that this process reaches."""
    ours = os.getpid()
    network = f"10.213.{ours % 250}"
    switch = f"fleet{ours}-switch"
    with ExitStack() as stack:

        def add_namespace(name: str) -> None:
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "del", name)
            _ip("-n", name, "link", "set", "lo", "up")

        add_namespace(switch)
        _ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", switch, "link", "set", "bridge", "up")
        _ip("link", "add", f"fleet{ours}", "type", "veth", "peer", "name", "this", "netns", switch)
        stack.callback(_ip, "link", "del", f"fleet{ours}")
        _ip("-n", switch, "link", "set", "this", "master", "bridge", "up")
        _ip("addr", "add", f"{network}.254/24", "dev", f"fleet{ours}")
        _ip("link", "set", f"fleet{ours}", "up")
        made = []
        for number, name in enumerate(names, 1):
            host = Host(f"{network}.{number}", f"fleet{ours}-{name}")
            add_namespace(host.namespace)
            end = ["peer", "name", "eth0", "netns", host.namespace]
            _ip("-n", switch, "link", "add", "name", name, "type", "veth", *end)
            _ip("-n", switch, "link", "set", "dev", name, "master", "bridge", "up")
            _ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", "eth0")
            _ip("-n", host.namespace, "link", "set", "eth0", "up")
            made.append(host)
        yield made


def why_no_hosts() -> str:
    """Return why hosts cannot be created here; an empty text if they can."""
    if sys.platform != "linux" or os.geteuid():
        return "needs root on Linux"
    if shutil.which("ip") is None:
        return "needs iproute2"
    try:
        with hosts(["trial"]):
            return ""
    except subprocess.CalledProcessError as error:
        return f"needs network namespaces: {error.stderr.strip()}"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)  # noqa: S603, S607

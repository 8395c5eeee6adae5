"""Ages that hold in other processes and on other hosts."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from secrets import token_bytes

from attrs import field, frozen

_STAMP = struct.Struct(">dd16s")
STAMP_SIZE = _STAMP.size

# What processes with the same boot clock have in common. In containers, the boot id is that of
# their host, but a time namespace may move the clock (time_namespaces(7)).
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIME_NAMESPACE = Path("/proc/self/ns/time")
_TIME_OFFSETS = Path("/proc/self/timens_offsets")


def boot_time() -> float:
    """Return the seconds since the start of the host, in all its processes."""
    # Unlike the monotonic clock, it counts the time in which the host is suspended.
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def _read_boot_id() -> bytes:
    """Return 16 bytes that are equal only in processes whose `boot_time` is comparable."""
    try:
        parts = [_BOOT_ID.read_bytes()]
    except OSError:
        return token_bytes(16)  # this process, and those forked from it
    with suppress(OSError):  # a kernel without time namespaces
        parts += [bytes(_TIME_NAMESPACE.readlink()), _TIME_OFFSETS.read_bytes()]
    return blake2b(b"\n".join(parts), digest_size=16).digest()


@frozen(kw_only=True)
class HostClock:
    """Makes stamps, and returns the age of those made in any process.

    Args:
        wall: returns the seconds since 1970.
        boot: returns the seconds since the start of the host. It never goes backwards.
        boot_id: 16 bytes, which are equal in processes that have the same boot clock.
    """

    wall: Callable[[], float] = time.time
    boot: Callable[[], float] = boot_time
    boot_id: bytes = field(factory=_read_boot_id)

    def stamp(self) -> bytes:
        """Return the time, as 32 bytes."""
        return _STAMP.pack(self.wall(), self.boot(), self.boot_id)

    def age(self, stamp: bytes, max_skew: float) -> float | None:
        """Return an upper bound of the seconds since a stamp was made.

        On the host of the stamp it is exact, and on another one at most twice `max_skew` too high.
        If the boot clock stood still while the wall clock moved on, as in a virtual machine that
        was paused or copied, the result is that of the wall clock, less `max_skew`.

        Args:
            stamp: what `stamp` has returned, on this host or another one.
            max_skew: by how many seconds the wall clocks of two hosts differ at most, also while
                they are adjusted.

        Returns:
            None if the stamp is malformed, or further in the future than `max_skew`.
        """
        try:
            wall, boot, boot_id = _STAMP.unpack(stamp)
        except struct.error:
            return None
        by_wall = self.wall() - wall
        if boot_id != self.boot_id:
            return by_wall + max_skew if by_wall >= -max_skew else None
        by_boot = self.boot() - boot
        return max(by_boot, by_wall - max_skew, 0.0) if by_boot >= -max_skew else None

from __future__ import annotations

import math
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from oxaigen_auth._shared import clocks
from oxaigen_auth._shared.clocks import HostClock

SKEW = 1.0
ROUNDING = 1e-5  # of floats of the size of a wall clock

moments = st.floats(0, 1e5)
offsets = st.floats(-SKEW / 2, SKEW / 2)  # so that two hosts differ by SKEW at most
hosts = st.sampled_from([b"a" * 16, b"b" * 16])
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")


def at(moment: float, *, host: bytes = b"a" * 16, offset: float = 0.0) -> HostClock:
    """Return the clock of a host, stopped at a moment of the true time."""
    return HostClock(
        wall=lambda: 1.7e9 + moment + offset,
        boot=lambda: 100.0 * host[0] + moment,
        boot_id=host,
    )


@given(moments, moments, offsets, offsets)
def test_on_the_same_host_an_age_is_exact(
    made: float, elapsed: float, offset: float, later_offset: float
) -> None:
    age = at(made + elapsed, offset=later_offset).age(at(made, offset=offset).stamp(), SKEW)
    assert age == pytest.approx(elapsed, abs=ROUNDING)


@given(moments, st.floats(-3 * SKEW, 3 * SKEW) | st.floats(0, 1e5), offsets, offsets, hosts, hosts)
def test_nothing_is_older_than_its_age_while_the_skew_is_within_the_bound(  # noqa: PLR0913, PLR0917 (two clocks)
    made: float, elapsed: float, offset: float, other_offset: float, host: bytes, other: bytes
) -> None:
    stamp = at(made, host=host, offset=offset).stamp()
    age = at(made + elapsed, host=other, offset=other_offset).age(stamp, SKEW)
    if age is None:
        assert elapsed < ROUNDING
    else:
        assert elapsed - ROUNDING <= age <= max(elapsed, 0.0) + 2 * SKEW + ROUNDING


@given(moments, st.floats(0, 1e5), st.floats(-1e6, 1e6))
def test_on_the_same_host_no_step_of_the_wall_clock_makes_anything_younger(
    made: float, elapsed: float, step: float
) -> None:
    age = at(made + elapsed, offset=step).age(at(made).stamp(), SKEW)
    assert age is not None
    assert age >= elapsed - ROUNDING


def test_a_step_back_of_the_wall_clock_changes_no_age_on_the_same_host() -> None:
    assert at(50, offset=-3600).age(at(20).stamp(), SKEW) == 30


@given(st.floats(10, 1e5))
def test_a_virtual_machine_that_was_paused_or_copied_knows_it_from_the_wall_clock(
    paused: float,
) -> None:
    resumed = HostClock(wall=at(20 + paused).wall, boot=at(20).boot, boot_id=b"a" * 16)
    assert resumed.age(at(10).stamp(), SKEW) == pytest.approx(10 + paused - SKEW)


@pytest.mark.parametrize(("host", "age"), [(b"a" * 16, 0.0), (b"b" * 16, 0.5)])
def test_a_stamp_is_refused_only_if_it_is_further_in_the_future_than_the_skew(
    host: bytes, age: float
) -> None:
    assert at(10).age(at(10.5, host=host).stamp(), SKEW) == age
    assert at(10).age(at(11.5, host=host).stamp(), SKEW) is None


@given(st.binary(max_size=64))
def test_a_stamp_of_another_length_is_refused(stamp: bytes) -> None:
    assume(len(stamp) != 32)
    assert at(10).age(stamp, SKEW) is None


@given(st.binary(min_size=32, max_size=32))
def test_any_bytes_of_the_right_length_give_an_age_or_none(stamp: bytes) -> None:
    age = at(10).age(stamp, SKEW)
    assert age is None or age >= 0


@pytest.mark.parametrize("host", [b"a" * 16, b"b" * 16])
def test_a_stamp_that_is_not_a_number_is_refused(host: bytes) -> None:
    assert at(10).age(struct.pack(">dd16s", math.nan, math.nan, host), SKEW) is None


def test_a_stamp_has_32_bytes() -> None:
    assert len(HostClock().stamp()) == 32


def test_the_clock_of_this_host_measures_its_own_stamps() -> None:
    stamp = HostClock().stamp()
    age = HostClock().age(stamp, 0.0)
    assert age is not None
    assert 0 <= age < 60


@linux_only
def test_processes_of_one_host_have_the_same_boot_id() -> None:
    code = "from oxaigen_auth._shared.clocks import HostClock; print(HostClock().boot_id.hex())"
    run = [sys.executable, "-c", code]
    other = subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603 (our own code)
    assert other == HostClock().boot_id.hex()


def files(monkeypatch: pytest.MonkeyPatch, folder: Path, offset: str, namespace: str) -> None:
    (folder / "boot_id").write_text("60f0ec3c\n")
    (folder / "offsets").write_text(offset)
    (folder / "time").unlink(missing_ok=True)
    (folder / "time").symlink_to(namespace)
    monkeypatch.setattr(clocks, "_BOOT_ID", folder / "boot_id")
    monkeypatch.setattr(clocks, "_TIME_OFFSETS", folder / "offsets")
    monkeypatch.setattr(clocks, "_TIME_NAMESPACE", folder / "time")


def test_containers_whose_boot_clocks_differ_count_as_several_hosts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ids = []
    for offset, namespace in [
        ("boottime 0 0\n", "time:[4026531834]"),
        ("boottime 0 0\n", "time:[4026531834]"),
        ("boottime 7 0\n", "time:[4026531834]"),
        ("boottime 0 0\n", "time:[4026531999]"),
    ]:
        files(monkeypatch, tmp_path, offset, namespace)
        ids.append(HostClock().boot_id)
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_a_kernel_without_time_namespaces_has_its_boot_id(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files(monkeypatch, tmp_path, "", "time:[4026531834]")
    monkeypatch.setattr(clocks, "_TIME_NAMESPACE", tmp_path / "missing")
    assert HostClock().boot_id == HostClock().boot_id


def test_without_a_boot_id_no_other_process_counts_as_the_same_host(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(clocks, "_BOOT_ID", tmp_path / "missing")
    assert HostClock().boot_id != HostClock().boot_id


def test_where_there_is_no_boot_clock_the_monotonic_one_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    monkeypatch.setattr(time, "monotonic", lambda: 7.0)
    assert HostClock().boot() == 7.0

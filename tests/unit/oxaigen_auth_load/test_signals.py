"""The handling of signals, without a load."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from oxaigen_auth_load import signals
from oxaigen_auth_load.signals import SIGNALS, Stop, handle_signals, signals_blocked

TWICE = """
import signal
from oxaigen_auth_load import signals
signals.DUPLICATE_WINDOW = -1.0
with signals.handle_signals() as stop:
    stop.keeps_results = True
    signal.raise_signal(signal.{first})
    print("kept" if stop.requested else "lost", flush=True)
    signal.raise_signal(signal.{second})
    print("not ended", flush=True)
"""


@pytest.mark.parametrize(
    ("first", "second"),
    [("SIGTERM", "SIGTERM"), ("SIGINT", "SIGINT"), ("SIGINT", "SIGTERM"), ("SIGHUP", "SIGINT")],
)
def test_the_first_signal_is_recorded_and_the_second_ends_the_process(
    first: str, second: str
) -> None:
    script = TWICE.format(first=first, second=second)
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.stdout == "kept\n"
    assert ended.returncode == -signal.Signals[second]


def test_a_second_signal_has_its_default_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[int] = []
    monkeypatch.setattr(signals, "DUPLICATE_WINDOW", -1.0)  # each signal is another one
    monkeypatch.setattr(signal, "raise_signal", raised.append)
    with handle_signals() as stop:
        stop.keeps_results = True
        for _ in range(2):
            stop(signal.SIGTERM, None)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert raised == [signal.SIGTERM]


def test_a_signal_that_arrives_twice_at_once_counts_once() -> None:
    stop = Stop(keeps_results=True)
    for _ in range(2):
        stop(signal.SIGTERM, None)
    assert stop.requested


def test_before_there_are_results_a_signal_raises_keyboard_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt), handle_signals() as stop:
        signal.raise_signal(signal.SIGTERM)
    assert stop.requested


def test_every_handler_is_restored() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with handle_signals() as stop:
        assert {signal.getsignal(number) for number in SIGNALS} == {stop}
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_under_nohup_a_hangup_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with handle_signals() as stop:
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is stop
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_another_thread_no_signal_is_handled() -> None:
    def handlers() -> list[object]:
        with handle_signals():
            return [signal.getsignal(number) for number in SIGNALS]

    before = [signal.getsignal(number) for number in SIGNALS]
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(handlers).result() == before


def test_blocked_signals_wait_for_the_end_of_the_block() -> None:
    with handle_signals() as stop:
        stop.keeps_results = True
        with signals_blocked():
            signal.raise_signal(signal.SIGTERM)
            assert not stop.requested
        assert stop.requested

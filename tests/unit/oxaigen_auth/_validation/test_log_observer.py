from __future__ import annotations

import logging

import pytest

from oxaigen_auth import OxaigenAuthSettings
from oxaigen_auth._validation.log_observer import LogObserver
from oxaigen_auth.observers import Question
from tests.support.clock import Clock
from tests.support.clock import clock as clock  # noqa: PLC0414

QUESTION = Question(bytes(16), "https://app.example.com")


@pytest.fixture
def observer(clock: Clock, caplog: pytest.LogCaptureFixture) -> LogObserver:
    caplog.set_level(logging.INFO, "oxaigen_auth")
    return LogObserver(OxaigenAuthSettings(), clock)


def test_refused_entries_of_the_shared_store_are_logged_at_most_once_a_second(
    observer: LogObserver, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for wait in (0, 0.5, 0.4, 0.2):
        clock.now += wait
        observer.on_shared_entry_refused(QUESTION)
    assert ["(1 so far)" in it.message for it in caplog.records] == [True, False]
    assert "(4 so far)" in caplog.records[1].message
    assert {it.levelno for it in caplog.records} == {logging.INFO}
    assert vars(caplog.records[0])["auth_event"] == "shared_entry_refused"
    assert "auth_token" not in vars(caplog.records[0])


@pytest.mark.parametrize(
    ("operation", "until"),
    [("read", "the store works again"), ("open", "it is restarted")],
)
def test_a_failing_shared_store_is_an_error_that_says_what_changes(
    observer: LogObserver, caplog: pytest.LogCaptureFixture, operation: str, until: str
) -> None:
    observer.on_shared_store_failed("redis://db:6379/0", operation, "connection refused")
    observer.on_shared_store_recovered("redis://db:6379/0", operation)
    failed, recovered = caplog.records
    assert failed.message.startswith(
        f"The shared store redis://db:6379/0 failed to {operation}: connection refused. "
        f"Until {until}, this process asks the auth proxy itself"
    )
    assert recovered.message == f"The shared store redis://db:6379/0 works again ({operation})"
    assert [it.levelno for it in caplog.records] == [logging.ERROR, logging.WARNING]
    events = [vars(it)["auth_event"] for it in caplog.records]
    assert events == ["shared_store_failed", "shared_store_recovered"]

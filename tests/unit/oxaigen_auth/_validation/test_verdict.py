from __future__ import annotations

from math import inf
from typing import Any

import pytest

from oxaigen_auth import (
    OxaigenAuthPermissionDeniedError,
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUpstreamError,
    User,
)
from oxaigen_auth._validation.verdict import (
    Accepted,
    Rejected,
    Unavailable,
    Verdict,
    has_answered,
    unwrap,
)


def test_unwrap_returns_the_accepted_value() -> None:
    user = User()
    assert unwrap(Accepted(user)) is user
    assert unwrap(Accepted(value=False)) is False


def test_a_rejection_is_raised_with_the_detail_of_the_proxy() -> None:
    with pytest.raises(OxaigenAuthUnauthenticatedError, match=r"^Token expired$"):
        unwrap(Rejected("Token expired"))


def test_a_good_token_for_another_app_is_a_denied_permission() -> None:
    with pytest.raises(OxaigenAuthPermissionDeniedError, match=r"^Not this app$") as caught:
        unwrap(Rejected("Not this app", forbidden=True))
    assert caught.value.permission is None


@pytest.mark.parametrize("retry_after", [None, 0, 7])
def test_an_unavailable_proxy_is_an_error_without_the_reason(retry_after: int | None) -> None:
    with pytest.raises(OxaigenAuthUpstreamError, match=r"^Auth service unavailable$") as caught:
        unwrap(Unavailable("https://proxy.internal said no", retry_after))
    assert caught.value.retry_after == retry_after


def test_every_caller_gets_its_own_exception() -> None:
    verdict = Rejected("Token expired")
    raised = []
    for _ in range(2):
        with pytest.raises(OxaigenAuthUnauthenticatedError) as caught:
            unwrap(verdict)
        raised.append(caught.value)
    assert raised[0] is not raised[1]


def test_the_time_of_the_lookup_is_not_compared() -> None:
    verdict = Accepted(value=True, asked=1.0)
    assert verdict == Accepted(value=True)
    assert "asked" not in repr(verdict)
    assert Accepted(value=True).asked == -inf


def test_unavailable_is_neither_an_outage_nor_a_timeout_by_default() -> None:
    verdict = Unavailable("no answer")
    assert (verdict.is_outage, verdict.timed_out) == (False, False)


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Accepted(value=False), True),
        (Rejected("no", forbidden=True), True),
        (Unavailable("odd"), True),
        (Unavailable("down", is_outage=True), False),
        (Unavailable("down, too late", is_outage=True, timed_out=True), False),
        (Unavailable("too late", timed_out=True), None),
    ],
)
def test_a_proxy_has_answered_unless_it_is_down_or_a_deadline_came_first(
    verdict: Verdict[Any],
    expected: bool | None,  # noqa: FBT001
) -> None:
    assert has_answered(verdict) is expected

from __future__ import annotations

import copy
import pickle
import traceback
from typing import TYPE_CHECKING

import pytest

from oxaigen_auth import (
    OxaigenAuthConfigurationError,
    OxaigenAuthError,
    OxaigenAuthPermissionDeniedError,
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUpstreamError,
)
from oxaigen_auth.errors import OxaigenAuthUntrustedHostError

if TYPE_CHECKING:
    from collections.abc import Callable

ERRORS = [
    OxaigenAuthError("What happened."),
    OxaigenAuthUnauthenticatedError("What happened."),
    OxaigenAuthPermissionDeniedError("What happened.", "audit"),
    OxaigenAuthUpstreamError("What happened.", 7),
    OxaigenAuthConfigurationError("What happened."),
    OxaigenAuthUntrustedHostError("What happened."),
]

each_error = pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)


@each_error
def test_the_str_of_an_error_is_its_message(error: OxaigenAuthError) -> None:
    assert error.message == "What happened."
    assert str(error) == "What happened."
    assert traceback.format_exception_only(error)[-1].endswith("Error: What happened.\n")


@each_error
def test_every_error_can_be_caught_as_the_base_error(error: OxaigenAuthError) -> None:
    with pytest.raises(OxaigenAuthError) as caught:
        raise error
    assert caught.value is error


def pickled(error: OxaigenAuthError) -> OxaigenAuthError:
    twin: OxaigenAuthError = pickle.loads(pickle.dumps(error))  # noqa: S301 (made a moment ago)
    return twin


@each_error
@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, pickled])
def test_a_copy_of_an_error_has_the_same_message(
    error: OxaigenAuthError, way: Callable[[OxaigenAuthError], OxaigenAuthError]
) -> None:
    twin = way(error)
    assert type(twin) is type(error)
    assert twin is not error
    assert repr(twin) == repr(error)
    assert twin.args == error.args


def test_errors_with_equal_messages_are_not_equal() -> None:
    first, second = OxaigenAuthError("x"), OxaigenAuthError("x")
    assert first != second
    assert len({first, second}) == 2


def test_a_permission_denied_error_names_the_permission_or_none_for_the_whole_app() -> None:
    assert OxaigenAuthPermissionDeniedError("x", "audit").permission == "audit"
    assert OxaigenAuthPermissionDeniedError("x").permission is None


def test_an_upstream_error_has_retry_after() -> None:
    assert OxaigenAuthUpstreamError("x", 7).retry_after == 7
    assert OxaigenAuthUpstreamError("x").retry_after is None

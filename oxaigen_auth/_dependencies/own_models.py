"""The dependency that returns the caller as an app's own subclass of `User`.

FastAPI evaluates the annotations here, so they are not postponed.
"""

import logging
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Generic, TypeVar

from attrs import fields
from fastapi import Depends
from starlette.requests import HTTPConnection

from oxaigen_auth._core.process_cache import process_cache
from oxaigen_auth._dependencies.users import UNRESOLVED, get_current_user
from oxaigen_auth._hints.dependencies import ScopelessDependency
from oxaigen_auth._request.http_errors import refusal_of_verdict
from oxaigen_auth._request.identity import report_refusal
from oxaigen_auth._request.websocket_refusals import answerable
from oxaigen_auth._validation.verdict import Unavailable
from oxaigen_auth.models import User

U = TypeVar("U", bound=User)

_log = logging.getLogger("oxaigen_auth")


class GetCurrentUserAs(ScopelessDependency, Generic[U]):
    """Return the caller as an instance of `model`, which an override may also return itself."""

    def __init__(self, model: type[U]) -> None:
        self.model = model
        self.name: str = f"get_current_user_as({model.__name__})"

    async def __call__(
        self,
        connection: HTTPConnection,
        current_user: Annotated[User, Depends(get_current_user)] = UNRESOLVED,
    ) -> U:
        is_resolved = current_user is not UNRESOLVED
        user = current_user if is_resolved else await get_current_user(connection)
        read, error_type = _reader()
        try:
            own: U = read(self.model, user)
        except error_type as error:
            reason = f"the profile cannot be read as {self.model.__name__}: {error}"
        else:
            return own
        _warn(reason)
        report_refusal(connection.scope, "unusable_answer")
        raise answerable(refusal_of_verdict(Unavailable(reason)), connection)


def check_model(model: object) -> None:
    """Check a class that an app declares.

    Raises:
        TypeError: it is not a subclass of `User`, or attrs has not made it.
    """
    if not isinstance(model, type) or not issubclass(model, User):
        raise TypeError(
            f"get_current_user_as takes a subclass of User, not {model!r}: write class "
            "MyUser(User), decorated with @attrs.frozen(kw_only=True)"
        )
    for attribute in fields(model):
        if attribute.alias != attribute.name.lstrip("_"):
            raise TypeError(
                f"{model.__name__}.{attribute.name} has an alias, which is not supported: give it "
                "the name of the field in the profile"
            )
    if "__attrs_attrs__" not in vars(model):
        raise TypeError(
            f"the attributes of {model.__name__} have no effect: decorate the class with "
            "@attrs.frozen(kw_only=True)"
        )


@cache
def _reader() -> tuple[Callable[[type[Any], User], Any], type[Exception]]:
    """Import cattrs and what reads profiles. It is slow, so it waits for the first user."""
    from oxaigen_auth._upstream.json_body import WireError  # noqa: PLC0415
    from oxaigen_auth._upstream.own_models import structure_as  # noqa: PLC0415

    return structure_as, WireError


@process_cache
def _warn(reason: str) -> None:
    """Log a reason once, as it concerns each request of the users whose profile does not fit."""
    _log.warning("Callers get 502: %s", reason)

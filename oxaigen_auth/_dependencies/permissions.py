"""The dependencies that ask the proxy for permissions, after the caller has been identified.

Each returns the user of `get_current_user`, or of the dependency that overrides it. The permissions
are checked with the request's own token. FastAPI evaluates the annotations here, so they are not
postponed.
"""

from abc import abstractmethod
from typing import Annotated, Any

from fastapi import Depends, HTTPException
from starlette.requests import HTTPConnection

from oxaigen_auth._dependencies.users import UNRESOLVED, get_current_user
from oxaigen_auth._hints.dependencies import ScopelessDependency, listed
from oxaigen_auth._request.http_errors import (
    OxaigenAuthHTTPError,
    missing,
    refusal_of_verdict,
    user_of,
)
from oxaigen_auth._request.identity import identify, report_refusal
from oxaigen_auth._request.websocket_refusals import answerable
from oxaigen_auth._validation.verdict import Accepted, Rejected, Unavailable
from oxaigen_auth.models import User


class OnePermission(ScopelessDependency):
    """Return the caller, who must hold a permission."""

    def __init__(self, name: str) -> None:
        self._permission = name
        self.all_of: tuple[str, ...] = (name,)
        self.name: str = f'require_permission("{name}")'

    async def __call__(
        self,
        connection: HTTPConnection,
        current_user: Annotated[User, Depends(get_current_user)] = UNRESOLVED,
    ) -> User:
        try:
            identity = await identify(connection.scope)
            user = user_of(identity)
            verdict = await identity.check_permission(self._permission)
            if isinstance(verdict, Accepted):
                if verdict.value is True:
                    return user if current_user is UNRESOLVED else current_user
                refusal = missing(self.all_of, of=self.all_of)
            else:
                refusal = refusal_of_verdict(verdict)
            report_refusal(connection.scope, refusal.reason, self._permission)
            raise refusal
        except HTTPException as error:
            raise answerable(error, connection) from None


class SeveralPermissions(ScopelessDependency):
    """Return the caller, whose permissions are checked side by side."""

    def __init__(self, *names: str) -> None:
        self._names = names

    async def __call__(
        self,
        connection: HTTPConnection,
        current_user: Annotated[User, Depends(get_current_user)] = UNRESOLVED,
    ) -> User:
        try:
            identity = await identify(connection.scope)
            user = user_of(identity)
            names = self._names
            verdicts = await identity.check_permissions(names, until=self.is_decisive)
            refusal = self.refusal(dict(zip(names, verdicts, strict=True)))
            if refusal is not None:
                report_refusal(connection.scope, refusal.reason, " ".join(names))
                raise refusal
        except HTTPException as error:
            raise answerable(error, connection) from None
        return user if current_user is UNRESOLVED else current_user

    @abstractmethod
    def is_decisive(self, verdict: Any) -> bool:
        """Return whether the other permissions do not matter after this verdict."""

    @abstractmethod
    def refusal(self, verdicts: dict[str, Any]) -> OxaigenAuthHTTPError | None:
        """Return the HTTP error for these verdicts; those that did not matter are None."""


class AllPermissions(SeveralPermissions):
    """Requires each permission. A denied one is reported even if others are unavailable."""

    def __init__(self, *names: str) -> None:
        super().__init__(*names)
        self.all_of: tuple[str, ...] = names
        self.name: str = f"require_permission({listed(names)})"

    def is_decisive(self, verdict: Any) -> bool:
        return isinstance(verdict, Rejected)

    def refusal(self, verdicts: dict[str, Any]) -> OxaigenAuthHTTPError | None:
        if all(map(_is_granted, verdicts.values())):
            return None
        if rejected := _first(verdicts, Rejected):
            return refusal_of_verdict(rejected)
        denied = [k for k, it in verdicts.items() if isinstance(it, Accepted) and not it.value]
        if denied:
            return missing(denied, of=self.all_of)
        return refusal_of_verdict(_first(verdicts, Unavailable))


class AnyPermission(SeveralPermissions):
    """Requires one of the permissions. A granted one suffices even if others are unavailable."""

    def __init__(self, *names: str) -> None:
        super().__init__(*names)
        self.any_of: tuple[str, ...] = names
        self.name: str = f"require_any_permission({listed(names)})"

    def is_decisive(self, verdict: Any) -> bool:
        return isinstance(verdict, Rejected) or _is_granted(verdict)

    def refusal(self, verdicts: dict[str, Any]) -> OxaigenAuthHTTPError | None:
        rejected = _first(verdicts, Rejected)  # even if another check was sooner, and granted
        if rejected is None and any(map(_is_granted, verdicts.values())):
            return None
        failed = rejected or _first(verdicts, Unavailable)
        if failed:
            return refusal_of_verdict(failed)
        return missing([f"one of {', '.join(self.any_of)}"], of=self.any_of)


def _is_granted(verdict: Any) -> bool:
    return isinstance(verdict, Accepted) and verdict.value is True


def _first(verdicts: dict[str, Any], kind: type[Any]) -> Any:
    return next((verdict for verdict in verdicts.values() if isinstance(verdict, kind)), None)

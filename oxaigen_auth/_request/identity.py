"""Identifies the caller of a connection, and asks each question about it only once.

The verdicts are stored in the connection's `scope`, so none outlives it. A scope with changed
headers, or a copy with other headers, may lead to another question.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import inf
from traceback import clear_frames
from types import MappingProxyType
from typing import Any, cast

from attrs import define, field
from starlette.types import Scope

from oxaigen_auth._core.task_groups import side_by_side
from oxaigen_auth._default_client import default_client
from oxaigen_auth._request.app_check import check_once
from oxaigen_auth._request.credentials import (
    combined_headers,
    token_of_cookie,
    token_of_header,
    token_of_websocket,
)
from oxaigen_auth._request.csrf import is_cross_site
from oxaigen_auth._request.hosts import derive_base_url
from oxaigen_auth._request.subprotocols import hide_token
from oxaigen_auth._validation.question import Question, user_question
from oxaigen_auth._validation.verdict import (
    Accepted,
    RateLimited,
    Rejected,
    Stale,
    Verdict,
    refusal_reason,
)
from oxaigen_auth.client import ProxyAuthClient
from oxaigen_auth.errors import (
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUntrustedHostError,
    Reason,
)
from oxaigen_auth.models import User

CLIENT = "oxaigen_auth.client"  # key in the scope: the innermost middleware's client, or None
IDENTITY = "oxaigen_auth.identity"  # key in the scope: the last result of `identify`
MAX_VERDICTS = 8  # per connection
_CROSS_SITE = Rejected("Cross-site request refused", forbidden=True, reason="cross_site")


@define(eq=False)
class Identity:
    """The caller of a connection, as far as it is known.

    Attributes:
        client: the client that validates the token.
        question: None if there is nothing to ask.
        verdict: None if the connection has no token.
        host_error: why the request's host is invalid; then there is no verdict.
        source: the values from which it was derived.
        verdicts: the answers to earlier questions of the connection.
    """

    client: ProxyAuthClient
    question: Question | None = None
    verdict: Verdict[User] | RateLimited | None = None
    host_error: str | None = None
    source: tuple[Any, ...] = field(default=(), init=False, repr=False)
    verdicts: Mapping[tuple[ProxyAuthClient, Question], Verdict[User]] = field(
        default=MappingProxyType({}), init=False, repr=False
    )
    _token: str = field(default="", alias="token", repr=False)

    @property
    def reason(self) -> Reason | None:
        """Why there is no user, or only a stale one."""
        if self.verdict is None:
            return "missing_token" if self.host_error is None else "invalid_host"
        return "stale" if isinstance(self.verdict, Stale) else refusal_reason(self.verdict)

    async def ask(self, question: Question, address: str) -> None:
        """Validate the token, unless the address sent too many that were rejected."""
        validator = self.client.validator
        seconds = validator.is_rate_limited(address) if address else 0
        if seconds:
            self.verdict = RateLimited(seconds)
            return
        verdict: Any = self.verdict or await validator.validate(question, self._token)
        if address and isinstance(verdict, Rejected) and not verdict.forbidden:
            validator.record_rejection(address, question)
        self.verdict = verdict

    def report_refusal(self) -> None:
        """Notify the observers of a token or a host that is refused without a question."""
        if self.verdict is not None or self.host_error is not None:
            self.client.validator.observer.on_refusal(None, cast("Reason", self.reason))

    def use_cached(self, question: Question) -> bool:
        """Use a known or cached verdict. Return whether no lookup or check is left to do."""
        if self.verdicts:
            self.verdict = self.verdicts.get((self.client, question))
            if self.verdict is not None:
                return True
        self.verdict = self.client.validator.cached(question, self._token)
        return isinstance(self.verdict, Accepted)

    def follow(self, earlier: Identity) -> None:
        """Take over the verdicts of an earlier identity of the connection."""
        verdicts = dict(earlier.verdicts)
        if earlier.question and not isinstance(earlier.verdict, RateLimited | None):
            verdicts[earlier.client, earlier.question] = earlier.verdict
        if len(verdicts) > MAX_VERDICTS:
            del verdicts[next(iter(verdicts))]
        self.verdicts = verdicts

    def check_user(self) -> Awaitable[Verdict[User]]:
        """Return the current verdict on the caller, for a connection that stays open."""
        return self._check(cast("Question", self.question))

    def check_permission(self, name: str) -> Awaitable[Verdict[bool]]:
        """Return whether the caller, already accepted, holds a permission."""
        return self._check(cast("Question", self.question).about(name))

    async def _check(self, question: Question) -> Verdict[Any]:
        validator = self.client.validator
        try:
            cached = validator.cached(question, self._token)
            return cached or await validator.validate(question, self._token)
        except BaseException as error:
            clear_frames(error.__traceback__)  # a traceback that is kept would keep the token
            raise

    async def check_permissions(
        self, names: Sequence[str], until: Callable[[Verdict[bool]], bool]
    ) -> list[Verdict[bool] | None]:
        """Check permissions side by side, as `check_permission` does. Return the verdicts in order.

        After a verdict that `until` accepts, the others do not matter: those that are unknown then
        are None.
        """
        known = {name: self._cached_permission(name) for name in names}
        unknown = [name for name, verdict in known.items() if verdict is None]
        if unknown and not any(verdict and until(verdict) for verdict in known.values()):
            verdicts = await side_by_side(self.check_permission, unknown, until=until)
            known.update(zip(unknown, verdicts, strict=True))
        return list(known.values())

    def _cached_permission(self, name: str) -> Verdict[bool] | None:
        question = cast("Question", self.question).about(name)
        try:
            return self.client.validator.cached(question, self._token)
        except BaseException as error:
            clear_frames(error.__traceback__)  # as above
            raise

    def token_expiry(self) -> float:
        """Return when a JWT expires, in seconds since the epoch; infinity if that is unknown."""
        from oxaigen_auth._syntax.jwt import expiry  # noqa: PLC0415 (for WebSockets only)

        exp = expiry(self._token)
        return inf if exp is None else exp


def client_of(scope: Scope) -> ProxyAuthClient:
    """Return the client of the innermost middleware around the app, or the default one.

    Raises:
        OxaigenAuthConfigurationError: the environment holds invalid settings.
    """
    client: ProxyAuthClient = scope.get(CLIENT) or default_client()
    return client


def report_refusal(scope: Scope, reason: Reason, permissions: str = "") -> None:
    """Notify the observers of a caller who is refused after `identify`, or after an override."""
    identity: Identity | None = scope.get(IDENTITY)
    client = client_of(scope) if identity is None else identity.client
    question = None if identity is None else identity.question
    if question is not None and permissions:
        question = question.about(permissions)
    client.validator.observer.on_refusal(question, reason)


async def identify(scope: Scope) -> Identity:
    """Return the caller's identity, by the client of the innermost middleware or the default one.

    Raises:
        OxaigenAuthConfigurationError: the environment holds invalid settings.
    """
    client = client_of(scope)
    # Compared by their values: headers may be changed in place, or replaced by an equal list.
    headers = combined_headers(scope)
    source: tuple[Any, ...] = (client, scope["type"], scope.get("method"), headers)
    known: Identity | None = scope.get(IDENTITY)
    if known is not None and known.source == source:
        return known
    try:
        identity = _read(scope, headers, client)
        identity.source = source
        if known is not None:
            identity.follow(known)
        question = identity.question
        if question is None:
            check_once(scope)
            identity.report_refusal()
        elif not identity.use_cached(question):
            check_once(scope)
            await identity.ask(question, _address(scope))
    except BaseException as error:
        clear_frames(error.__traceback__)  # a traceback that is kept would keep the token
        del source, headers
        raise
    scope[IDENTITY] = identity
    return identity


def _read(scope: Scope, headers: dict[bytes, bytes], client: ProxyAuthClient) -> Identity:
    """Return the identity that the scope shows, with a question if the proxy must be asked."""
    settings = client.settings
    try:
        if scope["type"] == "websocket":
            hide_token(scope, headers)
            token = token_of_websocket(scope, headers)
        else:
            token = token_of_header(headers)
        if token is None:
            token = token_of_cookie(headers, settings.access_token_cookie_name)
            if token is None:
                return Identity(client)
            if is_cross_site(scope, headers, settings):
                return Identity(client, verdict=_CROSS_SITE)
        base_url = client.base_url or derive_base_url(headers, settings)
    except OxaigenAuthUnauthenticatedError as error:
        return Identity(client, verdict=Rejected(error.message, reason=error.reason))
    except OxaigenAuthUntrustedHostError as error:
        return Identity(client, host_error=error.message)
    return Identity(client, user_question(token, base_url, client.fingerprint), token=token)


def _address(scope: Scope) -> str:
    """Return the network address of the client, or "" if there is none.

    For a Unix socket, servers give None, an empty host, or the path of the socket.
    """
    host = (scope.get("client") or ("",))[0]
    return host if isinstance(host, str) and not host.startswith(("/", "@", "\0", "unix:")) else ""

"""The layer around an app's middleware that sets the identity of each connection during a block."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any, cast

from attrs import define, field
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from oxaigen_auth._request.app_check import check_once
from oxaigen_auth._request.credentials import combined_headers
from oxaigen_auth._request.identity import CLIENT, IDENTITY, Identity
from oxaigen_auth._request.subprotocols import hide_token
from oxaigen_auth._validation.question import Question, user_question
from oxaigen_auth._validation.verdict import Accepted, Verdict
from oxaigen_auth.client import ProxyAuthClient
from oxaigen_auth.middleware import fill_state
from oxaigen_auth.models import User
from oxaigen_auth.testing.fake_proxy import FakeProxy

MAX_DEPTH = 100  # middlewares around an app
_QUESTION = user_question("", "http://test")  # stands for the token of each preset identity


class _Anything(tuple[Any, ...]):
    """The source of an identity that is valid for every scope: equal to any other source."""

    __slots__ = ()
    __hash__ = tuple.__hash__

    def __eq__(self, other: object) -> bool:
        return True


@define(eq=False)
class _PresetIdentity(Identity):
    """An identity that `identify` returns for its scope without a lookup."""

    granted: frozenset[str | None] = field(default=frozenset(), kw_only=True)
    source: tuple[Any, ...] = field(default=_Anything(), init=False, repr=False)

    async def _check(self, question: Question) -> Verdict[Any]:
        return self._preset(question)

    def _cached_permission(self, name: str) -> Verdict[bool] | None:
        return self._preset(_QUESTION.about(name))

    def _preset(self, question: Question) -> Verdict[Any]:
        if question.permission:
            return Accepted(question.permission in self.granted, self._now())
        user: Any = self.verdict
        return Accepted(user.value, self._now()) if isinstance(user, Accepted) else user

    def _now(self) -> float:
        """Return the time, so that `watch_user` takes the verdict for a new one."""
        return self.client.validator.store.clock()


@define(eq=False)
class _Block:
    """A running block. `path` contains the blocks in which it began, and itself at the end.

    Its client, for code that reads the identity's client, uses no network and accepts no token.
    """

    verdict: Verdict[User] | None
    granted: frozenset[str | None]
    path: tuple[_Block, ...] = field(init=False)
    _client: ProxyAuthClient = field(factory=lambda: FakeProxy().client(), init=False)

    def identity(self) -> Identity:
        """Return an identity for one connection: several may share the state of a server."""
        return _PresetIdentity(
            self._client,
            None if self.verdict is None else _QUESTION,
            self.verdict,
            granted=self.granted,
        )


# The blocks that the current context has entered. They distinguish tests that run at the same
# time, in tasks or in threads.
_entered: ContextVar[tuple[_Block, ...]] = ContextVar("_entered", default=())
_lock = Lock()


@define(eq=False)
class _Layer:
    """The outermost middleware of an app while a block runs; `blocks` are in order of entry.

    Builds the app's own stack with the first call, as the app would have done.
    """

    target: Starlette
    stack: ASGIApp | None
    blocks: list[_Block] = field(factory=list, init=False)

    @property
    def app(self) -> ASGIApp:
        if self.stack is None:
            self.stack = self.target.build_middleware_stack()
        return self.stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        block = self._applying() if scope["type"] in {"http", "websocket"} else None
        if block is not None:
            _refuse_asked(scope)
            identity = scope[IDENTITY] = block.identity()
            check_once(scope)
            if scope["type"] == "websocket":
                hide_token(scope, combined_headers(scope))
            if CLIENT in scope:  # a middleware around this app has filled the state already
                fill_state(scope, identity)
        await self.app(scope, receive, send)

    def _applying(self) -> _Block | None:
        """Return the newest block inside the innermost one that this context has entered.

        If it has entered none of the running ones, as a server that was started before them,
        return the newest of all.
        """
        blocks = self.blocks[::-1]
        own = next((block for block in reversed(_entered.get()) if block in blocks), None)
        return next((block for block in blocks if own is None or own in block.path), None)


def _refuse_asked(scope: Scope) -> None:
    """Raise an error if middleware around the app has asked the proxy about the caller."""
    known = scope.get(IDENTITY)
    if known is not None and known.question and not isinstance(known, _PresetIdentity):
        raise TypeError(
            "middleware around the app has validated the token of this request before as_user, "
            "as_anonymous or as_unavailable applies: write app.add_middleware(OxaigenAuthMiddleware"
            ", …) instead of OxaigenAuthMiddleware(app, …), or give as_user the outermost app"
        )


@contextmanager
def calling(
    function: str,
    app: object,
    verdict: Verdict[User] | None,
    granted: frozenset[str | None] = frozenset(),
) -> Generator[None]:
    """Preset the identity of the app's callers during the block."""
    target = _starlette(function, app)
    block = _Block(verdict, granted)
    block.path = (*_entered.get(), block)
    _entered.set(block.path)
    layer = _enter(target, block)
    try:
        yield
    finally:
        _leave(layer, block)
        # Blocks may end in any order, and in another context than they began in.
        _entered.set(tuple(it for it in _entered.get() if it is not block))


def _enter(target: Starlette, block: _Block) -> _Layer:
    with _lock:
        found: Any = target.middleware_stack
        layer = found if isinstance(found, _Layer) else _Layer(target, found)
        target.middleware_stack = layer
        layer.blocks.append(block)
    return layer


def _leave(layer: _Layer, block: _Block) -> None:
    """Remove a block, and the layer with the last one.

    An app that was not called can then be changed, as before.
    """
    with _lock:
        layer.blocks.remove(block)
        if not layer.blocks and layer.target.middleware_stack is layer:
            layer.target.middleware_stack = cast("Callable[..., Any]", layer.stack)


def _starlette(function: str, app: object) -> Starlette:
    """Return the app itself, or the one that a middleware or a test client wraps."""
    found = app
    for _ in range(MAX_DEPTH):
        if isinstance(found, Starlette):
            return found
        found = getattr(found, "app", None)
    raise TypeError(
        f"{function} takes a FastAPI or Starlette app, not {type(app).__name__}: write "
        f"{function}(app), with the app that your test calls"
    )

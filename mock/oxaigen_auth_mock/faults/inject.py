"""Makes faults happen to a call. Knows what each of them does; `faults` knows when one does it."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final
from zlib import compressobj

from anyio import sleep
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.status import HTTP_401_UNAUTHORIZED
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oxaigen_auth_mock.asgi import hypercorn_connections
from oxaigen_auth_mock.asgi.exchange import NO_STORE, Answer, Exchange, with_header
from oxaigen_auth_mock.faults.plan import (
    Close,
    Drip,
    Fault,
    GzipBomb,
    Hang,
    Html,
    Latency,
    Oversized,
    Redirect,
    Reset,
    SetCookie,
    Status,
    TruncatedJson,
    WrongContentType,
    WrongShape,
)

BLOCK: Final = 2**16  # bytes of padding at a time
GZIP: Final = 31  # zlib's number for the gzip format
BLANKS: Final = b" " * BLOCK
WRONG: Final = {
    "list": b'["not", "what", "you", "expect"]',
    "text": b'"not what you expect"',
    "null": b"null",
    "object": b'{"id": {"no": "number"}}',
}
PAGE: Final = "<!doctype html><title>Sign in</title><h1>Sign in</h1><p>A page, and no JSON.</p>"
BOMB_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"content-encoding", b"gzip"),
    (b"content-type", b"application/json"),
)


async def answer_with(
    faults: Sequence[Fault], app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    """Answer a call of HTTP as its faults have it.

    Args:
        faults: as `FaultPlan.strike` gives them: at most one besides latencies and cookies.
        app: answers the call as if nothing were wrong.
        scope: has the server's own `send` at `SEND`, else no connection is found.
        receive: the call's own.
        send: gets the answers, those of the faults as well; may be wrapped.

    Raises:
        ConnectionResetError: a connection is to be reset, but no hypercorn serves this call.
        ConnectionAbortedError: so for one that is to be closed.
    """
    for fault in sorted(faults, key=_adds_up):
        app = partial(_answer_with_one, fault, app)
    await app(scope, receive, send)


def _adds_up(fault: Fault) -> bool:
    return isinstance(fault, Latency | SetCookie)


async def _answer_with_one(
    fault: Fault, app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    exchange = Exchange(app, scope, receive, send)
    if isinstance(fault, Latency | SetCookie | WrongContentType):
        await _color(fault, exchange)
    elif isinstance(fault, Drip | TruncatedJson | Oversized):
        await _spoil(fault, exchange)
    else:
        await _supplant(fault, exchange)


async def _color(fault: Latency | SetCookie | WrongContentType, exchange: Exchange) -> None:
    """Let the answer pass, but later, or with another head."""

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            if isinstance(fault, Latency):
                await sleep(fault.seconds or 0)
            else:
                message = _with_other_head(fault, message)
        await exchange.send(message)

    if isinstance(fault, Latency) and fault.when == "before":
        await sleep(fault.seconds or 0)
        await exchange.run_app(exchange.send)
        return
    await exchange.run_app(send)


def _with_other_head(fault: SetCookie | WrongContentType, start: Message) -> Message:
    headers = start.get("headers", ())
    if isinstance(fault, SetCookie):
        cookie = f"{fault.name}={fault.value}; Path=/".encode()
        return {**start, "headers": [*headers, (b"set-cookie", cookie)]}
    text = b"text/plain; charset=utf-8"
    return {**start, "headers": with_header(headers, b"content-type", text)}


async def _spoil(fault: Drip | TruncatedJson | Oversized, exchange: Exchange) -> None:
    """Let the app answer, but send its answer's body in another way."""
    answer = await exchange.real_answer()
    if answer is None:
        return
    if isinstance(fault, Drip):
        await exchange.stream(answer, _pieces(answer.body, fault.chunk), pause=fault.seconds)
    elif isinstance(fault, Oversized):
        size = max(fault.size, len(answer.body))
        await exchange.stream(answer.announcing(size), _padded(answer.body, size))
    else:
        await exchange.start(answer.announcing(len(answer.body)))
        await exchange.send_part(answer.body[: len(answer.body) // 2])
        await hypercorn_connections.close(exchange.scope)


def _pieces(body: bytes, size: int) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


def _padded(body: bytes, size: int) -> Iterator[bytes]:
    yield body
    for missing in range(size - len(body), 0, -BLOCK):
        yield BLANKS[:missing]


async def _supplant(
    fault: Status | Hang | Reset | Close | WrongShape | Html | Redirect | GzipBomb,
    exchange: Exchange,
) -> None:
    """Answer in the app's place, which may have answered for nothing."""
    if fault.when == "after":
        await exchange.real_answer()
    else:
        await exchange.read_request()
    if isinstance(fault, Hang):
        await exchange.wait_until_left()
    elif isinstance(fault, Reset):
        await hypercorn_connections.reset(exchange.scope)
    elif isinstance(fault, Close):
        await hypercorn_connections.close(exchange.scope)
    elif isinstance(fault, GzipBomb):
        await exchange.stream(Answer(200, BOMB_HEADERS), _bomb(fault.size))
    else:
        await _response(fault)(exchange.scope, exchange.receive, exchange.send)


def _bomb(size: int) -> Iterator[bytes]:
    """Compress so many bytes of valid JSON: blanks and a number."""
    packer = compressobj(level=9, wbits=GZIP)
    for missing in range(size - 1, 0, -BLOCK):
        yield packer.compress(BLANKS[:missing])
    yield packer.compress(b"0")
    yield packer.flush()


def _response(fault: Status | WrongShape | Html | Redirect) -> Response:
    if isinstance(fault, WrongShape):
        return Response(WRONG[fault.shape], 200, NO_STORE, "application/json")
    if isinstance(fault, Html):
        return HTMLResponse(PAGE, 200, NO_STORE)
    if isinstance(fault, Redirect):
        return Response(b"", fault.status, {**NO_STORE, "Location": fault.location})
    headers = dict(NO_STORE)
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
    if fault.status == HTTP_401_UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"detail": fault.detail}, fault.status, headers)

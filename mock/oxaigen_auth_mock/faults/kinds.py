"""The kinds of faults: each class is one kind, with its fields, its summary and its injection.

To add a kind, write a class here and add it to `Fault`.
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Final, Literal, get_args
from zlib import compressobj

from pydantic import BaseModel, Field, TypeAdapter
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.status import HTTP_401_UNAUTHORIZED
from starlette.types import Message

from oxaigen_auth_mock.asgi import hypercorn_connections
from oxaigen_auth_mock.asgi.exchange import NO_STORE, BufferedResponse, Exchange, with_header
from oxaigen_auth_mock.config.constraints import CookieName, Expected
from oxaigen_auth_mock.faults.base import LINE, BodyFault, HeadFault, ReplacementFault
from oxaigen_auth_mock.faults.latency import Latency, Seconds

MIB: Final = 2**20
BLOCK: Final = b" " * 2**16  # padding is produced in blocks of this size
GZIP: Final = 31  # zlib's `wbits` of the gzip format
VISIBLE: Final = r"^[\x21-\x7e]+$"
COOKIE_VALUE: Final = r"^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*$"  # RFC 6265 §4.1.1

UNEXPECTED_JSON: Final = {
    "list": b'["not", "what", "you", "expect"]',
    "text": b'"not what you expect"',
    "null": b"null",
    "object": b'{"id": {"no": "number"}}',
}
SIGN_IN_PAGE: Final = (
    "<!doctype html><title>Sign in</title><h1>Sign in</h1><p>A page instead of JSON.</p>"
)


class Status(ReplacementFault):
    """An error status, as from a failing proxy."""

    summary_format: ClassVar[str] = "{status}"
    kind: Literal["status"] = "status"
    status: int = Field(default=503, ge=400, le=599)
    retry_after: Annotated[int, Field(ge=0, le=86_400)] | None = Field(
        default=None, description="Seconds for the Retry-After header."
    )
    detail: Annotated[
        str, Field(max_length=1000, pattern=LINE), Expected("a line of 1 to 1000 characters")
    ] = "Injected by the mock"

    def summary(self) -> str:
        suffix = "" if self.retry_after is None else f", Retry-After {self.retry_after}"
        return super().summary() + suffix

    async def replace_response(self, exchange: Exchange) -> None:
        headers = dict(NO_STORE)
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.status == HTTP_401_UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        await exchange.respond(JSONResponse({"detail": self.detail}, self.status, headers))


class Hang(ReplacementFault):
    """No response until the caller disconnects or the mock stops."""

    summary_format: ClassVar[str] = "no response"
    kind: Literal["hang"] = "hang"

    async def replace_response(self, exchange: Exchange) -> None:
        await exchange.wait_for_disconnect()


class Reset(ReplacementFault):
    """A TCP reset instead of a response."""

    summary_format: ClassVar[str] = "connection reset"
    kind: Literal["reset"] = "reset"

    async def replace_response(self, exchange: Exchange) -> None:
        await hypercorn_connections.reset(exchange.scope)


class Close(ReplacementFault):
    """A closed connection instead of a response."""

    summary_format: ClassVar[str] = "connection closed"
    kind: Literal["close"] = "close"

    async def replace_response(self, exchange: Exchange) -> None:
        await hypercorn_connections.close(exchange.scope)


class Drip(BodyFault):
    """The normal response with a body that arrives a few bytes at a time."""

    summary_format: ClassVar[str] = "{chunk} bytes every {seconds:.3g} s"
    kind: Literal["drip"] = "drip"
    chunk: Annotated[int, Field(ge=1, le=MIB, description="Bytes per chunk.")] = 1
    seconds: Annotated[Seconds, Field(description="Seconds to wait before each chunk.")] = 1.0

    async def alter_body(self, exchange: Exchange, response: BufferedResponse) -> None:
        body, size = response.body, self.chunk
        chunks = (body[start : start + size] for start in range(0, len(body), size))
        await exchange.stream(response, chunks, pause=self.seconds)


class TruncatedJson(BodyFault):
    """The first half of the normal response; then the connection closes."""

    summary_format: ClassVar[str] = "truncated response"
    kind: Literal["truncated-json"] = "truncated-json"

    async def alter_body(self, exchange: Exchange, response: BufferedResponse) -> None:
        body = response.body
        await exchange.start(response.with_content_length(len(body)))
        await exchange.send_chunk(body[: len(body) // 2])
        await hypercorn_connections.close(exchange.scope)


class WrongShape(ReplacementFault):
    """Status 200 and valid JSON that the endpoint never returns."""

    summary_format: ClassVar[str] = "wrong shape: {shape}"
    kind: Literal["wrong-shape"] = "wrong-shape"
    shape: Literal["list", "text", "null", "object"] = "list"

    async def replace_response(self, exchange: Exchange) -> None:
        body = UNEXPECTED_JSON[self.shape]
        await exchange.respond(Response(body, 200, NO_STORE, "application/json"))


class Html(ReplacementFault):
    """Status 200 and an HTML page, as from a load balancer or a captive portal."""

    summary_format: ClassVar[str] = "HTML with status 200"
    kind: Literal["html"] = "html"

    async def replace_response(self, exchange: Exchange) -> None:
        await exchange.respond(HTMLResponse(SIGN_IN_PAGE, 200, NO_STORE))


class Redirect(ReplacementFault):
    """A redirect to another site, as from a sign-in page in front of the proxy."""

    summary_format: ClassVar[str] = "{status} to {location}"
    kind: Literal["redirect"] = "redirect"
    status: Literal[301, 302, 303, 307, 308] = 302
    location: Annotated[
        str,
        Field(max_length=2048, pattern=VISIBLE),
        Expected("text of 1 to 2048 visible ASCII characters"),
    ] = "https://example.invalid/sign-in"

    async def replace_response(self, exchange: Exchange) -> None:
        await exchange.respond(Response(b"", self.status, {**NO_STORE, "Location": self.location}))


class WrongContentType(HeadFault):
    """The normal response with the content type text/plain."""

    summary_format: ClassVar[str] = "content type text/plain"
    kind: Literal["wrong-content-type"] = "wrong-content-type"

    def alter_head(self, start: Message) -> Message:
        text = b"text/plain; charset=utf-8"
        return {**start, "headers": with_header(start.get("headers", ()), b"content-type", text)}


class Oversized(BodyFault):
    """The normal response, padded with spaces."""

    summary_format: ClassVar[str] = "{size} bytes"
    kind: Literal["oversized"] = "oversized"
    size: int = Field(default=2 * MIB, ge=1, le=64 * MIB, description="Bytes of the body.")

    async def alter_body(self, exchange: Exchange, response: BufferedResponse) -> None:
        size = max(self.size, len(response.body))
        chunks = _padded(response.body, size)
        await exchange.stream(response.with_content_length(size), chunks)


def _padded(body: bytes, size: int) -> Iterator[bytes]:
    yield body
    for missing in range(size - len(body), 0, -len(BLOCK)):
        yield BLOCK[:missing]


class GzipBomb(ReplacementFault):
    """Status 200 and a small gzip body that decompresses to a large JSON document."""

    summary_format: ClassVar[str] = "gzip of {size} bytes"
    kind: Literal["gzip-bomb"] = "gzip-bomb"
    size: int = Field(default=64 * MIB, ge=1, le=1024 * MIB, description="Bytes when decompressed.")

    async def replace_response(self, exchange: Exchange) -> None:
        headers = (
            (b"cache-control", b"no-store"),
            (b"content-encoding", b"gzip"),
            (b"content-type", b"application/json"),
        )
        await exchange.stream(BufferedResponse(200, headers), _gzip_bomb(self.size))


def _gzip_bomb(size: int) -> Iterator[bytes]:
    """Compress this many bytes of valid JSON: spaces and a number."""
    compressor = compressobj(level=9, wbits=GZIP)
    for missing in range(size - 1, 0, -len(BLOCK)):
        yield compressor.compress(BLOCK[:missing])
    yield compressor.compress(b"0")
    yield compressor.flush()


class SetCookie(HeadFault):
    """The normal response with an additional cookie."""

    summary_format: ClassVar[str] = "additional cookie {name}"
    stackable: ClassVar[bool] = True
    kind: Literal["set-cookie"] = "set-cookie"
    name: Annotated[CookieName, Field(max_length=100)] = "stray"
    value: Annotated[
        str,
        Field(max_length=2000, pattern=COOKIE_VALUE),
        Expected("text of visible ASCII characters except quotes, commas, semicolons, backslashes"),
    ] = "crumbs"

    def alter_head(self, start: Message) -> Message:
        cookie = f"{self.name}={self.value}; Path=/".encode()
        return {**start, "headers": [*start.get("headers", ()), (b"set-cookie", cookie)]}


Fault = Annotated[
    Status | Latency | Hang | Reset | Close | Drip | TruncatedJson | WrongShape | Html | Redirect
    | WrongContentType | Oversized | GzipBomb | SetCookie,
    Field(discriminator="kind"),
]  # fmt: skip
FAULT: Final[TypeAdapter[Fault]] = TypeAdapter(Fault)
FAULTS: Final[dict[str, type[BaseModel]]] = {
    model.model_fields["kind"].default: model for model in get_args(get_args(Fault)[0])
}

"""The base classes of faults: which calls a fault applies to, and how it is injected."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from random import Random
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oxaigen_auth_mock.asgi.exchange import BufferedResponse, Exchange
from oxaigen_auth_mock.config.constraints import Expected

TokenEndpoint = Literal["test-app-token", "get-me", "test-app-permission"]
Endpoint = Literal[
    "login",
    "mock-authorize",
    "callback",
    "token-exchange",
    "refresh",
    TokenEndpoint,
    "logout",
]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]

LINE: Final = r"^[^\x00-\x1f\x7f]+$"


def _require_kind(schema: dict[str, Any]) -> None:
    """Mark `kind` as required in OpenAPI; it has a default in Python only."""
    schema["required"] = ["kind", *schema.get("required", ())]


class BaseFault(BaseModel):
    """Which calls a fault applies to. A kind of fault is a subclass that injects itself.

    Of the calls that match `endpoint` and `persona`, each `every`-th is hit with `probability`,
    until `times` calls were hit. The same `seed` hits the same calls again.

    Attributes:
        summary_format: a few words for people, formatted with the fields of the fault.
        stackable: whether the fault may hit a call beside other faults. Of those that are not
            stackable, only the first one hits a call.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        json_schema_extra=_require_kind,
    )
    summary_format: ClassVar[str]
    stackable: ClassVar[bool] = False

    endpoint: Endpoint | None = Field(default=None, description="Only calls of this endpoint.")
    persona: (
        Annotated[
            str, Field(max_length=200, pattern=LINE), Expected("a line of 1 to 200 characters")
        ]
        | None
    ) = Field(default=None, description="Only calls by this persona.")
    every: Count = Field(default=1, description="Only each n-th of these calls.")
    probability: float = Field(
        default=1.0, ge=0, le=1, description="Probability that such a call is hit."
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="Seed of the random numbers.")
    times: Count | None = Field(default=None, description="Maximum number of calls to hit.")

    @abstractmethod
    async def inject(self, exchange: Exchange) -> None:
        """Answer a call with the fault."""

    def matches(self, endpoint: str, persona: str | None) -> bool:
        return self.endpoint in (None, endpoint) and self.persona in (None, persona)

    def sampled(self, random: Random) -> Self:  # noqa: ARG002 - for kinds that have random values
        """Return the fault for one call, with its random values fixed."""
        return self

    def summary(self) -> str:
        """Describe in a few words what a hit call gets."""
        return self.summary_format.format_map(dict(self))

    def describe(self) -> str:
        """Describe in a line which calls are hit, and what they get.

        >>> from oxaigen_auth_mock.faults.kinds import Status
        >>> Status(endpoint="get-me", every=3, status=503, retry_after=5).describe()
        'every 3rd get-me: 503, Retry-After 5'
        """
        words = [f"every {_ordinal(self.every)}{self.endpoint or 'call'}"]
        if self.persona is not None:
            words.append(f"by {self.persona}")
        if self.probability < 1:
            words.append(f"with probability {100 * self.probability:g} %")
        if self.times is not None:
            words.append("at most once" if self.times == 1 else f"at most {self.times} times")
        return f"{' '.join(words)}: {self.summary()}"


def _ordinal(number: int) -> str:
    """Format 2 as `2nd `, and 1 as nothing."""
    if number == 1:
        return ""
    ending = "th" if number // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending} "


class TimedFault(BaseFault):
    """A fault injected before the side effect of a call, which it prevents, or after it."""

    when: Literal["before", "after"] = Field(
        default="before", description="Before or after the side effect of the call."
    )

    def describe(self) -> str:
        return super().describe() + (", after the side effect" if self.when == "after" else "")


class HeadFault(BaseFault):
    """A fault that changes the status or headers of the response."""

    @abstractmethod
    def alter_head(self, start: Message) -> Message:
        """Return the `http.response.start` message to send instead."""

    async def inject(self, exchange: Exchange) -> None:
        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = self.alter_head(message)
            await exchange.send(message)

        await exchange.run_app(send)


class BodyFault(BaseFault):
    """A fault that changes the body of the response, or the way it is sent."""

    @abstractmethod
    async def alter_body(self, exchange: Exchange, response: BufferedResponse) -> None:
        """Send the response with its body altered."""

    async def inject(self, exchange: Exchange) -> None:
        response = await exchange.buffer_response()
        if response is not None:
            await self.alter_body(exchange, response)


class ReplacementFault(TimedFault):
    """A fault that answers instead of the app. With `when="after"` the app runs first."""

    @abstractmethod
    async def replace_response(self, exchange: Exchange) -> None:
        """Send another response, or break the connection."""

    async def inject(self, exchange: Exchange) -> None:
        if self.when == "after":
            await exchange.buffer_response()
        else:
            await exchange.read_request()
        await self.replace_response(exchange)


async def inject_faults(
    faults: Sequence[BaseFault], app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    """Answer an HTTP call with faults, of which at most one is not stackable.

    Connections can only be broken if the scope has the server's own `send` at `SEND_KEY`.

    Raises:
        ConnectionResetError: a fault resets the connection, but hypercorn does not serve the call.
        ConnectionAbortedError: the same for a fault that closes the connection.
    """
    for fault in sorted(faults, key=lambda fault: fault.stackable):
        app = partial(_inject, fault, app)
    await app(scope, receive, send)


async def _inject(
    fault: BaseFault, app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    await fault.inject(Exchange(app, scope, receive, send))

"""What a struck call gets instead of, or besides, the real answer: a model for each kind of fault.

Knows no HTTP: `breaking` makes them happen.
"""

from itertools import chain
from math import exp
from random import Random
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from oxaigen_auth_mock.config.constraints import Expected
from oxaigen_auth_mock.faults.match import LINE, Timed, Trigger

LONGEST: Final = 3600.0  # seconds
MIB: Final = 2**20
VISIBLE: Final = r"^[\x21-\x7e]+$"
COOKIE_NAME: Final = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"  # a token of RFC 9110 §5.6.2
COOKIE_VALUE: Final = r"^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*$"  # RFC 6265 §4.1.1

PARAMETERS: Final = {  # of a latency
    "fixed": ("seconds",),
    "uniform": ("low", "high"),
    "log-normal": ("median", "sigma"),
}
SAYS: Final = {  # of these parameters, in words
    "fixed": "{seconds:.3g} s",
    "uniform": "{low:.3g} to {high:.3g} s",
    "log-normal": "around {median:.3g} s, sigma {sigma:.3g}",
}

Seconds = Annotated[float, Field(ge=0, le=LONGEST)]


class Status(Timed):
    """An error status, as a proxy in trouble answers it."""

    says: ClassVar = "{status}"
    kind: Literal["status"] = "status"
    status: int = Field(default=503, ge=400, le=599)
    retry_after: Annotated[int, Field(ge=0, le=86_400)] | None = Field(
        default=None, description="Seconds to announce in Retry-After."
    )
    detail: Annotated[
        str, Field(max_length=1000, pattern=LINE), Expected("a line of 1 to 1000 characters")
    ] = "Broken by the mock"

    def effect(self) -> str:
        more = "" if self.retry_after is None else f", Retry-After {self.retry_after}"
        return super().effect() + more


class Latency(Timed):
    """A wait before the call is looked at, or before its answer leaves.

    `fixed` takes `seconds`; `uniform` takes `low` and `high`; `log-normal` takes `median` and
    `sigma`, its spread: mostly near the median, rarely very long, as networks are.
    """

    kind: Literal["latency"] = "latency"
    distribution: Literal["fixed", "uniform", "log-normal"] = "fixed"
    seconds: Seconds | None = None
    low: Seconds | None = None
    high: Seconds | None = None
    median: Seconds | None = None
    sigma: Annotated[float, Field(ge=0, le=5)] | None = None

    @model_validator(mode="after")
    def _check_what_belongs_together(self) -> Self:
        takes = PARAMETERS[self.distribution]
        given = {each for each in chain(*PARAMETERS.values()) if getattr(self, each) is not None}
        if given != set(takes):
            raise ValueError(f"a {self.distribution} latency takes {' and '.join(takes)} alone")
        if (self.low or 0) > (self.high or 0):
            raise ValueError("low may not be greater than high")
        return self

    def drawn(self, random: Random) -> "Latency":
        """Return the fixed latency that one call gets, with all else as it is here."""
        unset = dict.fromkeys(chain(*PARAMETERS.values()))
        decided = {"distribution": "fixed", "seconds": self.seconds_by(random)}
        return self.model_copy(update={**unset, **decided})

    def seconds_by(self, random: Random) -> float:
        """Draw a wait in seconds, never more than `LONGEST`."""
        if self.distribution == "uniform":
            return random.uniform(self.low or 0, self.high or 0)
        if self.distribution == "log-normal":
            return min(LONGEST, (self.median or 0) * exp(random.gauss(0, self.sigma or 0)))
        return self.seconds or 0

    def effect(self) -> str:
        says = SAYS[self.distribution].format_map(dict(self))
        return f"{self.distribution} latency, {says}"


class Hang(Timed):
    """No answer until the caller leaves or the mock stops."""

    says: ClassVar = "never answers"
    kind: Literal["hang"] = "hang"


class Reset(Timed):
    """A TCP reset instead of an answer."""

    says: ClassVar = "connection reset"
    kind: Literal["reset"] = "reset"


class Close(Timed):
    """A closed connection instead of an answer."""

    says: ClassVar = "closes without an answer"
    kind: Literal["close"] = "close"


class Drip(Trigger):
    """The real answer, whose body arrives bit by bit."""

    says: ClassVar = "{chunk} bytes every {seconds:.3g} s"
    kind: Literal["drip"] = "drip"
    chunk: Annotated[int, Field(ge=1, le=MIB, description="Bytes at a time.")] = 1
    seconds: Annotated[Seconds, Field(description="Wait before each chunk.")] = 1.0


class TruncatedJson(Trigger):
    """The real answer, of whose body only the first half arrives before the connection closes."""

    says: ClassVar = "half an answer"
    kind: Literal["truncated-json"] = "truncated-json"


class WrongShape(Timed):
    """Status 200 and valid JSON, but none that the endpoint ever answers."""

    says: ClassVar = "wrong shape: {shape}"
    kind: Literal["wrong-shape"] = "wrong-shape"
    shape: Literal["list", "text", "null", "object"] = "list"


class Html(Timed):
    """Status 200 and a page, as from a load balancer or a captive portal."""

    says: ClassVar = "HTML with status 200"
    kind: Literal["html"] = "html"


class Redirect(Timed):
    """A redirect to elsewhere, as from a sign-in page in front of the proxy."""

    says: ClassVar = "{status} to {location}"
    kind: Literal["redirect"] = "redirect"
    status: Literal[301, 302, 303, 307, 308] = 302
    location: Annotated[
        str,
        Field(max_length=2048, pattern=VISIBLE),
        Expected("text of 1 to 2048 visible ASCII characters"),
    ] = "https://example.invalid/sign-in"


class WrongContentType(Trigger):
    """The real answer, said to be text/plain."""

    says: ClassVar = "content type text/plain"
    kind: Literal["wrong-content-type"] = "wrong-content-type"


class Oversized(Trigger):
    """The real answer, padded with blanks."""

    says: ClassVar = "{size} bytes"
    kind: Literal["oversized"] = "oversized"
    size: int = Field(default=2 * MIB, ge=1, le=64 * MIB, description="Bytes of the body.")


class GzipBomb(Timed):
    """Status 200 and little JSON on the wire that becomes much when decompressed."""

    says: ClassVar = "gzip of {size} bytes"
    kind: Literal["gzip-bomb"] = "gzip-bomb"
    size: int = Field(default=64 * MIB, ge=1, le=1024 * MIB, description="Bytes when decompressed.")


class SetCookie(Trigger):
    """The answer with a cookie that nobody asked for."""

    says: ClassVar = "stray cookie {name}"
    kind: Literal["set-cookie"] = "set-cookie"
    name: Annotated[
        str,
        Field(max_length=100, pattern=COOKIE_NAME),
        Expected("text of 1 to 100 letters, digits and !#$%&'*+.^_`|~-"),
    ] = "stray"
    value: Annotated[
        str,
        Field(max_length=2000, pattern=COOKIE_VALUE),
        Expected("text of visible ASCII characters except quotes, commas, semicolons, backslashes"),
    ] = "crumbs"

"""The fault that delays responses, by a fixed or a random time."""

from itertools import chain
from math import exp
from random import Random
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from anyio import sleep
from pydantic import Field, model_validator
from starlette.types import Message

from oxaigen_auth_mock.asgi.exchange import Exchange
from oxaigen_auth_mock.faults.base import TimedFault

MAX_SECONDS: Final = 3600.0

PARAMETERS: Final[dict[str, tuple[str, ...]]] = {
    "fixed": ("seconds",),
    "uniform": ("low", "high"),
    "log-normal": ("median", "sigma"),
}
SUMMARIES: Final = {
    "fixed": "{seconds:.3g} s",
    "uniform": "{low:.3g} to {high:.3g} s",
    "log-normal": "around {median:.3g} s, sigma {sigma:.3g}",
}

Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]


def _parameter_of(distribution: str) -> Any:
    """Declare a field that only this distribution has; forms read it from the JSON schema."""
    return Field(default=None, json_schema_extra={"x-only-if": {"distribution": distribution}})


class Latency(TimedFault):
    """Delays the call, or its response.

    `fixed` takes `seconds`; `uniform` takes `low` and `high`; `log-normal` takes `median` and
    `sigma`, its spread: most delays are near the median and a few are very long, as in networks.
    """

    stackable: ClassVar[bool] = True
    kind: Literal["latency"] = "latency"
    distribution: Literal["fixed", "uniform", "log-normal"] = "fixed"
    seconds: Seconds | None = _parameter_of("fixed")
    low: Seconds | None = _parameter_of("uniform")
    high: Seconds | None = _parameter_of("uniform")
    median: Seconds | None = _parameter_of("log-normal")
    sigma: Annotated[float, Field(ge=0, le=5)] | None = _parameter_of("log-normal")

    @model_validator(mode="after")
    def _check_parameters(self) -> Self:
        expected = PARAMETERS[self.distribution]
        given = {each for each in chain(*PARAMETERS.values()) if getattr(self, each) is not None}
        if given != set(expected):
            raise ValueError(f"a {self.distribution} latency has exactly {' and '.join(expected)}")
        if (self.low or 0) > (self.high or 0):
            raise ValueError("low must not be greater than high")
        return self

    def sampled(self, random: Random) -> Self:
        """Return a fixed latency for one call, otherwise like this one."""
        unset = dict.fromkeys(chain(*PARAMETERS.values()))
        fixed = {"distribution": "fixed", "seconds": self._sample_seconds(random)}
        return self.model_copy(update={**unset, **fixed})

    def _sample_seconds(self, random: Random) -> float:
        if self.distribution == "uniform":
            return random.uniform(self.low or 0, self.high or 0)
        if self.distribution == "log-normal":
            return min(MAX_SECONDS, (self.median or 0) * exp(random.gauss(0, self.sigma or 0)))
        return self.seconds or 0

    def summary(self) -> str:
        return f"{self.distribution} latency, {SUMMARIES[self.distribution]}".format_map(dict(self))

    async def inject(self, exchange: Exchange) -> None:
        if self.when == "before":
            await sleep(self.seconds or 0)
            await exchange.run_app(exchange.send)
            return

        async def send_delayed(message: Message) -> None:
            if message["type"] == "http.response.start":
                await sleep(self.seconds or 0)
            await exchange.send(message)

        await exchange.run_app(send_delayed)

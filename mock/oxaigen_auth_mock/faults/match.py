"""Which calls a fault strikes: the part of a fault that is the same for every kind."""

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from oxaigen_auth_mock.config.constraints import Expected

Endpoint = Literal[
    "login",
    "mock-authorize",
    "callback",
    "token-exchange",
    "refresh",
    "test-app-token",
    "get-me",
    "test-app-permission",
    "logout",
]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]

LINE: Final = r"^[^\x00-\x1f\x7f]+$"


def _require_kind(schema: dict[str, Any]) -> None:
    """Tell OpenAPI that JSON must name its kind, although Python need not."""
    schema["required"] = ["kind", *schema.get("required", ())]


class Trigger(BaseModel):
    """Which calls a fault strikes: what all kinds have in common.

    Of the calls that match `endpoint` and `persona`, each `every`-th is struck with `probability`,
    until `times` of them were. The same `seed` strikes the same calls again.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        json_schema_extra=_require_kind,
    )
    says: ClassVar[str]

    endpoint: Endpoint | None = Field(default=None, description="Only calls of this endpoint.")
    persona: (
        Annotated[
            str, Field(max_length=200, pattern=LINE), Expected("a line of 1 to 200 characters")
        ]
        | None
    ) = Field(default=None, description="Only calls by this persona.")
    every: Count = Field(default=1, description="Only each n-th of these calls.")
    probability: float = Field(
        default=1.0, ge=0, le=1, description="Chance that such a call is struck."
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="Where the chances begin.")
    times: Count | None = Field(default=None, description="How many calls are struck at most.")

    def matches(self, endpoint: str, persona: str | None) -> bool:
        return self.endpoint in (None, endpoint) and self.persona in (None, persona)

    def effect(self) -> str:
        """Say in a few words what a struck call gets."""
        return self.says.format_map(dict(self))

    def describe(self) -> str:
        """Tell people in a line what it does, and when.

        >>> from oxaigen_auth_mock.faults.plan import Status
        >>> Status(endpoint="get-me", every=3, status=503, retry_after=5).describe()
        'every 3rd get-me: 503, Retry-After 5'
        """
        words = [f"every {_ordinal(self.every)}{self.endpoint or 'call'}"]
        if self.persona is not None:
            words.append(f"by {self.persona}")
        if self.probability < 1:
            words.append(f"at {100 * self.probability:g} %")
        if self.times is not None:
            words.append("at most once" if self.times == 1 else f"at most {self.times} times")
        return f"{' '.join(words)}: {self.effect()}"


def _ordinal(number: int) -> str:
    """Write 2 as `2nd `, and 1 as nothing."""
    if number == 1:
        return ""
    ending = "th" if number // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending} "


class Timed(Trigger):
    """A fault that strikes before the call's side effect, which it then prevents, or after it."""

    when: Literal["before", "after"] = Field(
        default="before", description="Relative to the side effect."
    )

    def describe(self) -> str:
        return super().describe() + (", after the side effect" if self.when == "after" else "")

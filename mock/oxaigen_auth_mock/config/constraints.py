"""Types of the values in settings, personas and faults, with a phrase for error messages."""

from typing import Annotated, Any, Final, TypeAlias

from attrs import frozen
from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, StringConstraints
from pydantic_core import CoreSchema, core_schema

DENY: Final = "deny"  # instead of a persona's name: the sign-in is refused
HOST: Final = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
ORIGIN: Final = rf"https?://{HOST}(:[0-9]{{1,5}})?"  # as browsers send it, RFC 6454 §6.1


@frozen
class Expected:
    """Replace every error about a value with "expected" and a phrase.

    Errors of validators to the right of it in `Annotated` stay as they are.
    """

    phrase: str

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.custom_error_schema(
            handler(source), "expected", custom_error_message=f"expected {self.phrase}"
        )


def _require_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("control character or lone surrogate")
    return text


def _reject_reserved_name(name: str) -> str:
    if name == DENY:
        raise ValueError(f"{name!r} is reserved for refusing a sign-in; choose another name")
    return name


def _require_digits(value: object) -> object:
    """Reject signs, underscores and non-ASCII digits, which pydantic accepts in text."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError("not a decimal number")
    return value


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return [part for part in map(str.strip, value.split(",")) if part]


def _require_alone(origins: tuple[str, ...]) -> tuple[str, ...]:
    """Reject `*` beside origins that are listed, which may use the control API as well."""
    if "*" in origins and len(origins) > 1:
        raise ValueError("* beside other origins")
    return origins


DIGITS: Final = BeforeValidator(_require_digits)
COMMA_SEPARATED: Final = BeforeValidator(_split)

Text: TypeAlias = Annotated[
    str,
    StringConstraints(max_length=1000),
    AfterValidator(_require_printable),
    Expected("text of at most 1000 printable characters"),
]
Line: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$"), Expected("one line of text")
]
Name: TypeAlias = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100, strip_whitespace=True),
    AfterValidator(_require_printable),
    Expected("text of 1 to 100 printable characters"),
    AfterValidator(_reject_reserved_name),
]
Token: TypeAlias = Annotated[
    str,
    StringConstraints(pattern=r"^[\x21-\x7e]+$", max_length=4096),
    Expected("text of 1 to 4096 visible ASCII characters"),
]
CookieToken: TypeAlias = Annotated[  # RFC 6265 §4.1.1
    str,
    StringConstraints(pattern=r"^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+$", max_length=4096),
    Expected(
        "text of 1 to 4096 visible ASCII characters except quotes, commas, semicolons, backslashes"
    ),
]
CookieName: TypeAlias = Annotated[  # a token of RFC 9110 §5.6.2
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"),
    Expected("text of letters, digits and !#$%&'*+.^_`|~-"),
]
CookieSuffix: TypeAlias = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", max_length=100),
    Expected("auto for the port, or at most 100 letters, digits and !#$%&'*+.^_`|~-"),
]
PermissionName: TypeAlias = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_-]+$", max_length=200),
    Expected("text of 1 to 200 letters A to Z, digits, _ and -"),
]
UrlPath: TypeAlias = Annotated[
    str,
    StringConstraints(pattern=r"^/([\x21-\x2e\x30-\x5b\x5d-\x7e][\x21-\x7e]*)?$"),
    Expected("a path that begins with exactly one slash"),
]
Url: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^https?://[\x21-\x7e]+$"), Expected("an http or https URL")
]

Switch: TypeAlias = Annotated[bool, Expected("1, true, yes or on, or 0, false, no or off")]
Port: TypeAlias = Annotated[
    int, DIGITS, Field(ge=0, le=65535), Expected("an integer from 0 to 65535; 0 picks a free port")
]
PositiveInteger: TypeAlias = Annotated[
    int, DIGITS, Field(ge=1, le=2**31 - 1), Expected("an integer from 1 to 2147483647")
]
Seconds: TypeAlias = Annotated[
    float, Field(ge=0, allow_inf_nan=False), Expected("a number of seconds >= 0")
]
Origins: TypeAlias = Annotated[
    tuple[Annotated[str, StringConstraints(pattern=rf"^(\*|{ORIGIN})$")], ...],
    COMMA_SEPARATED,
    AfterValidator(_require_alone),
    Expected("* alone, or origins such as http://localhost:5173, separated by commas"),
]
Texts: TypeAlias = Annotated[
    tuple[Text, ...],
    COMMA_SEPARATED,
    Field(max_length=1000),
    Expected("at most 1000 texts of printable characters, separated by commas"),
]
Tokens: TypeAlias = Annotated[
    tuple[Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]+$")], ...],  # of any length
    COMMA_SEPARATED,
    Expected("tokens of visible ASCII characters, separated by commas"),
]
PermissionNames: TypeAlias = Annotated[
    tuple[PermissionName, ...],
    COMMA_SEPARATED,
    Field(max_length=1000),
    Expected("at most 1000 names of letters A to Z, digits, _ and -, separated by commas"),
]

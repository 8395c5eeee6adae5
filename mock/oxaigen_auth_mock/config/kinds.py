"""What a variable may hold, in words and as code. Knows nothing of what the values are for.

Every reader gets a text without surrounding blanks, never an empty one, and raises `ValueError`
for what the variable may not hold.
"""

import math
import re
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from attrs import frozen

T_co = TypeVar("T_co", covariant=True)


@frozen
class Kind(Generic[T_co]):
    """`may_hold` completes the sentence "it may hold …"; `read` turns a text into a value."""

    may_hold: str
    read: Callable[[str], T_co]


def _text(text: str) -> str:
    text.encode()  # bytes that are not UTF-8 arrive as lone surrogates, which no answer can carry
    return text


def _matching(pattern: str) -> Callable[[str], str]:
    compiled = re.compile(pattern)

    def read(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise ValueError
        return text

    return read


def _each(read: Callable[[str], str]) -> Callable[[str], tuple[str, ...]]:
    def read_all(text: str) -> tuple[str, ...]:
        parts = (part.strip() for part in text.split(","))
        return tuple(read(part) for part in parts if part)

    return read_all


def _whole_number(low: int, high: int) -> Callable[[str], int]:
    digits = _matching(rf"[0-9]{{1,{len(str(high))}}}")

    def read(text: str) -> int:
        number = int(digits(text))
        if not low <= number <= high:
            raise ValueError
        return number

    return read


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < math.inf:
        raise ValueError
    return seconds


def _switch(text: str) -> bool:
    if text.lower() in ON:
        return True
    if text.lower() in OFF:
        return False
    raise ValueError


ON: Final = ("1", "true", "yes", "on")
OFF: Final = ("0", "false", "no", "off")
HOST: Final = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
ORIGIN: Final = rf"https?://{HOST}(:[0-9]{{1,5}})?"  # as browsers write it, RFC 6454 §6.1

TEXT: Final = Kind("any text", _text)
SWITCH: Final = Kind(f"{', '.join(ON)} or {', '.join(OFF)}", _switch)
BACKEND: Final = Kind("asyncio or trio", _matching("asyncio|trio"))
TOKEN: Final = Kind("visible ASCII characters", _matching(r"[\x21-\x7e]+"))
COOKIE_VALUE: Final = Kind(  # RFC 6265 §4.1.1
    "visible ASCII characters without quotes, commas, semicolons and backslashes",
    _matching(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+"),
)
COOKIE_NAME: Final = Kind(  # a token of RFC 9110 §5.6.2
    "letters, digits and !#$%&'*+.^_`|~-", _matching(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
)
PERMISSION_NAME: Final = Kind("letters A to Z, digits, _ and -", _matching(r"[A-Za-z0-9_-]+"))
ID: Final = Kind("a whole number from 1 to 2147483647", _whole_number(1, 2**31 - 1))
PORT: Final = Kind("a port from 0 to 65535, where 0 takes any free one", _whole_number(0, 65535))
SECONDS: Final = Kind("a number of seconds, 0 or more", _seconds)
WHOLE_SECONDS: Final = Kind("a whole number of seconds from 1", _whole_number(1, 2**31 - 1))
PATH: Final = Kind("a path that begins with one slash", _matching(r"/(?![/\\])[\x21-\x7e]*"))
URL: Final = Kind("an http or https URL", _matching(r"https?://[\x21-\x7e]+"))
ORIGINS: Final = Kind(
    "*, or origins such as http://localhost:5173, separated by commas",
    _each(_matching(rf"\*|{ORIGIN}")),
)
TEXTS: Final = Kind("texts separated by commas", _each(TEXT.read))
TOKENS: Final = Kind("tokens of visible ASCII characters, separated by commas", _each(TOKEN.read))
PERMISSION_NAMES: Final = Kind(
    "names of letters A to Z, digits, _ and -, separated by commas", _each(PERMISSION_NAME.read)
)

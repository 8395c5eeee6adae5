"""Writes numbers for people: with units, three digits, and a dash for what is unknown."""

from datetime import UTC, datetime
from math import floor, log10
from typing import Final

UNKNOWN: Final = "–"  # noqa: RUF001 - a dash is meant
SPACE: Final = "\N{NO-BREAK SPACE}"
UNITS: Final = ((1.0, "s"), (1e-3, "ms"), (1e-6, "\N{MICRO SIGN}s"), (1e-9, "ns"))
ROUNDS_TO_A_THOUSAND: Final = 0.9995


def number(value: float | None, digits: int = 3) -> str:
    """Write a count in full and a fraction with three digits, or as many as are wanted.

    >>> number(12345), number(12345.6), number(0.12345)
    ('12,345', '12,346', '0.123')
    >>> number(0.12345, 5)
    '0.12345'
    """
    if value is None:
        return UNKNOWN
    if isinstance(value, int) or abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def seconds(value: float | None, digits: int = 3) -> str:
    """Write a duration, given in seconds, in the unit that suits it.

    >>> seconds(0.06123) == "61.2\N{NO-BREAK SPACE}ms"
    True
    """
    if not value:
        return UNKNOWN if value is None else f"0{SPACE}s"
    fitting = (each for each in UNITS if abs(value) >= each[0] * ROUNDS_TO_A_THOUSAND)
    size, unit = next(fitting, UNITS[-1])
    return f"{number(float(value / size), digits)}{SPACE}{unit}"


def share(value: float | None, digits: int = 3) -> str:
    """Write a part of 1 as a percentage.

    >>> share(0.0123)
    '1.23%'
    """
    return UNKNOWN if value is None else f"{number(100.0 * value, digits)}%"


def with_share(part: int | None, whole: int | None) -> str:
    """Write a count, and its share of the whole where that says something.

    >>> with_share(50, 200) == "50 (25\N{NO-BREAK SPACE}%)"
    True
    """
    if not part or not whole:
        return number(part)
    return f"{number(part)} ({number(100.0 * part / whole)}{SPACE}%)"


def percentile(value: float) -> str:
    """Name a percentile, with as many digits as tell it from its neighbours.

    >>> percentile(0), percentile(87.5), percentile(99.76773), percentile(100)
    ('min', 'p87.5', 'p99.768', 'max')
    """
    if value in {0, 100}:
        return "max" if value else "min"
    return f"p{round(value, floor(nines(value)) + 1):.10g}"


def nines(value: float) -> float:
    """Tell how many nines a percentile below 100 has: 90 has one, 99.9 has three."""
    return -log10(1 - value / 100)


def moment(text: str) -> str:
    """Write an ISO 8601 time as people write it, in UTC.

    >>> moment("2026-11-24T03:40:00+01:00")
    '2026-11-24 02:40 UTC'
    """
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC"

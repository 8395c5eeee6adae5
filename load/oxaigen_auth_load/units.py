"""Formats numbers for people: with units, three significant digits, and a dash for unknown."""

from datetime import UTC, datetime
from math import floor, log10
from typing import Final

UNKNOWN: Final = "–"  # noqa: RUF001 - a dash is meant
NBSP: Final = "\N{NO-BREAK SPACE}"
UNITS: Final = ((1.0, "s"), (1e-3, "ms"), (1e-6, "\N{MICRO SIGN}s"), (1e-9, "ns"))
ROUNDS_TO_A_THOUSAND: Final = 0.9995


def format_number(value: float | None, digits: int = 3) -> str:
    """Format an integer in full, and a fraction with this many significant digits.

    >>> format_number(12345), format_number(12345.6), format_number(0.12345)
    ('12,345', '12,346', '0.123')
    >>> format_number(0.12345, 5)
    '0.12345'
    """
    if value is None:
        return UNKNOWN
    if isinstance(value, int) or abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def format_seconds(value: float | None, digits: int = 3) -> str:
    """Format a duration, given in seconds, in the largest unit that makes it at least 1.

    >>> format_seconds(0.06123) == "61.2\N{NO-BREAK SPACE}ms"
    True
    """
    if not value:
        return UNKNOWN if value is None else f"0{NBSP}s"
    fitting = (each for each in UNITS if abs(value) >= each[0] * ROUNDS_TO_A_THOUSAND)
    size, unit = next(fitting, UNITS[-1])
    return f"{format_number(float(value / size), digits)}{NBSP}{unit}"


def format_ratio(value: float | None, digits: int = 3) -> str:
    """Format a ratio as a percentage.

    >>> format_ratio(0.0123)
    '1.23%'
    """
    return UNKNOWN if value is None else f"{format_number(100.0 * value, digits)}%"


def format_part(part: float | None, whole: int | None) -> str:
    """Format a count with its percentage of the whole, unless either is zero or unknown.

    >>> format_part(50, 200) == "50 (25\N{NO-BREAK SPACE}%)"
    True
    """
    if not part or not whole:
        return format_number(part)
    return f"{format_number(part)} ({format_number(100.0 * part / whole)}{NBSP}%)"


def format_percentile(value: float) -> str:
    """Name a percentile, with enough digits to tell it from its neighbours.

    >>> [format_percentile(each) for each in (0, 87.5, 99.76773, 100)]
    ['min', 'p87.5', 'p99.768', 'max']
    """
    if value in {0, 100}:
        return "max" if value else "min"
    return f"p{round(value, floor(nines(value)) + 1):.10g}"


def nines(value: float) -> float:
    """Return the number of nines of a percentile below 100: 1 for 90, 3 for 99.9."""
    return -log10(1 - value / 100)


def format_time(text: str) -> str:
    """Format an ISO 8601 time in UTC, to the minute.

    >>> format_time("2026-11-24T03:40:00+01:00")
    '2026-11-24 02:40 UTC'
    """
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC"

"""A moment as text."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Final

from kinesink.event.parts import Nanoseconds

_BILLION: Final = 1_000_000_000
_MILLION: Final = 1_000_000


def second_and_digits(created: float) -> tuple[int, str]:
    """Return the second since 1970, and the digits below it: six, or nine of nanoseconds.

    :raises ValueError, OverflowError, TypeError: if it is no finite number.
    """
    if type(created) is Nanoseconds:
        second, nanoseconds = divmod(int(created), _BILLION)
        return second, f"{nanoseconds:09d}"
    second = math.floor(created)
    # A double has no more than microseconds today.
    carry, microseconds = divmod(int((created - second) * 1e6 + 0.5), _MILLION)
    return second + carry, f"{microseconds:06d}"


def nanoseconds_of(moment: object) -> float:
    """Return nanoseconds since 1970 as a moment; NaN if they are no number."""
    try:
        return Nanoseconds(moment)  # type: ignore[call-overload,no-any-return]  # may be anything
    except Exception:  # noqa: BLE001 - what it is asked for may be the application's code
        return math.nan


def second_text(second: int) -> str:
    """Return a second as ISO 8601, in UTC and without its zone.

    :raises ValueError, OverflowError, OSError: if no date can show it.
    """
    return datetime.fromtimestamp(second, timezone.utc).isoformat()[:19]


def nanoseconds(second: int, digits: str) -> int:
    """Return what :func:`second_and_digits` was given, in nanoseconds since 1970."""
    return second * _BILLION + int(digits.ljust(9, "0"))

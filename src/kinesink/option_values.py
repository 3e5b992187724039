"""What values of options may be, and what plain text stands for.

Law of this file: it knows kinds of values and no option.
"""

from __future__ import annotations

import math
import re
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeGuard

from kinesink.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

Rule = tuple[str, Callable[[Any], bool]]
"""What is allowed, in words and as a test."""

#: Factors by unit in capitals; "" for a bare number.
UNITS_OF_BYTES = {
    "": 1, "B": 1,
    "KB": 10**3, "MB": 10**6, "GB": 10**9,
    "KIB": 2**10, "MIB": 2**20, "GIB": 2**30,
}  # fmt: skip
UNITS_OF_SECONDS = {"": 1.0, "S": 1.0, "MS": 0.001, "M": 60.0, "MIN": 60.0, "H": 3600.0}
#: Text that stands for a number of things.
WHOLE_NUMBER = re.compile(r"\s*[0-9]{1,18}\s*")
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?|\.[0-9]+|inf)\s*([a-zA-Z]*)\s*")
#: What the words for true and false stand for, in small letters.
SWITCHES = {"true": True, "yes": True, "on": True, "1": True,
             "false": False, "no": False, "off": False, "0": False}  # fmt: skip


def holds(test: Callable[[Any], bool], value: object) -> bool:
    """Tell whether a value passes a test that may not be made for its type."""
    try:
        return test(value)
    except (TypeError, AttributeError):
        return False


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether it can be counted with; infinity can."""
    if isinstance(value, float):
        return not math.isnan(value)
    return isinstance(value, int) and not isinstance(value, bool)


def is_count(value: object, low: int, high: float = math.inf) -> bool:
    """Tell whether it is a whole number in a range, ends included."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_text_or_none(value: object) -> bool:
    """Tell whether it is None, or text that says something."""
    return value is None or (isinstance(value, str) and value != "")


def one_of(kind: object) -> Rule:
    """Return the rule that a value is one of a ``Literal``."""
    allowed = typing.get_args(kind)
    return "one of " + ", ".join(map(repr, allowed)), lambda v: v in allowed


def seconds_rule(text: str, *, zero: bool, infinite: bool) -> Rule:
    """Return the rule that a value is a number of seconds, 0 or more.

    :param text: says which.
    """

    def test(value: object) -> bool:
        if not is_number(value) or (value == 0 and not zero):
            return False
        return value >= 0 and (infinite or value < math.inf)

    return f"seconds, {text} (5, 0.25, '5s', '250ms')", test


def quantity(text: str, units: Mapping[str, float]) -> float | None:
    """Return the number that text such as ``"64MiB"`` stands for; None if it is none.

    :param units: factor by unit in capitals, ``""`` for a bare number.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2].upper() not in units:
        return None
    return float(match[1]) * units[match[2].upper()]


def seconds(parameter: str, value: float | str) -> float:
    """Return the seconds, 0 or more, that a number or text such as ``"250ms"`` stands for.

    :raises ConfigurationError: if it stands for none.
    """
    found = quantity(value, UNITS_OF_SECONDS) if isinstance(value, str) else value
    allowed, test = seconds_rule("0 or more", zero=True, infinite=False)
    if found is None or not holds(test, found):
        raise ConfigurationError(parameter, value, allowed)
    return float(found)

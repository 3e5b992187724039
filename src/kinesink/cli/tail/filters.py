"""What of a stream is wanted: conditions on fields, and expressions on the whole text."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from kinesink.cli.tail.events import Event, Fields, find, text_of

_CONDITION: Final = re.compile(
    r"(?P<path>[^=!<>~]+)(?P<sign>!=|[<>]=?|=|~)(?P<value>.*)", re.DOTALL
)

_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

#: Numbers of levels, for those that are more or less than another; their names in small letters.
_LEVELS: Final = {
    "trace": 5, "debug": 10, "info": 20, "notice": 25, "warn": 30, "warning": 30,
    "err": 40, "error": 40, "crit": 50, "critical": 50, "fatal": 50,
}  # fmt: skip


class ConditionError(ValueError):
    """A text that is no condition, with the reason as a sentence."""


class Condition(NamedTuple):
    """One field compared with a value."""

    path: str
    sign: str
    value: str
    pattern: re.Pattern[str] | None = None

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Read ``path=value``, or the same with another sign.

        :raises ConditionError: if it is none.
        """
        match = _CONDITION.fullmatch(text)
        if match is None:
            raise ConditionError(
                f"{text!r} is no condition: a field, one of = != ~ < <= > >=, and a value, such as "
                "'level>=WARNING' or 'attributes.order=17'"
            )
        path, sign, value = match["path"].strip(), match["sign"], match["value"].strip()
        return cls(path, sign, value, expression(value) if sign == "~" else None)

    def holds(self, fields: Fields) -> bool:
        """Tell whether an event is one of those that are meant; without the field it is not."""
        found = find(fields, self.path)
        if found is None:
            return self.sign == "!=" or (self.sign == "=" and self.value == "null")
        if self.pattern is not None:
            return self.pattern.search(text_of(found)) is not None
        mine, other = _comparable(self.path, found, self.value)
        return _COMPARE[self.sign](mine, other)


def _comparable(path: str, found: object, value: str) -> tuple[Any, Any]:
    """Return two values of one kind: levels, numbers, or text."""
    text = text_of(found)
    if path == "level":
        text, value = text.casefold(), value.casefold()
        if text in _LEVELS and value in _LEVELS:
            return _LEVELS[text], _LEVELS[value]
    elif isinstance(found, (int, float)) and not isinstance(found, bool):
        for kind in (int, float):
            with suppress(ValueError):
                return found, kind(value)
    return text, value


def expression(text: str) -> re.Pattern[str]:
    """Return a regular expression.

    :raises ConditionError: if it is none.
    """
    try:
        return re.compile(text)
    except re.error as error:
        raise ConditionError(f"{text!r} is no regular expression: {error}") from error


class Filter(NamedTuple):
    """All that is asked of an event."""

    conditions: Sequence[Condition] = ()
    patterns: Sequence[re.Pattern[str]] = ()

    def wants(self, event: Event) -> bool:
        """Tell whether an event meets every condition and holds every expression."""
        if self.conditions:
            fields = event.fields
            if fields is None or not all(each.holds(fields) for each in self.conditions):
                return False
        if not self.patterns:
            return True
        text = event.data.decode(errors="replace")
        return all(pattern.search(text) for pattern in self.patterns)

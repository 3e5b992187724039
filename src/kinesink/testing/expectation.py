"""What a test expects of an event, how near an event comes to it, and how to tell a person.

Law: it reads events and changes none, and the text of a failure is bounded however large and
many the events are.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from typing import TYPE_CHECKING, Final, NamedTuple

from kinesink.event.lookup import ABSENT, look_up

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kinesink.testing.captured_lines import Event

__all__ = ["Expectation", "describe", "describe_all"]

_SAME_LEVEL: Final = {"WARN": "WARNING", "FATAL": "CRITICAL", "EXCEPTION": "ERROR"}

#: What the events of one test have in common, which tells none of them from another.
_NOISE: Final = frozenset({
    "@timestamp", "boot_id", "ddsource", "ddtags", "ecs.version", "env", "file", "filename",
    "func_name", "function", "host", "line", "lineno", "pid", "process", "seq", "service",
    "severity_number", "task", "thread", "thread_name", "timestamp", "version",
})  # fmt: skip

_SHOWN_EVENTS: Final = 3
_SHOWN_CHARACTERS: Final = 300

#: Texts are compared up to here: it takes the square of their lengths.
_COMPARED_CHARACTERS: Final = 1000


class _Mismatch(NamedTuple):
    """A field that is not as expected."""

    name: str
    expected: object
    actual: object
    nearness: float
    """0 for nothing in common, below 1 for almost the same."""


@dataclass(frozen=True)
class Expectation:
    """The fields that an event is to have.

    A value is what the field has to be equal to, a pattern of :mod:`re` that is found in it, or a
    callable that is true of it. ``level``, ``logger``, ``message`` and ``timestamp`` are found
    under the names of every schema but ``otel``. Other fields are looked for beside them, under
    ``attributes``, and by a path of names with dots between them.
    """

    fields: Mapping[str, object]

    def matches(self, event: Event) -> bool:
        """Tell whether an event is as expected."""
        return not self._mismatches(event)

    def __str__(self) -> str:
        """Return it as one writes it down."""
        if not self.fields:
            return "an event"
        return "an event with " + ", ".join(
            f"{name}={_shown(value)}" for name, value in self.fields.items()
        )

    def explain_nearest(self, events: Sequence[Event]) -> str:
        """Say which of the events come nearest, and what is different about each."""
        ranked = sorted(
            ((event, self._mismatches(event)) for event in events),
            key=lambda each: sum(1 - mismatch.nearness for mismatch in each[1]),
        )
        lines = [_nearest(len(events))]
        for event, mismatches in ranked[:_SHOWN_EVENTS]:
            lines.append(f"  {describe(event)}")
            for mismatch in mismatches:
                lines += _told(mismatch)
        hint = self._hint(events)
        return "\n".join([*lines, *([hint] if hint else [])])

    def _mismatches(self, event: Event) -> list[_Mismatch]:
        return [
            _Mismatch(name, expected, actual, _nearness(name, expected, actual))
            for name, expected in self.fields.items()
            for actual in [look_up(event, name)]
            if not _is_as_expected(name, expected, actual)
        ]

    def _hint(self, events: Sequence[Event]) -> str:
        """Say which field may have been meant by one that no event has."""
        there = {name for event in events for name in _names(event)}
        hints = [
            f"No event has a field {name!r}; did you mean {' or '.join(map(repr, near))}?"
            for name in self.fields
            if all(look_up(event, name) is ABSENT for event in events)
            and (near := get_close_matches(name, there))
        ]
        return "\n".join(hints)


def describe(event: Event) -> str:
    """Return one line about an event: what tells it from others."""
    telling = {name: value for name, value in event.items() if name not in _NOISE}
    return _cut(json.dumps(telling or event, ensure_ascii=False, default=repr))


def describe_all(events: Sequence[Event]) -> str:
    """Return a line for each of the first events, and how many more there are."""
    lines = [f"  {describe(event)}" for event in events[:_SHOWN_EVENTS]]
    left = len(events) - len(lines)
    return "\n".join([*lines, *([f"  and {left} more"] if left else [])])


def _nearest(count: int) -> str:
    if count == 1:
        return "One event has arrived:"
    shown = f"the {_SHOWN_EVENTS} nearest" if count > _SHOWN_EVENTS else "the nearest first"
    return f"{count} events have arrived; {shown}:"


def _names(event: Event) -> Iterable[str]:
    yield from event
    attributes = event.get("attributes")
    if isinstance(attributes, Mapping):
        yield from attributes


def _is_as_expected(name: str, expected: object, actual: object) -> bool:
    if actual is ABSENT:
        return False
    if isinstance(expected, re.Pattern):
        return isinstance(actual, str) and expected.search(actual) is not None
    if callable(expected):
        return bool(expected(actual))
    if name == "level" and isinstance(expected, (str, int)):
        return _level(expected) == _level(actual)
    return bool(expected == actual)


def _level(level: object) -> object:
    """Return a level's name in the one form in which levels are compared."""
    text = str(logging.getLevelName(level) if isinstance(level, int) else level).upper()
    return _SAME_LEVEL.get(text, text)


def _nearness(name: str, expected: object, actual: object) -> float:
    if actual is ABSENT:
        return 0.0
    if name != "level" and isinstance(expected, str) and isinstance(actual, str):
        first, second = expected[:_COMPARED_CHARACTERS], actual[:_COMPARED_CHARACTERS]
        return 0.9 * SequenceMatcher(None, first, second, autojunk=False).ratio()
    # It is there, though it is not what it should be.
    return 0.1


def _told(mismatch: _Mismatch) -> list[str]:
    label = f"    {mismatch.name}: "
    return [
        f"{label}expected {_shown(mismatch.expected)}",
        f"{' ' * len(label)}but it is {_shown(mismatch.actual)}",
    ]


def _shown(value: object) -> str:
    if isinstance(value, re.Pattern):
        return _cut(f"text like {value.pattern!r}")
    if callable(value):
        return f"what {getattr(value, '__name__', value)} is true of"
    return _cut(repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"

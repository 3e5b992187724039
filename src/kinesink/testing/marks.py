"""What a line of the stream says of itself: who wrote it, its number, and what was lost.

Law: nothing raises and nothing is believed that is not well-formed, whoever wrote the line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from kinesink.event.losses import LOST
from kinesink.event.oversize import MOST_CHUNKS

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Mark", "Reader", "ToldLoss", "total_of"]

_BOOT_ID: Final = re.compile("[0-9a-f]{16}")
_DIGITS: Final = re.compile("[0-9]{1,19}")

_MOST: Final = 2**63 - 1
"""No counter gets as far; what claims so is none."""

_MOST_KINDS: Final = 64
"""More reasons or levels than a loss record has."""

_WHEN: Final = "%Y-%m-%dT%H:%M:%S.%fZ"

#: Where the schema ``otel`` has a number.
_OTLP: Final = {"kinesink.boot_id": "boot_id", "kinesink.seq": "seq"}


@dataclass(frozen=True)
class ToldLoss:
    """Events that loss records tell of."""

    reasons: Mapping[str, int] = field(default_factory=dict)
    """How many, by reason: the values of :class:`kinesink.DropReason`."""
    levels: Mapping[str, int] = field(default_factory=dict)
    """How many of them had which level; those without one are not in it."""
    first: datetime | None = None
    """When the first was given up, with a time zone; None if there was none."""
    last: datetime | None = None
    """When the last was."""

    @property
    def events(self) -> int:
        """How many in all."""
        return sum(self.reasons.values())

    def __str__(self) -> str:
        """Return it in words."""
        if not self.events:
            return "0 told as lost"
        kinds = "; ".join(
            ", ".join(f"{name} {events}" for name, events in sorted(counts.items()))
            for counts in (self.reasons, self.levels)
            if counts
        )
        return f"{self.events} told as lost ({kinds}; from {self.first} to {self.last})"


def total_of(losses: Iterable[ToldLoss]) -> ToldLoss:
    """Return the sum of losses."""
    reasons: Counter[str] = Counter()
    levels: Counter[str] = Counter()
    times: list[datetime] = []
    for loss in losses:
        reasons.update(loss.reasons)
        levels.update(loss.levels)
        times += [time for time in (loss.first, loss.last) if time is not None]
    return ToldLoss(dict(reasons), dict(levels), min(times, default=None), max(times, default=None))


class Mark(NamedTuple):
    """What a numbered line says of itself."""

    boot_id: str
    """Who wrote it."""
    number: int
    """1 or more."""
    chunk: int
    """Which part of an event it is, 1 or more."""
    chunks: int
    """How many parts the event has; 1 if it is whole."""
    loss: ToldLoss | None
    """What it tells of, if it is a loss record."""


class Reader:
    """Reads the marks of lines.

    :param rename: other names of fields, as in :class:`kinesink.EventOptions`.
    """

    def __init__(self, rename: Mapping[str, str] | None = None) -> None:
        names = ("boot_id", "seq", "chunk_id", "chunk", "chunks", "attributes")
        self._names = {name: (rename or {}).get(name, name) for name in names}

    def mark_of(self, line: object) -> Mark | None:
        """Return what a line says of itself; None if it carries no number."""
        event = _object(line)
        told: dict[str, Any] = {name: event.get(key) for name, key in self._names.items()}
        attributes: Mapping[Any, Any] = event
        if "resourceLogs" in event:
            attributes = _otlp_attributes(event)
            told |= {name: attributes.get(key) for key, name in _OTLP.items()}
        elif isinstance(told["attributes"], Mapping):
            attributes = {**event, **told["attributes"]}
        boot_id, number = told["boot_id"], told["seq"]
        chunk, chunks = (told["chunk"], told["chunks"]) if told["chunk_id"] else (1, 1)
        if (
            isinstance(boot_id, str) and _BOOT_ID.fullmatch(boot_id)
            and all(map(_is_count, (number, chunk, chunks)))
            and number >= 1 <= chunk <= chunks <= MOST_CHUNKS
        ):  # fmt: skip
            return Mark(boot_id, number, chunk, chunks, _loss(attributes))
        return None


def _object(line: object) -> Mapping[Any, Any]:
    """Return the object that a line is; an empty one if it is none."""
    if isinstance(line, (bytes, bytearray, memoryview, str)):
        try:
            line = orjson.loads(line)
        except ValueError:
            return {}
    return line if isinstance(line, Mapping) else {}


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MOST


def _loss(attributes: Mapping[Any, Any]) -> ToldLoss | None:
    """Return the loss that an event tells of; None if it is no loss record."""
    if LOST not in attributes:
        return None
    reasons, levels = _counts(attributes.get("dropped")), _counts(attributes.get("levels"))
    first, last = _time(attributes.get("from")), _time(attributes.get("to"))
    if reasons is None or levels is None or first is None or last is None:
        return None
    loss = ToldLoss(reasons, levels, first, last)
    return loss if loss.events == attributes[LOST] else None


def _counts(value: object) -> dict[str, int] | None:
    if not isinstance(value, Mapping) or len(value) > _MOST_KINDS:
        return None
    if all(isinstance(name, str) and _is_count(events) for name, events in value.items()):
        return dict(value)
    return None


def _time(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        return datetime.strptime(value, _WHEN).replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def _otlp_attributes(event: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the attributes of the one record in a LogsData of the schema ``otel``."""
    try:
        (of_resource,) = event["resourceLogs"]
        (of_scope,) = of_resource["scopeLogs"]
        (record,) = of_scope["logRecords"]
        return {pair["key"]: _otlp_value(pair["value"]) for pair in record["attributes"]}
    except (AttributeError, LookupError, TypeError, ValueError):
        return {}


def _otlp_value(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Return the value of an AnyValue, if it is text, a number, or an object of such."""
    members = value.get("kvlistValue")
    if members is None:
        return _otlp_atom(value)
    # Who passes it on may leave out an empty list.
    return {pair["key"]: _otlp_atom(pair["value"]) for pair in members.get("values", ())}


def _otlp_atom(value: Any) -> Any:  # noqa: ANN401 - as above
    number = value.get("intValue", value.get("stringValue"))
    # 64-bit numbers are text there.
    is_number = "intValue" in value and isinstance(number, str) and _DIGITS.fullmatch(number)
    return int(number) if is_number else number

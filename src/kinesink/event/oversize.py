"""An event that is too large: cut, split or dropped, and what is left is still JSON.

Law: every line that comes out is a whole JSON object within the limit, and says what it
lacks.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

if TYPE_CHECKING:
    from kinesink.event.options import EventOptions
    from kinesink.event.parts import Lines

_FLOOR: Final = 64
"""Texts of up to this many bytes are left alone: timestamps, ids and names among them."""

_FROM_THE_MIDDLE: Final = frozenset({"stacktrace", "stack_trace", "stack_info", "stack"})
"""The ends of a stack trace tell the most: where it began and what failed."""

_KEPT: Final = frozenset({
    "timestamp", "@timestamp", "level", "log.level", "status", "severity_number", "logger",
    "message", "event", "ecs.version", "trace_id", "span_id", "exception", "error", "attributes",
    "resourceLogs", "truncated", "original_bytes", "cut",
})  # fmt: skip
"""Members of an event that are shortened and never taken out, in any schema."""

MOST_CHUNKS: Final = 64
"""An event is split into no more than this; what is longer is cut first."""

_NAMED: Final = 6
"""So many of the places that were cut are named, each in at most so many bytes of JSON."""
_NAME_BYTES: Final = 40

_MARKS_BYTES: Final = 120
"""What the members that tell of a split take at most, besides their names."""


class _Place(NamedTuple):
    """Where a value stands in an event."""

    holder: Any
    key: Any
    path: str


def oversize(line: bytes, options: EventOptions) -> Lines:
    """Return what becomes of an event of more than ``options.max_event_bytes``.

    :param line: one JSON object and a newline.
    """
    if options.oversize == "drop":
        return ()
    if options.oversize == "split":
        return _split(line, options)
    return shorten(line, options)


def shorten(line: bytes, options: EventOptions) -> bytes:
    """Return the event of ``line`` in at most ``options.max_event_bytes``, newline included.

    Texts are cut to a common length, whole characters at a time, so the longest give
    first. If that is not enough, attributes go, the largest first, then other fields. The
    event says so: ``"truncated":true,"original_bytes":n,"cut":["message",…]``.
    """
    event, cut = _shortened(line, ["x" * (_NAME_BYTES - 3)] * _NAMED, options)
    # Once more with as much room as the names of what was cut leave, if they stay the same.
    tighter, same = _shortened(line, cut, options)
    return orjson.dumps(tighter if same == cut else event, option=orjson.OPT_APPEND_NEWLINE)


def _shortened(
    line: bytes, names: list[str], options: EventOptions
) -> tuple[dict[str, Any], list[str]]:
    """Return the event that fits beside its marks with so long names, and what was cut."""
    event: dict[str, Any] = orjson.loads(line)
    room = options.max_event_bytes - _size(_marks(options, len(line), names))
    cut = _named(_fit(event, room, options))
    return {**event, **_marks(options, len(line), cut)}, cut


def _marks(options: EventOptions, original: int, cut: list[str]) -> dict[str, Any]:
    """Return the members that say what an event lacks."""
    return {
        options.name_of("truncated"): True,
        options.name_of("original_bytes"): original,
        options.name_of("cut"): cut,
    }


def _fit(event: dict[str, Any], max_bytes: int, options: EventOptions) -> list[str]:
    """Make an event fit; return the paths of what was cut or taken out."""
    cut = _cut_texts(event, _size(event) - max_bytes)
    cut += _take_out(event, _size(event) - max_bytes, options)
    return cut


def _named(paths: list[str]) -> list[str]:
    return [*map(_name, paths)] if len(paths) <= _NAMED else [*map(_name, paths[: _NAMED - 1]), "…"]


def _name(path: str) -> str:
    return path if _size(path) <= _NAME_BYTES else _cut(path, _NAME_BYTES, middle=False)


def _size(value: object) -> int:
    """Return the bytes of ``value`` as JSON, and one for the newline."""
    return len(orjson.dumps(value)) + 1


def _cut_texts(event: dict[str, Any], excess: int) -> list[str]:
    """Cut texts so that ``excess`` bytes go, as far as :data:`_FLOOR` allows."""
    if excess <= 0:
        return []
    texts = [(_size(place.holder[place.key]), place) for place in _texts(event)]
    level = _water_level([size for size, _ in texts], excess)
    cut: list[str] = []
    for size, (holder, key, path) in texts:
        if size > level:
            holder[key] = _cut(holder[key], level, middle=key in _FROM_THE_MIDDLE)
            cut.append(path)
    return cut


def _texts(value: Any) -> list[_Place]:  # noqa: ANN401 - whatever JSON holds
    """Return where each text below ``value`` stands."""
    found: list[_Place] = []
    waiting: list[tuple[Any, str]] = [(value, "")]
    while waiting:
        holder, above = waiting.pop()
        pairs = holder.items() if isinstance(holder, dict) else enumerate(holder)
        for key, part in pairs:
            if isinstance(part, str):
                found.append(_Place(holder, key, f"{above}{key}"))
            elif isinstance(part, (dict, list)):
                waiting.append((part, f"{above}{key}."))
    return found


def _water_level(sizes: list[int], excess: int) -> int:
    """Return the size to which the larger ones must be cut for ``excess`` bytes to go."""
    sizes = sorted(sizes, reverse=True)
    total, level = 0, 0
    for count, (size, following) in enumerate(zip(sizes, [*sizes[1:], 0], strict=True), 1):
        total += size
        level = (total - excess) // count
        if level >= following:
            break
    return max(level, _FLOOR)


def _cut(text: str, max_bytes: int, *, middle: bool) -> str:
    """Return the longest shortened form of ``text`` that takes ``max_bytes`` as JSON."""
    low, high = 0, len(text)
    while low < high:
        keep = (low + high + 1) // 2
        if _size(_kept(text, keep, middle=middle)) <= max_bytes:
            low = keep
        else:
            high = keep - 1
    return _kept(text, low, middle=middle)


def _kept(text: str, characters: int, *, middle: bool) -> str:
    """Return ``characters`` of ``text`` and a mark where the others were."""
    if not middle:
        return text[:characters] + "…"
    head = characters // 2
    tail = characters - head
    return f"{text[:head]}\n… {len(text) - characters} characters cut …\n{text[len(text) - tail :]}"


def _take_out(event: dict[str, Any], excess: int, options: EventOptions) -> list[str]:
    """Take members out, the largest first, until ``excess`` bytes are gone."""
    out: list[str] = []
    if excess <= 0:
        return out
    for holder, above in _expendable(event, options):
        places = holder.items() if isinstance(holder, dict) else enumerate(holder)
        sizes = [
            (_size(key) + _size(value), key)
            for key, value in places
            if above or key not in _protected(options)
        ]
        # From a list the largest can only be taken by its position, so the last of them first.
        taken: list[Any] = []
        for size, key in sorted(sizes, key=lambda pair: pair[0], reverse=True):
            if excess <= 0:
                break
            excess -= size
            taken.append(key)
            out.append(f"{above}{key}")
        for key in sorted(taken, reverse=True) if isinstance(holder, list) else taken:
            del holder[key]
    return out


def _protected(options: EventOptions) -> frozenset[str]:
    if callable(options.schema):
        return frozenset()
    return _KEPT.difference(options.rename or {}).union(
        new for old, new in (options.rename or {}).items() if old in _KEPT
    )


def _expendable(event: dict[str, Any], options: EventOptions) -> list[tuple[Any, str]]:
    """Return what holds members that an event can do without, the first to give first."""
    if options.schema == "otel":
        (of_resource,) = event["resourceLogs"]
        (of_scope,) = of_resource["scopeLogs"]
        (record,) = of_scope["logRecords"]
        places = [
            (record.get("attributes", []), "attributes."),
            (of_resource["resource"].get("attributes", []), "resource."),
            (record["body"], "body."),
        ]
        return [*places, (event, "")]
    name = options.name_of("attributes")
    attributes = event.get(name)
    nested = [(attributes, f"{name}.")] if isinstance(attributes, dict) else []
    return [*nested, (event, "")]


def _split(line: bytes, options: EventOptions) -> tuple[bytes, ...]:
    """Return several events that together hold the longest text of one.

    Each has all other fields, and says which part it is: ``"chunk_id"`` is the same in
    all, ``"chunk"`` counts from 1 to ``"chunks"``, ``"split"`` names the field. If the other
    fields alone take more than half of the limit, they are shortened first. An event without
    a text of more than half the limit is shortened instead.
    """
    event: dict[str, Any] = orjson.loads(line)
    places = _texts(event)
    holder, key, path = max(places, key=lambda place: _size(place.holder[place.key]))
    whole: str = holder[key]
    max_bytes = options.max_event_bytes
    if _size(whole) <= max_bytes // 2:
        # Not this text alone is what makes it too large, so its parts would not help.
        return (shorten(line, options),)
    holder[key] = ""
    if _size(event) > max_bytes // 2:
        longest = ["x" * (_NAME_BYTES - 3)] * _NAMED
        room = max_bytes // 2 - _size(_marks(options, len(line), longest))
        cut = _named(_fit(event, room, options))
        if _lacks(event, holder, key):
            # The text itself stood in what had to go.
            return (shorten(line, options),)
        event.update(_marks(options, len(line), cut))
    names = {name: options.name_of(name) for name in ("chunk_id", "chunk", "chunks", "split")}
    marks = sum(map(len, names.values())) + _MARKS_BYTES
    pieces = _pieces(whole, max_bytes - _size(event) - marks)
    marked = {
        names["chunk_id"]: os.urandom(8).hex(),
        names["split"]: _name(path),
        names["chunks"]: len(pieces),
    }
    lines: list[bytes] = []
    for number, piece in enumerate(pieces, 1):
        holder[key] = piece
        parts = {**event, **marked, names["chunk"]: number}
        lines.append(orjson.dumps(parts, option=orjson.OPT_APPEND_NEWLINE))
    return tuple(lines)


def _lacks(event: Any, holder: Any, key: Any) -> bool:  # noqa: ANN401 - whatever JSON holds
    """Tell whether a place is no longer in an event."""
    return not any(place.holder is holder and place.key == key for place in _texts(event))


def _pieces(text: str, max_bytes: int) -> list[str]:
    """Return a text in parts of at most so many bytes as JSON, whole characters each."""
    pieces: list[str] = []
    begin = 0
    while begin < len(text):
        if len(pieces) == MOST_CHUNKS - 1 and _size(text[begin:]) > max_bytes:
            return [*pieces, _cut(text[begin:], max_bytes, middle=False)]
        low, high = 1, min(len(text) - begin, max_bytes)
        while low < high:
            keep = (low + high + 1) // 2
            if _size(text[begin : begin + keep]) <= max_bytes:
                low = keep
            else:
                high = keep - 1
        pieces.append(text[begin : begin + low])
        begin += low
    return pieces

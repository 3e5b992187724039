"""An event that is too large: cut, split or dropped, and what is left is still JSON.

Law: every line that comes out is a whole JSON object within the limit, and says what it
lacks.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from kinesink.event.otlp_json import NUMBER
from kinesink.event.schemas import MARKS, spec_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink.event.options import EventOptions
    from kinesink.event.parts import Lines

_FLOOR: Final = 64
"""Texts of up to this many bytes are left alone: timestamps, ids and names among them."""

_FROM_THE_MIDDLE: Final = frozenset({"stacktrace", "stack_trace", "stack_info", "stack"})
"""The ends of a stack trace tell the most: where it began and what failed."""

MOST_CHUNKS: Final = 64
"""An event is split into no more than this; what is longer is cut first."""

_MODEST: Final = 256
"""A container of a schema's own is smaller, once its texts are cut; a larger one holds what
the application has put there."""

_NAMED: Final = 6
"""So many of the places that were cut are named, each in at most so many bytes of JSON."""
_NAME_BYTES: Final = 40

_LONGEST: Final = ["x" * (_NAME_BYTES - 3)] * _NAMED
"""Names of places that take as much room as any."""

_SPARE: Final = 16
"""A part of a text can be so many bytes short of its room: characters stay whole."""


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
    first. If that is not enough, attributes go, the largest first, then other fields, and
    texts are cut only as much as is still needed. The event says so:
    ``"truncated":true,"original_bytes":n,"cut":["message",…]``.
    """
    event, cut = _shortened(line, _LONGEST, options)
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
    whole = [(place, place.holder[place.key]) for place in _texts(event)]
    cut = _cut_texts(event, _size(event) - max_bytes)
    out = _take_out(event, max_bytes, options)
    if out:
        # What had to go leaves room for the texts of what stays. A list with texts in it goes
        # whole or not at all.
        for (holder, key, _), text in whole:
            if isinstance(holder, list) or key in holder:
                holder[key] = text
        cut = _cut_texts(event, _size(event) - max_bytes)
    return cut + out


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


def _texts(value: object) -> list[_Place]:
    """Return where each text below ``value`` stands."""
    found: list[_Place] = []
    waiting: list[tuple[Any, str]] = [(value, "")]
    while waiting:
        holder, above = waiting.pop()
        pairs = holder.items() if isinstance(holder, dict) else enumerate(holder)
        for key, part in pairs:
            if isinstance(part, str):
                found.append(_Place(holder, key, _path(above, key)))
            elif isinstance(part, (dict, list)):
                waiting.append((part, f"{_path(above, key)}."))
    return found


def _path(above: str, key: object) -> str:
    """Return the path of a place, no longer than it takes to see that it is too long."""
    return f"{above}{str(key)[:_NAME_BYTES]}"[:_NAME_BYTES]


def _water_level(sizes: list[int], excess: int) -> int:
    """Return the size to which the larger ones must be cut for ``excess`` bytes to go."""
    sizes = sorted(sizes, reverse=True)
    total, level = 0, 0
    for count, (size, following) in enumerate(zip(sizes, [*sizes[1:], 0], strict=False), 1):
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


def _take_out(event: dict[str, Any], max_bytes: int, options: EventOptions) -> list[str]:
    """Take members out, the largest first, until the event takes ``max_bytes``."""
    out: list[str] = []
    for places in _expendable(event, options):
        excess = _size(event) - max_bytes
        gone: list[_Place] = []
        for size, place in sorted(places, key=lambda pair: pair[0], reverse=True):
            if excess <= 0:
                break
            excess -= size
            gone.append(place)
        out += [path for _, _, path in gone]
        # Of a list the last first, so that the others stay where they are.
        for holder, key, _ in sorted(gone, key=lambda p: p.key if type(p.key) is int else 0)[::-1]:
            del holder[key]
    return out


def _expendable(event: dict[str, Any], options: EventOptions) -> Iterator[list[tuple[int, _Place]]]:
    """Yield members with their sizes: those to go first, then more, in the end all."""
    if options.schema == "otel" and "resourceLogs" in event:
        yield from _expendable_of_otlp(event)
    spec = spec_of(options.schema)
    names, kept = ({*map(options.name_of, some)} for some in (spec.names, spec.kept))
    attributes = options.name_of("attributes")
    first: list[tuple[int, _Place]] = []
    for size, place in _members(event):
        part = event[place.key]
        is_large = size > _MODEST or place.key == attributes
        if place.key not in names or (isinstance(part, list) and is_large):
            first.append((size, place))
        elif isinstance(part, dict) and is_large:
            first += _members(part, f"{place.path}.")
    yield first
    yield [pair for pair in _members(event) if pair[1].key not in kept]
    yield _members(event)


def _expendable_of_otlp(event: dict[str, Any]) -> Iterator[list[tuple[int, _Place]]]:
    (of_resource,) = event["resourceLogs"]
    (of_scope,) = of_resource["scopeLogs"]
    (record,) = of_scope["logRecords"]
    told = (("", record), ("resource.", of_resource["resource"]), ("scope.", of_scope["scope"]))
    yield [
        pair
        for above, holder in told
        for pair in _members(holder.get("attributes", []), f"{above}attributes.")
        if pair[1].holder[pair[1].key]["key"] not in NUMBER
    ]
    yield _members(record["body"], "body.")


def _members(holder: dict[str, Any] | list[Any], above: str = "") -> list[tuple[int, _Place]]:
    """Return the members of a container, and what each takes of the line."""
    if isinstance(holder, dict):
        return [
            (_size(key) + _size(part), _Place(holder, key, _path(above, key)))
            for key, part in holder.items()
        ]
    return [
        (_size(part), _Place(holder, number, _path(above, number)))
        for number, part in enumerate(holder)
    ]


def _split(line: bytes, options: EventOptions) -> tuple[bytes, ...]:
    """Return several events that together hold the longest text of one.

    Each has all other fields, and says which part it is: ``"chunk_id"`` is the same in
    all, ``"chunk"`` counts from 1 to ``"chunks"``, ``"split"`` names the field. If the other
    fields alone take more than half of the limit, they are shortened first, and so is a text
    that would take more than :data:`MOST_CHUNKS`. An event without a text of more than half
    the limit is shortened instead.
    """
    event: dict[str, Any] = orjson.loads(line)
    max_bytes = options.max_event_bytes
    sizes = [(_size(place.holder[place.key]), place) for place in _texts(event)]
    size, place = max(sizes, key=lambda pair: pair[0], default=(0, _Place(event, "", "")))
    holder, key, path = place
    names = {name: options.name_of(name) for name in MARKS}
    if size <= max_bytes // 2 or (holder is event and key in names.values()):
        # Not this text alone is what makes it too large, so its parts would not help; or it
        # stands where its parts would be told apart.
        return (shorten(line, options),)
    whole: str = holder[key]
    holder[key] = ""
    marks = _marks(options, len(line), _LONGEST)
    cut: list[str] = []
    if _size(event) > max_bytes // 2:
        cut = _fit(event, max_bytes // 2 - _size(marks), options)
        if _lacks(event, holder, key):
            # The text itself stood in what had to go.
            return (shorten(line, options),)
    told: dict[str, Any] = {
        names["chunk_id"]: os.urandom(8).hex(),
        names["split"]: _name(path),
        names["chunk"]: MOST_CHUNKS,
        names["chunks"]: MOST_CHUNKS,
    }
    # What all have, with as much as may have to be said of what was cut.
    room = max_bytes - _size({**event, **marks, **told})
    most = MOST_CHUNKS * (room - _SPARE)
    if size > most:
        whole = _cut(whole, most, middle=key in _FROM_THE_MIDDLE)
        cut.insert(0, path)
    if cut:
        event.update(_marks(options, len(line), _named(cut)))
    pieces = _pieces(whole, room)
    told[names["chunks"]] = len(pieces)
    lines: list[bytes] = []
    for number, piece in enumerate(pieces, 1):
        holder[key] = piece
        told[names["chunk"]] = number
        lines.append(orjson.dumps({**event, **told}, option=orjson.OPT_APPEND_NEWLINE))
    return tuple(lines)


def _lacks(event: object, holder: object, key: object) -> bool:
    """Tell whether a place is no longer in an event."""
    return not any(place.holder is holder and place.key == key for place in _texts(event))


def _pieces(text: str, max_bytes: int) -> list[str]:
    """Return a text in parts of at most so many bytes as JSON, whole characters each."""
    pieces: list[str] = []
    begin = 0
    while begin < len(text):
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

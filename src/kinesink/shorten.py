"""Make an event fit: the longest texts give first, and what is left is still JSON."""

from __future__ import annotations

from typing import Any, Final

import orjson

MIN_EVENT_BYTES: Final = 2048
"""The least that :func:`shorten` can be asked for: all fields of an event, each as short
as it gets, take some 1,700 bytes."""

_FLOOR: Final = 64
"""Texts of up to this many bytes are left alone: timestamps, ids and names among them."""

_FROM_THE_MIDDLE: Final = frozenset({"stacktrace", "stack_info"})
"""The ends of a stack trace tell the most: where it began and what failed."""

Path = tuple[Any, ...]


def shorten(line: bytes, max_bytes: int) -> bytes:
    """Return the event of ``line`` in at most ``max_bytes`` bytes, newline included.

    Texts are cut to a common length, whole characters at a time, so the longest give
    first. If that is not enough, attributes go, the largest first. The event says so:
    ``"truncated":true,"original_bytes":n``.

    :param line: one JSON object and a newline, with the fields that
        :class:`kinesink.encode.Encoder` writes.
    :param max_bytes: at least :data:`MIN_EVENT_BYTES`.
    """
    event: dict[str, Any] = orjson.loads(line)
    event["truncated"] = True
    event["original_bytes"] = len(line)
    _cut_texts(event, _size(event) - max_bytes)
    _drop_attributes(event, _size(event) - max_bytes)
    return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)


def _size(value: object) -> int:
    """Return the bytes of ``value`` as JSON, and one for the newline."""
    return len(orjson.dumps(value)) + 1


def _cut_texts(event: dict[str, Any], excess: int) -> None:
    """Cut texts so that ``excess`` bytes go, as far as :data:`_FLOOR` allows."""
    texts = [(_size(holder[key]), holder, key) for holder, key in _texts(event)]
    level = _water_level([size for size, _, _ in texts], excess)
    for size, holder, key in texts:
        if size > level:
            holder[key] = _cut(holder[key], level, middle=key in _FROM_THE_MIDDLE)


def _texts(value: Any) -> list[tuple[Any, Any]]:  # noqa: ANN401 - whatever JSON holds
    """Return where each text below ``value`` stands, as (container, key or index)."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        pairs = holder.items() if isinstance(holder, dict) else enumerate(holder)
        for key, part in pairs:
            if isinstance(part, str):
                found.append((holder, key))
            elif isinstance(part, (dict, list)):
                waiting.append(part)
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


def _drop_attributes(event: dict[str, Any], excess: int) -> None:
    """Take attributes out, the largest first, until ``excess`` bytes are gone."""
    attributes: dict[str, Any] = event.get("attributes", {})
    sizes = {name: _size(name) + _size(value) for name, value in attributes.items()}
    for name in sorted(sizes, key=lambda name: sizes[name], reverse=True):
        if excess <= 0:
            return
        del attributes[name]
        excess -= sizes[name]

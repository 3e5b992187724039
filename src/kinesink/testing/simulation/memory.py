"""What a pipeline holds on to: its whole graph of objects, walked.

Law: nothing here knows how a pipeline is built; what it can reach, it holds.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from kinesink.core.records import Chunk, UserRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink.core.records import Content

__all__ = ["Holdings", "find", "holdings"]

T = TypeVar("T")

_SEQUENCES: Final = (list, tuple, deque, set, frozenset)
_PLAIN: Final = (str, bytes, int, float, bool, type(None))
_OURS: Final = "kinesink."
_SHARD: Final = "shardId-"


class Holdings(NamedTuple):
    """What a pipeline holds."""

    items: int
    """In all its containers together."""
    contents: list[Content]
    """The events, as they came in."""
    shard_ids: set[str]
    """Every shard that is named anywhere."""


def holdings(root: object) -> Holdings:
    """Return what ``root`` holds."""
    items = 0
    contents: list[Content] = []
    shard_ids: set[str] = set()
    for each in _walk(root):
        if isinstance(each, (Chunk, UserRecord)):
            contents.append(each)
        if isinstance(each, (dict, *_SEQUENCES)):
            items += len(each)
        for part in _parts(each):
            if isinstance(part, str) and part.startswith(_SHARD):
                shard_ids.add(part)
    return Holdings(items, contents, shard_ids)


def _walk(root: object) -> Iterator[object]:
    """Yield every container and every object of kinesink that ``root`` reaches, once."""
    seen: set[int] = set()
    waiting: list[object] = [root]
    while waiting:
        current = waiting.pop()
        if isinstance(current, _PLAIN) or id(current) in seen:
            continue
        seen.add(id(current))
        waiting += _parts(current)
        yield current


def _parts(current: object) -> list[object]:
    """Return what an object refers to, if it is a container or one of kinesink's own."""
    if isinstance(current, dict):
        return [*current.keys(), *current.values()]
    if isinstance(current, _SEQUENCES):
        return list(current)
    return _attributes(current) if type(current).__module__.startswith(_OURS) else []


def _attributes(current: object) -> list[object]:
    values = list(getattr(current, "__dict__", {}).values())
    for kind in type(current).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        names = (slots,) if isinstance(slots, str) else slots
        values += [getattr(current, name) for name in names if hasattr(current, name)]
    return values


def find(root: object, kind: type[T]) -> T:
    """Return the one object of a kind that ``root`` reaches."""
    (found,) = [each for each in _walk(root) if isinstance(each, kind)]
    return found

"""Where an event that was read has what people look for, whatever its schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "timestamp": ("timestamp", "@timestamp", "time"),
    "level": ("level", "log.level", "status", "severity", "levelname"),
    "logger": ("logger", "log.logger", "logger.name"),
    "message": ("message", "event", "msg"),
}
"""What the schemas, and other libraries, call it; the first that is there counts."""


class Absent:
    """Stands for the value of a field that an event does not have."""

    def __repr__(self) -> str:
        return "(no such field)"


ABSENT: Final = Absent()


def look_up(fields: Mapping[str, Any], path: str) -> object:
    """Return what stands at a path: a name, in ``attributes`` too, or names with dots between.

    :param path: one of :data:`NAMES` stands for all that it is called.
    :returns: :data:`ABSENT` if nothing does.
    """
    names = NAMES.get(path)
    spare: object = ABSENT
    for candidate in names or (path,):
        for place in (fields, fields.get("attributes")):
            found = _at(place, candidate)
            if found is ABSENT:
                continue
            if names is None or not isinstance(found, Mapping):
                return found
            # A logger that is an object has its name one level below.
            spare = found
    return spare


def _at(place: object, path: str) -> object:
    if not isinstance(place, Mapping):
        return ABSENT
    if path in place:
        return place[path]
    # The longest name first: an attribute's own may have dots.
    head, dot, tail = path.rpartition(".")
    while dot:
        if head in place:
            return _at(place[head], tail)
        head, dot, more = head.rpartition(".")
        tail = f"{more}.{tail}"
    return ABSENT

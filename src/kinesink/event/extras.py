"""Where the attributes of an event go: under one name, beside the fields, or nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinesink.event.plain_values import MAX_DEPTH, own_copy
from kinesink.event.redaction import RedactNames
from kinesink.event.schemas import ECS_OBJECTS, spec_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kinesink.event.options import EventOptions

Attributes = dict[str, Any]


class Extras:
    """Redacts, selects and places attributes, as the options have it.

    :param options: how.
    :param constants: names that stand beside the fields in every event.
    """

    def __init__(self, options: EventOptions, constants: Iterable[str] = ()) -> None:
        self._redact = options.redact if isinstance(options.redact, RedactNames) else None
        extra = options.extra
        self._flat = extra == "flat"
        self._names = None if extra is None or isinstance(extra, str) else frozenset(extra)
        self._rename = options.rename or {}
        fields = set(map(options.name_of, spec_of(options.schema).names))
        self._taken: Final = fields.union(constants)
        self._no_objects: Final = fields.difference(map(options.name_of, ECS_OBJECTS))

    def kept(self, attributes: Mapping[Any, Any]) -> Attributes:
        """Return a copy of the attributes that may be shipped, as JSON has them."""
        # A copy first of all: to compare a key of the application's may run its code.
        copy = (self._redact or own_copy)(attributes)
        if self._names is None:
            return copy
        return {name: value for name, value in copy.items() if name in self._names}

    def of(self, attributes: Mapping[Any, Any]) -> tuple[Attributes, Attributes]:
        """Return what goes beside the fields, and what goes under ``attributes``."""
        kept = self.kept(attributes)
        return self.beside(kept, ()) if self._flat else ({}, kept)

    def beside(self, attributes: Attributes, taken: Iterable[str]) -> tuple[Attributes, Attributes]:
        """Part the attributes whose names are free from those whose names are taken.

        :param taken: names that stand there already, besides those of the schema.
        """
        beside: Attributes = {}
        nested: Attributes = {}
        names = self._taken.union(taken)
        for name, value in attributes.items():
            new = self._rename.get(name, name)
            if new in names or new in beside:
                nested[name] = value
            else:
                beside[new] = value
        return beside, nested

    def add_dotted(self, event: dict[str, Any], attributes: Attributes) -> Attributes:
        """Put attributes into an event, dots in their names as levels.

        :return: those whose place is taken, within what is no object, or too deep.
        """
        nested: Attributes = {}
        for name, value in attributes.items():
            levels = name.split(".")
            if (
                name in event or name in self._taken or levels[0] in self._no_objects
                or len(levels) > MAX_DEPTH or not _add(event, levels, value)
            ):  # fmt: skip
                nested[name] = value
        return nested


def _add(event: dict[str, Any], levels: list[str], value: object) -> bool:
    """Put a value below levels that are made as needed; False if something else is there."""
    *above, last = levels
    holder = event
    for level in above:
        inner = holder.get(level, {})
        if not isinstance(inner, dict):
            return False
        # A copy, for it may be a constant of every event.
        inner = dict(inner)
        holder[level] = inner
        holder = inner
    if last in holder:
        return False
    holder[last] = value
    return True

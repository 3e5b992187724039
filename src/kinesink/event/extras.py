"""Where the attributes of an event go: under one name, beside the fields, or nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kinesink.event.parts import FIELDS
from kinesink.event.plain_values import plain_object
from kinesink.event.redaction import RedactNames

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kinesink.event.options import EventOptions

Attributes = dict[Any, Any]


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
        self._taken = {options.name_of(field) for field in FIELDS}.union(constants)

    def kept(self, attributes: Attributes) -> Attributes:
        """Return the attributes that may be shipped."""
        if self._names is not None:
            # Plain first: to compare a key of the application's may run its code.
            plain = plain_object(attributes)
            attributes = {name: value for name, value in plain.items() if name in self._names}
        return attributes if self._redact is None else self._redact(attributes)

    def of(self, attributes: Attributes) -> tuple[Attributes, Attributes]:
        """Return what goes beside the fields, and what goes under ``attributes``."""
        attributes = self.kept(attributes)
        return self.beside(attributes) if self._flat else ({}, attributes)

    def beside(
        self, attributes: Mapping[Any, Any], taken: Iterable[str] = ()
    ) -> tuple[Attributes, Attributes]:
        """Part the attributes whose names are free from those whose names are taken.

        :param taken: names that stand there already, besides those of the schema.
        """
        beside: Attributes = {}
        nested: Attributes = {}
        names = self._taken.union(taken)
        for name, value in plain_object(attributes).items():
            new = self._rename.get(name, name)
            (nested if new in names or new in beside else beside)[new] = value
        return beside, nested


def add_dotted(event: dict[str, Any], attributes: Mapping[Any, Any]) -> Attributes:
    """Put attributes into an event, dots in their names as levels; return those without a place."""
    nested: Attributes = {}
    for name, value in plain_object(attributes).items():
        if name in event or not _add(event, name.split("."), value):
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

"""The members of a request: their types on the wire and the constraints on them.

Each rule reads one value in one pass: a value of the wrong JSON or CBOR type raises
``SerializationException``, a value that breaks a constraint adds a sentence to
``violations`` in the words of the service. Rules are data; the table of operations in
:mod:`kinesink.testing.operations` is written with them.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from kinesink.testing.errors import serialization, validation

__all__ = [
    "Blob",
    "Flag",
    "Many",
    "Member",
    "Members",
    "Moment",
    "Number",
    "Rule",
    "Struct",
    "Text",
    "Wire",
    "optional",
    "read_members",
    "required",
]

_Path = tuple[str | int, ...]

_T = TypeVar("_T")


class Members(dict[str, object]):
    """The members of one request, read by name and type; all have passed their rules."""

    def _typed(self, name: str, kind: type[_T], default: _T) -> _T:
        value = self.get(name)
        return value if isinstance(value, kind) else default

    def text(self, name: str) -> str:
        """Return a string, empty if it was left out."""
        return self._typed(name, str, "")

    def number(self, name: str, default: int = 0) -> int:
        """Return an integer, or ``default`` if it was left out."""
        return self._typed(name, int, default)

    def data(self, name: str) -> bytes:
        """Return a blob, empty if it was left out."""
        return self._typed(name, bytes, b"")

    def moment(self, name: str) -> float | None:
        """Return a timestamp in seconds, None if it was left out."""
        value = self.get(name)
        return float(value) if isinstance(value, (int, float)) else None

    def inner(self, name: str) -> "Members":
        """Return the members of a structure, none if it was left out."""
        return self._typed(name, Members, Members())

    def entries(self, name: str) -> list["Members"]:
        """Return a list of structures."""
        return [each for each in self._typed(name, list, []) if isinstance(each, Members)]


class Wire(Protocol):
    """What a rule has to know about JSON or CBOR: two types that the formats write differently."""

    def blob(self, value: object) -> bytes:
        """Return the bytes of a blob, or raise ``SerializationException``."""

    def moment(self, value: object) -> float:
        """Return a timestamp in seconds since the epoch, or raise ``SerializationException``."""


@dataclass
class _Reading:
    """One request being read: how its format writes things, and what was wrong so far."""

    wire: Wire
    violations: list[str] = field(default_factory=list)

    def violate(self, value: object, path: _Path, constraint: str) -> None:
        shown = "null" if value is None else f"'{value}'"
        where = ".".join(_step(step) for step in path)
        self.violations.append(
            f"Value {shown} at '{where}' failed to satisfy constraint: Member must {constraint}"
        )


def _step(step: str | int) -> str:
    """Write a member as the service does (``partitionKey``), and an index as ``1.member``."""
    return f"{step}.member" if isinstance(step, int) else step[0].lower() + step[1:]


class Rule(ABC):
    """How one value is read."""

    @abstractmethod
    def read(self, value: object, reading: _Reading, path: _Path) -> object:
        """Return the value in its Python form."""


@dataclass(frozen=True)
class Text(Rule):
    """A string of ``minimum`` to ``maximum`` characters, matching ``pattern`` or in ``choices``."""

    maximum: int = 2048
    minimum: int = 1
    pattern: re.Pattern[str] | None = None
    choices: tuple[str, ...] = ()

    def read(self, value: object, reading: _Reading, path: _Path) -> str:
        """Return the string."""
        if not isinstance(value, str):
            raise serialization(f"{type(value).__name__} can not be converted to a String")
        if len(value) > self.maximum:
            limit = f"have length less than or equal to {self.maximum}"
            reading.violate(value, path, limit)
        if len(value) < self.minimum:
            reading.violate(value, path, f"have length greater than or equal to {self.minimum}")
        if self.pattern is not None and self.pattern.fullmatch(value) is None:
            pattern = f"satisfy regular expression pattern: {self.pattern.pattern}"
            reading.violate(value, path, pattern)
        if self.choices and value not in self.choices:
            reading.violate(value, path, f"satisfy enum value set: [{', '.join(self.choices)}]")
        return value


@dataclass(frozen=True)
class Number(Rule):
    """An integer from ``minimum`` to ``maximum``."""

    minimum: int = 1
    maximum: int = 2**31 - 1

    def read(self, value: object, reading: _Reading, path: _Path) -> int:
        """Return the integer."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise serialization(f"{type(value).__name__} can not be converted to an Integer")
        if value > self.maximum:
            reading.violate(value, path, f"have value less than or equal to {self.maximum}")
        if value < self.minimum:
            reading.violate(value, path, f"have value greater than or equal to {self.minimum}")
        return value


@dataclass(frozen=True)
class Flag(Rule):
    """A boolean."""

    def read(self, value: object, reading: _Reading, path: _Path) -> bool:
        """Return the boolean."""
        del reading, path
        if not isinstance(value, bool):
            raise serialization(f"{type(value).__name__} can not be converted to a Boolean")
        return value


@dataclass(frozen=True)
class Blob(Rule):
    """Bytes, at most ``maximum`` of them."""

    maximum: int

    def read(self, value: object, reading: _Reading, path: _Path) -> bytes:
        """Return the bytes."""
        data = reading.wire.blob(value)
        if len(data) > self.maximum:
            limit = f"have length less than or equal to {self.maximum}"
            reading.violate(f"[{len(data)} bytes]", path, limit)
        return data


@dataclass(frozen=True)
class Moment(Rule):
    """A timestamp, in Python as seconds since the epoch."""

    def read(self, value: object, reading: _Reading, path: _Path) -> float:
        """Return the seconds."""
        del path
        return reading.wire.moment(value)


@dataclass(frozen=True)
class Many(Rule):
    """A list of ``minimum`` to ``maximum`` values of one rule."""

    of: Rule
    maximum: int
    minimum: int = 1

    def read(self, value: object, reading: _Reading, path: _Path) -> list[object]:
        """Return the list of values, each read by its rule."""
        if not isinstance(value, list):
            raise serialization("Expected list or null")
        if not self.minimum <= len(value) <= self.maximum:
            bound, limit = (
                ("less", self.maximum) if len(value) > self.maximum else ("greater", self.minimum)
            )
            shown = f"[{len(value)} members]"
            reading.violate(shown, path, f"have length {bound} than or equal to {limit}")
        read = self.of.read
        return [read(element, reading, (*path, i)) for i, element in enumerate(value, 1)]


@dataclass(frozen=True)
class Member:
    """A member of a structure: its rule, and whether it may be left out (or null)."""

    rule: Rule
    required: bool


def required(rule: Rule) -> Member:
    """Return a member that must be there."""
    return Member(rule, required=True)


def optional(rule: Rule) -> Member:
    """Return a member that may be left out."""
    return Member(rule, required=False)


@dataclass(frozen=True)
class Struct(Rule):
    """A map with known members; unknown ones are ignored, as the service ignores them."""

    members: Mapping[str, Member]

    def read(self, value: object, reading: _Reading, path: _Path) -> Members:
        """Return the members that are present."""
        if not isinstance(value, dict):
            raise serialization("Expected map or null")
        found = Members()
        for name, member in self.members.items():
            given = value.get(name)
            if given is not None:
                found[name] = member.rule.read(given, reading, (*path, name))
            elif member.required:
                reading.violate(None, (*path, name), "not be null")
        return found


def read_members(members: Mapping[str, Member], body: object, wire: Wire) -> Members:
    """Return the known members of ``body`` in their Python form.

    Raises ``SerializationException`` for a wrong type and ``ValidationException``, naming
    every broken constraint, otherwise.
    """
    reading = _Reading(wire)
    found = Struct(members).read(body, reading, ())
    if reading.violations:
        raise validation(reading.violations)
    return found

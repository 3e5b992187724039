"""Any Python value as something JSON can say.

The law: nothing here raises, and nothing here runs without a bound. The values are the
application's: their ``__str__`` may log, recurse, raise or change the container it came
from. So containers are copied before they are walked, and every touch is guarded.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import enum
import math
import traceback
from collections import deque
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

#: No cause, only experience: deeper or larger trees are accidents (an ORM object, a
#: request), and whoever reads the log does not unfold them.
MAX_DEPTH = 8
MAX_VALUES = 1_000
MAX_CHARACTERS = 1_000

CYCLE = "<cycle>"
TOO_DEEP = "<too deep>"
TOO_MANY = "<too many values>"

_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1  # what orjson writes as a number

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"
"""What JSON can say."""


class ExceptionFields(NamedTuple):
    """An exception as text; None where nothing is known."""

    type: str | None
    """Qualified name, without the module for built-in ones."""
    message: str | None
    """``str()`` of it."""
    stacktrace: str | None
    """What the interpreter would print, causes and groups included."""


def plain_object(values: Mapping[Any, object]) -> dict[str, Plain]:
    """Return a copy of ``values`` that serialises to JSON, whatever is in it.

    At most 1,000 of them, each with at most 1,000 values in it, eight levels deep.

    Mappings, dataclass and attrs objects become objects with text keys; sequences and
    sets arrays; bytes text (UTF-8, else base64); NaN and infinities null; integers
    beyond 64 bits and everything else their ``str()``, cut at 1,000 characters. What
    cannot be had at all is named: ``"<cycle>"``, ``"<too deep>"``,
    ``"<unserializable pkg.Type>"``.
    """
    # A budget for each, so that a large one takes nothing from its neighbours.
    return {
        _key(name): _Copy().of(value, 1) for name, value in islice(list(values.items()), MAX_VALUES)
    }


def plain_value(value: object) -> Plain:
    """Return a copy of one value that serialises to JSON, as :func:`plain_object` does."""
    return _Copy().of(value, 1)


def own_copy(values: Mapping[Any, object]) -> dict[str, Any]:
    """Return a copy of ``values`` to the last leaf, as they are in a line.

    What JSON can say as it is stays as it is, whatever its size; else as
    :func:`plain_object` has it. Never raises.
    """
    try:
        copy: dict[str, Any] = orjson.loads(orjson.dumps(values))
    except Exception:  # noqa: BLE001 - orjson may run the application's code
        return plain_object(values)
    return copy


def text(value: object, max_characters: int | None = MAX_CHARACTERS) -> str:
    """Return ``str(value)`` without lone surrogates and cut, or a name of its type."""
    try:
        return _whole(str(value)[:max_characters])
    except Exception:  # noqa: BLE001 - __str__ is the application's code
        return f"<unserializable {type_name(value)}>"


def type_name(value: object) -> str:
    """Return the qualified name of the type of ``value``."""
    try:
        kind = type(value)
        module = kind.__module__
        return _whole(
            kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"
        )
    except Exception:  # noqa: BLE001 - a metaclass is the application's code
        return "object"


def exception_fields(error: BaseException, trace: TracebackType | None) -> ExceptionFields:
    """Return the fields of an exception; keeps no reference to it, so no frame lives on."""
    try:
        stacktrace = "".join(traceback.format_exception(type(error), error, trace)).rstrip("\n")
    except Exception:  # noqa: BLE001 - so is the exception's class
        stacktrace = None
    return ExceptionFields(type_name(error), text(error, None), stacktrace)


def _whole(value: str) -> str:
    """Return ``value`` as exactly ``str``, lone surrogates replaced."""
    # Not value.encode: a subclass may have its own.
    return str.encode(value, "utf-8", "replace").decode()


def _from_bytes(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return base64.b64encode(data).decode()


def _from_int(value: int) -> int | str:
    number = int(value)
    return number if _INT_MIN <= number <= _INT_MAX else str(number)


#: Kinds of scalars, the first that fits counts, and what they become.
_SCALARS: tuple[tuple[Any, Callable[[Any], Plain]], ...] = (
    ((bool, type(None)), lambda value: value),
    (str, _whole),
    (int, _from_int),
    (float, lambda value: float(value) if math.isfinite(value) else None),
    ((bytes, bytearray, memoryview), lambda value: _from_bytes(bytes(value))),
    ((dt.date, dt.time), lambda value: _whole(value.isoformat())),
)


def _key(key: object) -> str:
    return _from_bytes(key) if isinstance(key, bytes) else text(key)


def _pairs(value: object) -> Iterable[tuple[object, object]] | None:
    """Return the items of whatever has named parts, or None."""
    if isinstance(value, Mapping):
        return value.items()
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind)]
    elif hasattr(kind, "__attrs_attrs__"):
        names = [attribute.name for attribute in kind.__attrs_attrs__]
    else:
        return None
    # As orjson: a leading underscore is the object's own business.
    return [(name, getattr(value, name)) for name in names if not name.startswith("_")]


class _Copy:
    """One walk over one tree: what it is inside of, and how many values it may still take."""

    def __init__(self) -> None:
        self._above: set[int] = set()
        self._left = MAX_VALUES

    def of(self, value: object, depth: int) -> Plain:
        self._left -= 1
        try:
            return self._copy(value, depth)
        except Exception:  # noqa: BLE001 - any access may run the application's code
            return f"<unserializable {type_name(value)}>"

    def _copy(self, value: object, depth: int) -> Plain:
        if isinstance(value, enum.Enum):  # as orjson
            return self.of(value.value, depth)
        for kinds, copy in _SCALARS:
            if isinstance(value, kinds):
                return copy(value)
        pairs = _pairs(value)
        if pairs is not None:
            return self._inside(value, depth, lambda: self._object(pairs, depth + 1))
        if isinstance(value, (list, tuple, AbstractSet, deque)):
            return self._inside(value, depth, lambda: self._array(value, depth + 1))
        return text(value) or text(repr(value))

    def _inside(self, value: object, depth: int, copy: Callable[[], Plain]) -> Plain:
        if id(value) in self._above:
            return CYCLE
        if depth >= MAX_DEPTH:
            return TOO_DEEP
        self._above.add(id(value))
        try:
            return copy()
        finally:
            self._above.discard(id(value))

    def _array(self, values: Iterable[object], depth: int) -> list[Plain]:
        copies: list[Plain] = []
        for value in list(islice(values, self._left + 1)):
            if self._left <= 0:
                copies.append(TOO_MANY)
                break
            copies.append(self.of(value, depth))
        return copies

    def _object(self, pairs: Iterable[tuple[object, object]], depth: int) -> dict[str, Plain]:
        copies: dict[str, Plain] = {}
        for key, value in list(islice(pairs, self._left + 1)):
            if self._left <= 0:
                copies[TOO_MANY] = None
                break
            copies[_key(key)] = self.of(value, depth)
        return copies

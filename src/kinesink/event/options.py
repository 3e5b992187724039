"""What an event becomes in the stream: its fields, its size and its key."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, Final, Literal, get_args

import orjson

from kinesink.core import limits
from kinesink.errors import ConfigurationError
from kinesink.event.plain_values import own_copy
from kinesink.event.redaction import RedactNames
from kinesink.event.schemas import spec_of
from kinesink.option_values import SWITCHES, UNITS_OF_BYTES, quantity

SchemaName = Literal["default", "ecs", "otel", "datadog", "structlog"]
Fields = dict[str, Any]
Schema = SchemaName | Callable[[Fields], Mapping[str, Any]]
Extra = Literal["nested", "flat"] | Iterable[str]
Redact = str | Iterable[str] | Callable[[Fields], Fields]
Oversize = Literal["truncate", "split", "drop"]

MIN_EVENT_BYTES: Final = 2048
"""The least an event may be limited to: all fields of the default schema, each as short as
it gets, take some 1,900 bytes."""

MAX_EVENT_BYTES: Final = 256 * limits.KIB
"""Default for the largest event: a quarter of what a Kinesis record holds by default, so
that an aggregated record is never one event alone."""

#: What a process says of itself; a static field of that name takes its place.
FACTS: Final = ("service", "env", "version", "host")

#: Neither constants nor names may take more than this share of an event.
_MOST_CONSTANT: Final = 0.25

_PREFIX: Final = "KINESINK_"


@dataclass(frozen=True)
class EventOptions:
    """How each event is written, the same for every adapter.

    Every option can be plain text as well, so that YAML, ``fileConfig`` and environment
    variables can give it: lists with commas, mappings as ``name=value,…`` or as JSON.

    :raises ConfigurationError: if a value cannot work.
    """

    schema: Schema = "default"
    """Names and shape of the fields: ``default``, ``ecs``, ``otel``, ``datadog``,
    ``structlog``, or a callable that gets the fields of the default schema as a
    dictionary of its own and returns a mapping."""

    extra: Extra | None = None
    """Where goes what the application adds: ``nested`` under ``attributes``, ``flat``
    beside the other fields (never in place of one), or the names of those to ship, the
    others being left out. None: as the schema has it."""

    rename: Mapping[str, str] | None = None
    """Other names for fields of the schema, outermost level."""

    static_fields: Mapping[str, Any] | None = None
    """Fields with the same value in every event. One called ``service``, ``env``,
    ``version`` or ``host`` is instead of what the environment says, None or an empty text
    for nothing at all."""

    redact: Redact | None = None
    """What must not be shipped: ``default`` (passwords, tokens and their kin) or names,
    whose values in attributes become ``[redacted]``; or a callable that gets the fields
    of the default schema as a dictionary of its own and returns what may be shipped."""

    oversize: Oversize = "truncate"
    """What becomes of an event larger than ``max_event_bytes``: ``truncate`` cuts its
    longest texts, ``split`` makes several events of its longest text, ``drop`` counts it
    as dropped. The event says what was cut."""

    max_event_bytes: int = MAX_EVENT_BYTES
    """Largest event in bytes, newline included; 2 KiB or more."""

    sequence: bool = True
    """Number the events: each says by ``boot_id`` which process and sink wrote it, and by
    ``seq`` which of theirs it is, so that consumers can prove that nothing is missing and
    remove what came twice. Not in what a formatter or renderer of the application's wrote,
    nor in OTLP."""

    partition_key: Any = None
    """See :mod:`kinesink.adapters.partition_key`."""

    def __post_init__(self) -> None:
        """Turn text into values and refuse what cannot work."""
        for name, (allowed, read) in _READ.items():
            given = getattr(self, name)
            try:
                value = read(given)
            except (TypeError, ValueError):
                raise ConfigurationError(name, given, allowed) from None
            object.__setattr__(self, name, value)
        if self.schema == "otel":
            self._check_otel()
        self._check_names()

    @classmethod
    def from_environment(cls, **parameters: object) -> EventOptions:
        """Return options from ``KINESINK_*`` variables and ``parameters``.

        A parameter that is given and not None wins over its variable; an empty variable
        counts as absent.
        """
        values: dict[str, Any] = {
            name: text for name in cls.names() if (text := os.environ.get(_PREFIX + name.upper()))
        }
        values.update({name: value for name, value in parameters.items() if value is not None})
        return cls(**values)

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of the options."""
        return [spec.name for spec in fields(cls)]

    def given(self) -> list[str]:
        """Return the names of the options that are not at their default."""
        return [spec.name for spec in fields(self) if getattr(self, spec.name) != spec.default]

    def name_of(self, field: str) -> str:
        """Return what a field is called in the stream."""
        return (self.rename or {}).get(field, field)

    def _check_names(self) -> None:
        """Refuse names that would stand twice in one event, or nowhere."""
        rename, static, spec = self.rename or {}, self.static_fields or {}, spec_of(self.schema)
        targets = list(rename.values())
        if len(set(targets)) < len(targets):
            raise ConfigurationError("rename", rename, "two fields would have the same name")
        if not callable(self.schema):
            if self.extra != "flat" and (unknown := sorted(set(rename).difference(spec.names))):
                raise ConfigurationError(
                    "rename", rename, f"the schema {self.schema!r} has no {unknown[0]!r}; "
                    f"its fields are {', '.join(spec.names)}",
                )  # fmt: skip
            if taken := sorted(set(spec.names).difference(rename).intersection(targets)):
                raise ConfigurationError("rename", rename, f"there is a field {taken[0]!r} already")
        names = {self.name_of(field) for field in spec.names if field not in spec.defaults}
        if taken := sorted(names.difference(FACTS).intersection(static)):
            raise ConfigurationError(
                "static_fields", static, f"{taken[0]!r} is a field of the event itself"
            )
        for parameter, given in (("rename", rename), ("static_fields", static)):
            size = len(orjson.dumps(given))
            if size > self.max_event_bytes * _MOST_CONSTANT:
                raise ConfigurationError(
                    parameter, f"{size} bytes", "a quarter of max_event_bytes at most"
                )

    def _check_otel(self) -> None:
        """Refuse what the fixed shape of OTLP has no place for."""
        if self.extra == "flat":
            raise ConfigurationError("extra", "flat", "schema='otel' has attributes in one place")
        if self.rename:
            raise ConfigurationError("rename", self.rename, "schema='otel' has fixed names")


def _schema(value: object) -> object:
    if callable(value) or value in get_args(SchemaName):
        return value
    raise ValueError


def _extra(value: object) -> object:
    ways = get_args(get_args(Extra)[0])
    if value is None or value in ways:
        return value
    names = _names(value)
    # A way misspelt would be a name, and everything else would be left out.
    if isinstance(value, str) and len(names) == 1 and get_close_matches(names[0].lower(), ways):
        raise ValueError
    return frozenset(names)


def _names(value: object) -> list[str]:
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",") if name.strip()]
    if isinstance(value, Iterable) and not isinstance(value, (bytes, Mapping)):
        names = list(value)
        if all(isinstance(name, str) and name for name in names):
            return names
    raise TypeError


def _mapping(value: object) -> dict[str, Any] | None:
    if isinstance(value, str):
        text = value.strip()
        value = json.loads(text) if text.startswith("{") else dict(map(_pair, _names(text)))
    if value is None:
        return None
    if isinstance(value, Mapping) and all(isinstance(name, str) and name for name in value):
        # A copy: whoever gave it may change it later.
        return own_copy(value) or None
    raise TypeError


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError
    return name.strip(), value.strip()


def _rename(value: object) -> dict[str, str] | None:
    names = _mapping(value)
    if names is None or all(isinstance(name, str) and name for name in names.values()):
        return names
    raise TypeError


def _redact(value: object) -> object:
    if value is None or callable(value) or isinstance(value, RedactNames):
        return value
    return RedactNames(_names(value))


def _one_of(kind: object) -> Callable[[Any], object]:
    def read(value: object) -> object:
        if value in get_args(kind):
            return value
        raise ValueError

    return read


def _switch(value: object) -> bool:
    if isinstance(value, str):
        value = SWITCHES.get(value.strip().lower())
    if isinstance(value, bool):
        return value
    raise ValueError


def event_size(value: object) -> int:
    """Return a size in bytes that is 2 KiB or more."""
    size = quantity(value, UNITS_OF_BYTES) if isinstance(value, str) else value
    if (
        isinstance(size, (int, float))
        and not isinstance(size, bool)
        and MIN_EVENT_BYTES <= size < math.inf
        and size % 1 == 0
    ):
        return int(size)
    raise ValueError


#: One row per option: what is allowed, in words, and what reads it.
_READ: Final[dict[str, tuple[str, Callable[[Any], object]]]] = {
    "sequence": ("true or false", _switch),
    "schema": (
        "one of " + ", ".join(map(repr, get_args(SchemaName))) + ", or a callable of the fields",
        _schema,
    ),
    "extra": ("'nested', 'flat', or the names of those to ship", _extra),
    "rename": ("names by the names of fields ({'message': 'msg'}, 'message=msg')", _rename),
    "static_fields": ("values by name ({'team': 'shop'}, 'team=shop,tier=1')", _mapping),
    "redact": ("'default', names ('password,token'), or a callable of the fields", _redact),
    "oversize": ("one of 'truncate', 'split', 'drop'", _one_of(Oversize)),
    "max_event_bytes": ("bytes, 2 KiB or more (262144, '256KiB')", event_size),
}

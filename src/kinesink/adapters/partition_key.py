"""Which partition key an event gets: by default none."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, Generic, TypeVar

from kinesink.core import limits
from kinesink.errors import ConfigurationError
from kinesink.event.plain_values import text

R = TypeVar("R")

PartitionKey = str | Callable[[Any], str | None] | None
"""None: keyless, the sink chooses the shard. ``"logger"``: one key per logger.
``"process"``: one per process. ``"trace_id"``: one per OpenTelemetry trace. Any other name:
the value of the attribute of that name, or of the field of the default schema
(``"user_id"``, ``"level"``); with ``attr:`` in front the attribute only. A callable: what
it returns for the record of the library (LogRecord, event dict, ReadWriteLogRecord)."""

_ALLOWED = (
    "None, 'logger', 'process', 'trace_id', the name of a field, 'attr:' and the name of an "
    "attribute, or a callable of the record"
)
_ATTRIBUTE = "attr:"

_BOOT: Final = os.urandom(8).hex()
"""Forked children share it; with the process id it names one process of one machine."""


@dataclass(frozen=True)
class Readers(Generic[R]):
    """How an adapter's library says what a key can be made of."""

    logger: Callable[[R], object]
    """The name of the logger."""
    pid: Callable[[R], object]
    """The process that logged."""
    trace_id: Callable[[R], object]
    """The trace that the event belongs to, if any."""
    attribute: Callable[[R, str], object]
    """What the application has said under a name; None if nothing."""
    field: Callable[[R, str], object]
    """A field of the default schema, as far as the library knows it; None if not."""


def key_of(partition_key: object, readers: Readers[R]) -> Callable[[R], object] | None:
    """Return the function that reads the key from a record; None for keyless events.

    :raises ConfigurationError: if ``partition_key`` is no :data:`PartitionKey`.
    """
    if partition_key is None:
        return None
    if callable(partition_key):
        return partition_key
    if not isinstance(partition_key, str) or partition_key in {"", _ATTRIBUTE}:
        raise ConfigurationError("partition_key", partition_key, _ALLOWED)
    name = partition_key.removeprefix(_ATTRIBUTE)
    if name != partition_key:
        return lambda record: readers.attribute(record, name)
    named: dict[str, Callable[[R], object]] = {
        "logger": readers.logger,
        "process": lambda record: f"{_BOOT}-{readers.pid(record)}",
        "trace_id": readers.trace_id,
    }
    if name in named:
        return named[name]
    if near := get_close_matches(name, named, cutoff=0.8):
        raise ConfigurationError(
            "partition_key", name, f"did you mean {near[0]!r}? An attribute is 'attr:{name}'"
        )

    def read(record: R) -> object:
        value = readers.attribute(record, name)
        return readers.field(record, name) if value is None else value

    return read


def usable(value: object) -> str | None:
    """Return ``value`` as Kinesis takes a key; None and the empty text mean keyless.

    More than 256 characters become their SHA-256, so equal values still share a shard.
    """
    if value is None:
        return None
    key = text(value, None)
    if len(key) > limits.PARTITION_KEY_MAX_CHARACTERS:
        return hashlib.sha256(key.encode()).hexdigest()
    return key or None

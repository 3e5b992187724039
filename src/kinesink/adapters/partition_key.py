"""Which partition key an event of :mod:`logging` gets: by default none."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from typing import Any, Final

from kinesink.core import limits
from kinesink.current_span import current_span
from kinesink.errors import ConfigurationError
from kinesink.plain_values import text

PartitionKey = str | Callable[[logging.LogRecord], str | None] | None
"""None: keyless, the sink chooses the shard. ``"logger"``: one key per logger.
``"process"``: one per process. ``"trace_id"``: one per OpenTelemetry trace.
``"attr:user_id"``: the value of that extra. A callable: what it returns for the record."""

_ALLOWED = "None, 'logger', 'process', 'trace_id', 'attr:' and a name, or a callable of the record"
_ATTRIBUTE = "attr:"

_BOOT: Final = os.urandom(8).hex()
"""Forked children share it; with the process id it names one process of one machine."""


def key_of(partition_key: object) -> Callable[[logging.LogRecord], object] | None:
    """Return the function that reads the key from a record; None for keyless events.

    :raises ConfigurationError: if ``partition_key`` is no :data:`PartitionKey`.
    """
    if partition_key is None:
        return None
    if callable(partition_key):
        return partition_key
    if isinstance(partition_key, str):
        name = partition_key.removeprefix(_ATTRIBUTE)
        if name and name != partition_key:
            return lambda record: _attribute(record, name)
        if partition_key in _BY_NAME:
            return _BY_NAME[partition_key]
    raise ConfigurationError("partition_key", partition_key, _ALLOWED)


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


def _attribute(record: logging.LogRecord, name: str) -> object:
    value = getattr(record, name, None)
    if value is None and isinstance(record.msg, dict):
        return record.msg.get(name)
    return value


def _trace_id(_: logging.LogRecord) -> str | None:
    span = current_span()
    return span and span.trace_id


_BY_NAME: dict[str, Callable[[logging.LogRecord], Any]] = {
    "logger": lambda record: record.name,
    "process": lambda record: f"{_BOOT}-{record.process}",
    "trace_id": _trace_id,
}

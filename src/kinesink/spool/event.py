"""What a spool holds."""

from __future__ import annotations

from typing import Final, NamedTuple

#: Bytes that a row takes beyond data and key: its header and its place on the page. Measured:
#: 43 for events of 300 bytes.
ROW_BYTES: Final = 64


class SpooledEvent(NamedTuple):
    """An event as it was accepted."""

    data: bytes
    """The data of the user record."""
    partition_key: str | None
    """Its partition key; None lets the producer choose."""
    explicit_hash_key: int | None
    """Its explicit hash key, below 2 to the 128."""
    level: int | None
    """Its level, as the standard library counts; None if it has none."""
    at: float
    """When it was accepted, in seconds of the wall clock since 1970."""


class Evicted(NamedTuple):
    """What was given up because there was no room for it."""

    events: int
    """How many events."""
    size: int
    """What they took, by :func:`size_of`."""
    by_level: dict[int | None, int]
    """How many events of each level."""


def size_of(data: bytes, partition_key: str | None) -> int:
    """Return the bytes that an event counts for: data, key and :data:`ROW_BYTES`."""
    if partition_key is None:
        return len(data) + ROW_BYTES
    return len(data) + len(partition_key.encode()) + ROW_BYTES

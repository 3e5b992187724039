"""What consumers make of a record, at the moment it is written.

Law: an event counts as received only if a consumer gets it; that it is somewhere in the
stream is not enough.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from kinesink.core.aggregated_record import decode
from kinesink.core.lines import LINE_END
from kinesink.testing.consumer import received_by_kcl

if TYPE_CHECKING:
    from kinesink.testing.streams import Shard, StoredRecord

__all__ = ["Landed", "pack", "read"]

_PACKED: Final = b"\x00packed"
_RUN: Final = re.compile(rb"\.{8,}")
_TOKEN: Final = re.compile(rb"~(\d+)~")


class Landed(NamedTuple):
    """A user record in the stream."""

    data: bytes
    partition_key: str | None
    explicit_hash_key: int | None
    received: bool
    """Whether a consumer gets it."""


def pack(data: bytes) -> bytes:
    """Compress runs of dots: what real compressors make of it depends on their version."""
    return _PACKED + _RUN.sub(lambda run: b"~%d~" % len(run.group()), data)


def read(shard: Shard, record: StoredRecord, *, lines: bool) -> list[Landed]:
    """Return the user records of a record, as readers of lines or of the KPL's format do."""
    if lines:
        key, explicit = record.partition_key, record.explicit_hash_key
        return [Landed(line, key, explicit, received=True) for line in _lines(record.data)]
    received = received_by_kcl(shard, record)
    return [
        Landed(each.data, each.partition_key, each.explicit_hash_key, received=received is not None)
        for each in (decode(record.data) or [] if received is None else received)
    ]


def _lines(data: bytes) -> list[bytes]:
    if data.startswith(_PACKED):
        data = _TOKEN.sub(lambda token: b"." * int(token.group(1)), data[len(_PACKED) :])
    *lines, unfinished = data.split(LINE_END)
    return lines if not unfinished else [*lines, unfinished]

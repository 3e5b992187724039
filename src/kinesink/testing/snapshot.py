"""Streams as lines of JSON, so that a fake can go on where an earlier one stopped.

Law: what is read back is what was written, or nothing: a file that is cut off, edited into
nonsense or somebody else's changes no stream.

The first line tells the version and how much follows. Then each stream has a line, followed
by its shards, each followed by its records; data is in base64. What passes by itself is
left out: a stream that was being created or updated is ACTIVE, one that was being deleted is gone.
"""

import base64
import binascii
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from kinesink.core.hash_key import HashKeyRange
from kinesink.core.limits import MAX_HASH_KEY
from kinesink.testing.limits import ShardMeter
from kinesink.testing.service import Service
from kinesink.testing.streams import Shard, StoredRecord

if TYPE_CHECKING:
    from kinesink.testing.streams import Stream

__all__ = ["SnapshotError", "read_snapshot", "write_snapshot"]

_VERSION: Final = 1
_HEADER: Final = "kinesink_streams"


class SnapshotError(ValueError):
    """A file that holds no streams, or only a part of them; nothing was taken from it."""


def write_snapshot(service: Service, path: Path) -> None:
    """Replace the file at ``path`` by one with all streams; whole or not at all.

    Only its owner may read it, for it holds what was logged.

    :raises OSError: if it cannot be written; what was there before still is.
    """
    target = path.resolve()
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(_dump(service))
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def read_snapshot(service: Service, path: Path, now: float) -> None:
    """Replace all streams by those in the file at ``path``.

    :param now: the time of the fake's clock, from which limits count.
    :raises OSError: if it cannot be read.
    :raises SnapshotError: if it is broken, with the line that is.
    """
    with path.open("rb") as file:
        _load(service, file, now)


def _dump(service: Service) -> Iterator[bytes]:
    streams = [each for each in service.streams.values() if each.transition != "DELETING"]
    shards = [shard for stream in streams for shard in stream.shards.values()]
    yield _line(
        {
            _HEADER: _VERSION,
            "streams": len(streams),
            "shards": len(shards),
            "records": sum(len(shard.records) for shard in shards),
            "issued": service.numbers.issued,
        }
    )
    for stream in streams:
        yield _line(
            {
                "stream": stream.name,
                "created_at": stream.created_at,
                "mode": stream.mode,
                "max_record_kib": stream.max_record_kib,
                "distribution": stream.distribution,
            }
        )
        for shard in stream.shards.values():
            yield _line(_shard_members(shard))
            for record in shard.records:
                yield _line(_record_members(record))


def _line(members: dict[str, object]) -> bytes:
    return orjson.dumps(members) + b"\n"


def _shard_members(shard: Shard) -> dict[str, object]:
    return {
        "shard": shard.shard_id,
        "start": str(shard.hash_key_range.start),
        "end": str(shard.hash_key_range.end),
        "parents": shard.parents,
        "first_number": shard.starting_sequence_number,
        "last_number": shard.ending_sequence_number,
        "opened_at": shard.opened_at,
        "closed_at": shard.closed_at,
    }


def _record_members(record: StoredRecord) -> dict[str, object]:
    hash_key = record.explicit_hash_key
    return {
        "record": record.sequence_number,
        "partition_key": record.partition_key,
        "explicit_hash_key": None if hash_key is None else str(hash_key),
        "arrival": record.arrival,
        "data": base64.b64encode(record.data).decode(),
    }


def _load(service: Service, lines: Iterable[bytes], now: float) -> None:
    loading = _Loading(service, now)
    for number, line in enumerate(lines, 1):
        loading.take(number, line)
    loading.check()
    service.numbers.issued = max(service.numbers.issued, loading.issued)
    service.streams = loading.streams


class _Loading:
    """A file while it is read, line by line."""

    def __init__(self, service: Service, now: float) -> None:
        self.streams: dict[str, Stream] = {}
        self.issued = 0
        self._service = service
        self._now = now
        self._promised: dict[str, int] | None = None
        self._found = {"streams": 0, "shards": 0, "records": 0}
        self._stream: Stream
        self._shard: Shard

    def take(self, number: int, line: bytes) -> None:
        """Take a line, by its number in the file."""
        try:
            self._take(orjson.loads(line))
        except SnapshotError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise SnapshotError(
                f"line {number} is none of a file of streams ({type(error).__name__})"
            ) from error

    def check(self) -> None:
        """Raise unless everything is there."""
        if self._found != self._promised:
            raise SnapshotError("it is empty, or its end is missing")
        for stream in self.streams.values():
            stream.index()
            edges = [(each.hash_key_range.start, each.hash_key_range.end + 1)
                     for each in stream.open_shards]  # fmt: skip
            starts, ends = zip(*edges, strict=True) if edges else ((), ())
            if (*starts, MAX_HASH_KEY + 1) != (0, *ends):
                raise SnapshotError(f"the shards of {stream.name} leave hash keys out")

    def _take(self, members: dict[str, Any]) -> None:
        if self._promised is None:
            self._begin(members)
        elif "record" in members:
            self._found["records"] += 1
            self._shard.records.append(_record(self._shard, members))
        elif "shard" in members:
            self._found["shards"] += 1
            self._shard = self._new_shard(members)
            self._stream.shards[self._shard.shard_id] = self._shard
        else:
            self._found["streams"] += 1
            self._stream = self._service.new_stream(members["stream"], float(members["created_at"]))
            self._stream.mode = members["mode"]
            self._stream.max_record_kib = int(members["max_record_kib"])
            self._stream.distribution = members["distribution"]
            self.streams[self._stream.name] = self._stream

    def _begin(self, header: dict[str, Any]) -> None:
        if header[_HEADER] != _VERSION:
            raise SnapshotError(
                f"it is of version {header[_HEADER]}, and this kinesink reads {_VERSION}"
            )
        self._promised = {name: header[name] for name in self._found}
        self.issued = int(header["issued"])

    def _new_shard(self, members: dict[str, Any]) -> Shard:
        limits = self._stream.limits
        return Shard(
            len(self._stream.shards),
            members["shard"],
            HashKeyRange(int(members["start"]), int(members["end"])),
            members["first_number"],
            float(members["opened_at"]),
            tuple(members["parents"]),
            members["last_number"],
            members["closed_at"],
            meter=None if limits is None else ShardMeter(limits, self._now),
        )


def _record(shard: Shard, members: dict[str, Any]) -> StoredRecord:
    hash_key = members["explicit_hash_key"]
    try:
        data = base64.b64decode(members["data"], validate=True)
    except binascii.Error as error:
        raise ValueError("its data is no base64") from error
    return StoredRecord(
        shard.shard_id,
        str(int(members["record"])),
        members["partition_key"],
        None if hash_key is None else int(hash_key),
        data,
        float(members["arrival"]),
    )

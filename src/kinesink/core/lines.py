"""Events as lines: many in one Kinesis record, each ended by a line feed.

For consumers that do not take aggregated records apart: a reader of lines is all they
need. The record is plain to Kinesis and to the KCL, so it is right in whatever shard it
lands, also on a stream that places records itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

Compress = Callable[[bytes], bytes]
"""Returns the compressed bytes, never larger than :func:`compressed_at_most` says."""

LINE_END: Final = b"\n"

#: What compressing may add: a share of what does not shrink, and the container's own
#: bytes. More than zlib's ``deflateBound`` with gzip's 18 bytes, and than zstd's
#: ``ZSTD_COMPRESSBOUND``, from 0 bytes to 10 MiB.
_EXPANSION_SHIFT: Final = 8
_CONTAINER_BYTES: Final = 128


def line_bytes(datum: bytes) -> int:
    """Return the length of an event as a line, in bytes: with its line feed."""
    return len(datum) + (not datum.endswith(LINE_END))


def join(data: list[bytes]) -> bytes:
    """Return the events as lines; one that ends with a line feed gets no second."""
    return b"".join(
        [datum if datum.endswith(LINE_END) else datum + LINE_END for datum in data]
    )  # fmt: skip


def compressed_at_most(size: int) -> int:
    """Return the most bytes that ``size`` bytes can have after compression."""
    return size + (size >> _EXPANSION_SHIFT) + _CONTAINER_BYTES


def compressible(limit: int) -> int:
    """Return how many bytes surely fit into ``limit`` bytes after compression."""
    return limit - (limit >> _EXPANSION_SHIFT) - _CONTAINER_BYTES


class Lines:
    """The bytes of an entry of lines.

    Compressed ahead, because what it counts for depends on it; otherwise made when it is
    sent, because the events are there already.
    """

    __slots__ = ("_compressed",)

    def __init__(self, compressed: bytes | None = None) -> None:
        self._compressed = compressed

    def encode(self, data: list[bytes]) -> bytes:
        """Return what to send for the events in ``data``."""
        return join(data) if self._compressed is None else self._compressed

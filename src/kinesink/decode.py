"""A Kinesis record to the events in it, whatever the framing it was sent with.

Law: whatever the bytes, the answer is the events in order, the record as it is, or
:class:`kinesink.MalformedRecordError`; never an event that nobody sent, never more
memory than was allowed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from kinesink import compression
from kinesink.core import aggregated_record, limits
from kinesink.core.aggregated_record import MalformedAggregateError
from kinesink.core.lines import LINE_END
from kinesink.errors import MalformedRecordError

if TYPE_CHECKING:
    from kinesink.core.options import Framing

#: What a compressed record may hold unless more is allowed: more than kinesink ever
#: compresses. Bytes made to do harm shrink to a thousandth.
DEFAULT_MAX_BYTES: Final = 16 * limits.MIB

#: How many events a record may have unless more are allowed: the largest record full of
#: events of 20 bytes. An event takes some 200 bytes of memory beside its data.
DEFAULT_MAX_EVENTS: Final = 500_000


class DeaggregatedRecord(NamedTuple):
    """One event of a Kinesis record."""

    data: bytes
    """The event; a line keeps its line feed."""
    partition_key: str | None = None
    """Its own key, from an aggregated record; None where the Kinesis record's holds."""
    explicit_hash_key: int | None = None
    """Its own explicit hash key, likewise."""


def deaggregate(
    data: bytes,
    *,
    framing: Framing | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
    max_events: int = DEFAULT_MAX_EVENTS,
) -> list[DeaggregatedRecord]:
    """Return the events in the data of one Kinesis record.

    An aggregated record of the KPL is known by its magic and digest, compressed lines by
    the first bytes of gzip or Zstandard, and lines by the line feed at the end. What is
    none of these is one event, as it is. In doubtful cases name the ``framing``: an event
    of several lines that travelled alone, or that its application had compressed, reads
    like ``lines``. Lines that are not compressed cannot begin with the first bytes of gzip
    or Zstandard; no text does.

    :param data: what GetRecords, a Lambda event (after base64) or a file of raw records
        gives.
    :param framing: what the producer is configured with; None recognises it. With
        ``"none"`` nothing is taken apart, with ``"kpl"`` aggregated records alone.
    :param max_bytes: most bytes that compressed lines may have.
    :param max_events: most events that a record may have.
    :raises MalformedRecordError: if the bytes begin like one of the formats and cannot be
        read, or hold more than is allowed.
    :raises ImportError: if they are compressed with Zstandard and its extra is missing.
    """
    if framing == "none":
        return [DeaggregatedRecord(data)]
    try:
        return _parts(data, framing, max_bytes, max_events)
    except MalformedAggregateError as error:
        msg = f"the aggregated record of {len(data)} bytes cannot be read: {error}"
    except ValueError as error:
        msg = f"the record of {len(data)} bytes cannot be read: {error}"
    raise MalformedRecordError(msg)


def _parts(
    data: bytes, framing: Framing | None, max_bytes: int, max_events: int
) -> list[DeaggregatedRecord]:
    if framing != "lines":
        sub_records = aggregated_record.decode(data, most=max_events)
        if sub_records is not None:
            return [
                DeaggregatedRecord(sub.data, sub.partition_key, sub.explicit_hash_key)
                for sub in sub_records
            ]
    if framing == "kpl":
        return [DeaggregatedRecord(data)]
    lines = compression.decompress(data, max_bytes)
    if lines is None:
        lines = data
    if framing is None and not lines.endswith(LINE_END):
        # Every line of ours ends with a line feed: this is somebody's own data.
        return [DeaggregatedRecord(data)]
    if lines.count(LINE_END) > max_events:
        msg = f"it has more than {max_events} lines"
        raise ValueError(msg)
    return [DeaggregatedRecord(line) for line in _split(lines)]


def _split(data: bytes) -> list[bytes]:
    # Not splitlines(), which divides at carriage returns as well.
    *lines, last = data.split(LINE_END)
    return [line + LINE_END for line in lines] + ([last] if last else [])

"""How events share a record: sizes said and sizes on the wire, aggregated and as lines."""

from __future__ import annotations

import zlib
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinesink.compression import compressor
from kinesink.core.aggregated_record import decode, record_header
from kinesink.core.aggregator import Aggregator, Sharing
from kinesink.core.framing import _AddedBytes, framing_of
from kinesink.core.lines import compressed_at_most, compressible, join, line_bytes
from kinesink.core.options import PipelineOptions
from kinesink.core.records import Chunk, UserRecord
from tests.core.entries import keyed, keyless, shard_id

if TYPE_CHECKING:
    from kinesink.core.options import Compression
    from kinesink.core.records import Content

COMPRESSIONS: list[Compression | None] = [None, "gzip"]
KIB = 1024
LINES = st.binary(max_size=300).map(lambda datum: datum.replace(b"\n", b""))


def window(
    compression: Compression | None = None,
    *,
    max_bytes: int = 4096,
    limit: int = 1024 * KIB,
    max_events: int | None = None,
) -> Aggregator:
    """Return a window for lines."""
    options = PipelineOptions(
        framing="lines",
        compression=compression,
        aggregate_max_bytes=max_bytes,
        aggregate_max_events=max_events,
    )
    made = Aggregator(options, compressor(compression) if compression else None)
    made.sharing = Sharing.SHARD
    made.use_record_limit(limit)
    return made


def sent(window: Aggregator) -> list[tuple[bytes, int]]:
    """Return what the entries of a closed window are on the wire, with the size they claimed."""
    entries = window.take(1e9)
    for entry in entries:
        if entry.keyless:
            entry.bind(shard_id(0), 5)
    return [(entry.encode(0).data, entry.size) for entry in entries]


def plain(data: bytes, compression: Compression | None = "gzip") -> bytes:
    """Return the lines in a record."""
    return data if compression is None else zlib.decompress(data, 31)


class TestSizes:
    """What is said of sizes before there are any bytes."""

    @given(st.lists(st.binary(max_size=50)))
    def test_lines_have_the_length_that_is_said(self, data: list[bytes]) -> None:
        """One line feed each, and none twice."""
        assert len(join(data)) == sum(map(line_bytes, data))

    @given(st.integers(0, 20 * 1024 * KIB))
    def test_what_surely_fits_fits(self, limit: int) -> None:
        """The two bounds belong together."""
        assert compressed_at_most(max(0, compressible(limit))) <= max(limit, 128)

    @pytest.mark.parametrize("compression", ["gzip", "zstd"])
    @pytest.mark.parametrize("size", [0, 1, 100, 65_535, 65_536, 1_000_000])
    def test_no_compressor_adds_more_than_is_said(
        self, compression: Compression, size: int
    ) -> None:
        """For bytes that do not shrink at all."""
        if compression == "zstd":
            pytest.importorskip("backports.zstd")
        noise = bytes(zlib.crc32(b"%d" % i) & 0xFF for i in range(min(size, 4096)))
        data = (noise * (size // 4096 + 1))[:size]
        assert len(compressor(compression)(data)) <= compressed_at_most(size)

    def test_what_is_remembered_of_lengths_is_bounded(self) -> None:
        """A process that logs every length pays for counting again, never in memory."""
        added = _AddedBytes()
        for length in range(3 * added._MAX_LENGTHS):
            assert added[length] == len(record_header(0, 0, length)) + length
            assert len(added) <= added._MAX_LENGTHS


class TestLines:
    """Framing ``lines``: a window of events to entries."""

    @pytest.mark.parametrize("compression", COMPRESSIONS)
    @given(
        data=st.lists(st.lists(LINES, max_size=20), max_size=8),
        max_bytes=st.integers(256, 2000),
        max_events=st.none() | st.integers(1, 7),
    )
    def test_every_event_is_one_line_in_order_within_the_limits(
        self,
        compression: Compression | None,
        data: list[list[bytes]],
        max_bytes: int,
        max_events: int | None,
    ) -> None:
        """Whatever the sizes; what no record can hold is returned."""
        lines = window(compression, max_bytes=max_bytes, limit=2048, max_events=max_events)
        most = lines.event_max_bytes
        refused = [lost for chunk in data for lost in lines.add_keyless(keyless(*chunk))]
        fit = [d for chunk in data for d in chunk if line_bytes(d) + 1 <= most]
        assert refused == [d for chunk in data for d in chunk if line_bytes(d) + 1 > most]
        records = sent(lines)
        assert b"".join(plain(record, compression) for record, _ in records) == join(fit)
        for record, size in records:
            assert len(record) + 1 == size <= 2048
            events = plain(record, compression).count(b"\n")
            assert events <= (max_events or len(fit))
            assert events == 1 or compression or len(record) <= max_bytes

    def test_an_event_that_ends_with_a_line_feed_gets_no_second(self) -> None:
        """An empty one is an empty line."""
        lines = window()
        lines.add_keyless(keyless(b"a\n", b"b", b""))
        assert sent(lines) == [(b"a\nb\n\n", 6)]

    def test_one_event_is_a_line_as_well(self) -> None:
        """A reader of lines need not know how busy the application was."""
        lines = window()
        lines.add_keyless(UserRecord(b"a", arrival=0.0))
        assert sent(lines) == [(b"a\n", 3)]

    def test_keyed_events_of_one_shard_share_a_record_and_go_where_the_first_goes(self) -> None:
        """Its partition key is the first one's, and so is its hash key."""
        lines = window()
        lines.add_keyed(keyed(b"a", "k1"), shard_id(0))
        lines.add_keyed(keyed(b"b", "k2"), shard_id(1))
        lines.add_keyed(keyed(b"c", "k3"), shard_id(0))
        first, second = lines.take(1e9)
        assert not first.aggregated
        assert first.shared
        assert first.encode(0).data == b"a\nc\n"
        assert first.encode(0).partition_key == "k1"
        assert first.encode(0).explicit_hash_key == str(first.outer_hash_key)
        assert second.encode(0).explicit_hash_key is None
        assert (first.size, second.size) == (6, 4)

    def test_keyed_events_share_without_regard_to_keys_where_the_stream_places_them(self) -> None:
        """Nobody can tell the shard there, so nothing is gained by parting them."""
        lines = window()
        lines.sharing = Sharing.EVERYTHING
        for key in ("a", "b", "c"):
            lines.add_keyed(keyed(b"x", key), None)
        assert sent(lines) == [(b"x\nx\nx\n", 7)]

    @pytest.mark.parametrize("compression", COMPRESSIONS)
    def test_a_keyed_event_beyond_the_wanted_size_travels_alone(
        self, compression: Compression | None
    ) -> None:
        """Up to the limit of the stream, which counts the key."""
        lines = window(compression, max_bytes=300, limit=2000)
        largest = lines.event_max_bytes - len("kk\n")
        fits, too_large = keyed(b"x" * largest, "kk"), keyed(b"x" * (largest + 1), "kk")
        assert lines.fits(fits.data, len("kk"))
        assert not lines.fits(too_large.data, len("kk"))
        lines.add_keyed(keyed(b"s"), shard_id(0))
        lines.add_keyed(fits, shard_id(0))
        lines.add_keyed(keyed(b"t"), shard_id(0))
        records = [plain(record, compression) for record, _ in sent(lines)]
        assert records == [b"s\n", fits.data + b"\n", b"t\n"]

    def test_a_full_record_of_keyed_events_is_followed_by_another(self) -> None:
        """By size and by number."""
        lines = window(max_bytes=256, max_events=3)
        for i in range(8):
            lines.add_keyed(keyed(b"%d" % i), shard_id(0))
        assert [record for record, _ in sent(lines)] == [b"0\n1\n2\n", b"3\n4\n5\n", b"6\n7\n"]


class TestCompression:
    """How much goes into a compressed record."""

    def test_records_grow_until_they_have_the_wanted_size_once_compressed(self) -> None:
        """The ratio is learned from record to record."""
        lines = window("gzip", max_bytes=8 * KIB)
        event = b'{"level":"INFO","message":"user %d did %d"}\n'
        for i in range(40_000):
            lines.add_keyless(keyless(event % (i % 977, i * 7919 % 100_003)))
        sizes = [len(record) for record, _ in sent(lines)]
        assert sizes[0] < 4 * KIB
        assert all(7 * KIB < size < 9 * KIB for size in sizes[10:-1])
        assert sum(1 for a, b in pairwise(sizes[:8]) if b > a) >= 6

    def test_the_ratio_is_learned_within_events_that_arrive_together(self) -> None:
        """A burst at start makes as few records as events that trickle in."""
        event = b'{"level":"INFO","message":"user %d did %d"}\n'
        lines = window("gzip", max_bytes=8 * KIB)
        lines.add_keyless(keyless(*[event % (i % 977, i * 7919 % 100_003) for i in range(40_000)]))
        sizes = [len(record) for record, _ in sent(lines)]
        assert all(7 * KIB < size < 9 * KIB for size in sizes[10:-1])

    def test_not_more_than_a_quarter_of_a_mebibyte_is_compressed_at_once(self) -> None:
        """However well it shrinks: the event loop waits for it."""
        lines = window("gzip")
        for _ in range(4000):
            lines.add_keyless(keyless(bytes(999) + b"\n"))
        lengths = [len(plain(record)) for record, _ in sent(lines)]
        assert max(lengths) == 262_000

    def test_what_is_taken_apart_again_was_not_compressed_for_that(self) -> None:
        """Dissolving costs nothing."""
        calls: list[bytes] = []

        def compress(data: bytes) -> bytes:
            calls.append(data)
            return data

        lines = Aggregator(PipelineOptions(framing="lines", compression="gzip"), compress)
        lines.sharing = Sharing.SHARD
        lines.use_record_limit(KIB * KIB)
        lines.add_keyless(keyless(b"a"))
        lines.add_keyed(keyed(b"b"), shard_id(0))
        assert [content.each() for content in lines.dissolve()] == [[b"a"], [b"b"]]
        assert calls == []
        assert lines.dissolve() == []


def contents(data: list[bytes]) -> list[Content]:
    """Return the events as contents of both kinds."""
    return [Chunk(data[::2], 0.0), *(UserRecord(d, arrival=0.0) for d in data[1::2])]


@given(st.lists(st.binary(max_size=40_000), max_size=5), st.lists(st.binary(max_size=200)))
def test_an_aggregated_record_has_the_size_that_is_said(
    large: list[bytes], small: list[bytes]
) -> None:
    """At most: the digits of the hash key are known only when a shard is."""
    framing = framing_of(PipelineOptions(), None)
    data = large + small
    size = framing.keyless_base + sum(framing.added_bytes(data))
    parts = [content for content in contents(data) if len(content)]
    if not parts:
        return
    entry = framing.keyless(parts, size)
    entry.bind(shard_id(0), 2**128 - 1)
    wire = entry.encode(3)
    assert len(wire.data) + len(wire.partition_key) == entry.size
    if len(data) > 1:
        assert [sub.data for sub in decode(wire.data) or []] == data[::2] + data[1::2]
    else:
        assert wire.data == data[0]

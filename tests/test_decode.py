"""A Kinesis record to its events: every framing there and back, and bytes of any origin."""

from __future__ import annotations

import gzip
import sys
from hashlib import md5
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kinesink
from kinesink import DeaggregatedRecord, MalformedRecordError, deaggregate
from kinesink.compression import compressor
from kinesink.core.aggregated_record import MAGIC
from kinesink.core.lines import join
from tests.conftest import WITHOUT_EXTRAS
from tests.core.entries import aggregated

if TYPE_CHECKING:
    from kinesink.core.options import Compression, Framing

NEEDS_ZSTD = pytest.mark.skipif(
    WITHOUT_EXTRAS and sys.version_info < (3, 14), reason="needs the extra zstd"
)
COMPRESSIONS = ["gzip", pytest.param("zstd", marks=NEEDS_ZSTD)]
LINES = st.lists(st.binary(max_size=60).map(lambda d: d.replace(b"\n", b"") + b"\n"), min_size=1)


def data_of(record: bytes, framing: Framing | None = None) -> list[bytes]:
    """Return the data of the events in a record."""
    return [event.data for event in deaggregate(record, framing=framing)]


class TestFramings:
    """What kinesink sends."""

    @pytest.mark.parametrize("framing", [None, "kpl"])
    def test_an_aggregated_record_gives_its_records_with_their_keys(
        self, framing: Framing | None
    ) -> None:
        """In order."""
        record = aggregated(("k1", None, b"A"), ("k1", 5, b"BC\n"))
        assert deaggregate(record, framing=framing) == [
            DeaggregatedRecord(b"A", "k1", None),
            DeaggregatedRecord(b"BC\n", "k1", 5),
        ]

    @pytest.mark.parametrize("framing", [None, "lines"])
    def test_lines_keep_their_line_feeds(self, framing: Framing | None) -> None:
        """As events have them that a handler made; keys are the Kinesis record's."""
        assert deaggregate(b"a\n\nb\r\n", framing=framing) == [
            DeaggregatedRecord(b"a\n"),
            DeaggregatedRecord(b"\n"),
            DeaggregatedRecord(b"b\r\n"),
        ]

    @pytest.mark.parametrize("framing", [None, "lines"])
    @pytest.mark.parametrize("compression", COMPRESSIONS)
    @given(lines=LINES)
    def test_compressed_lines_are_known_by_their_first_bytes(
        self, compression: Compression, framing: Framing | None, lines: list[bytes]
    ) -> None:
        """And come out as they went in."""
        assert data_of(compressor(compression)(join(lines)), framing) == lines

    @pytest.mark.parametrize("compression", COMPRESSIONS)
    def test_members_one_behind_the_other_are_one_record(self, compression: Compression) -> None:
        """Both formats say so; somebody may have joined two."""
        compress = compressor(compression)
        assert data_of(compress(b"a\n") + compress(b"b\n")) == [b"a\n", b"b\n"]

    def test_a_single_event_is_what_it_is(self) -> None:
        """Nothing, text or bytes; without a line feed at the end it is no line."""
        for record in (b"", b"text", b"two\nlines", b"\x00\xff", MAGIC):
            assert deaggregate(record) == [DeaggregatedRecord(record)]

    def test_a_framing_that_is_named_settles_doubtful_cases(self) -> None:
        """Text of two lines, compressed bytes and aggregated records of somebody's own."""
        gzipped = gzip.compress(b"a\nb\n")
        both = aggregated(("k", None, b"A"), ("k", None, b"B"))
        assert data_of(b"a\nb\n", "kpl") == [b"a\nb\n"]
        assert data_of(gzipped, "kpl") == [gzipped]
        assert data_of(both, "none") == [both]
        assert data_of(b"a\nb", "lines") == [b"a\n", b"b"]
        assert data_of(b"", "lines") == []

    def test_compressed_bytes_that_hold_no_lines_are_left_alone(self) -> None:
        """An application may log compressed data of its own."""
        for inside in (b"", b"no line"):
            record = gzip.compress(inside)
            assert data_of(record) == [record]


class TestHostileBytes:
    """Case E6: the raw record or a clear error, never a wrong event or a crash."""

    @given(st.binary(max_size=400))
    def test_E6_any_bytes_give_events_or_a_clear_error(self, record: bytes) -> None:  # noqa: N802 - a case's name
        """And everything that comes out was in there."""
        try:
            events = data_of(record)
        except MalformedRecordError:
            return
        assert b"".join(events) == record or record.startswith((MAGIC, b"\x1f\x8b", b"\x28\xb5"))

    @pytest.mark.parametrize(
        "begin", [b"\x1f\x8b\x08", pytest.param(b"\x28\xb5\x2f\xfd", marks=NEEDS_ZSTD)]
    )
    @given(rest=st.binary(max_size=200))
    def test_E6_what_only_begins_compressed_is_an_error(self, begin: bytes, rest: bytes) -> None:  # noqa: N802 - a case's name
        """Random bytes are no member, no frame."""
        record, said = begin + rest, None
        try:
            events = data_of(record)
        except MalformedRecordError as error:
            events, said = [record], str(error)
        assert events == [record]
        assert said is None or f"the record of {len(record)} bytes cannot be read" in said

    @pytest.mark.parametrize("compression", COMPRESSIONS)
    @given(cut=st.integers(4, 50), at=st.integers(4, 60), to=st.integers(0, 255))
    def test_E6_truncated_or_damaged_lines_are_never_wrong_events(  # noqa: N802 - a case's name
        self, compression: Compression, cut: int, at: int, to: int
    ) -> None:
        """The checksum of gzip and the structure of Zstandard see to it."""
        lines = [b"%d: something happened\n" % i for i in range(9)]
        whole = compressor(compression)(b"".join(lines))
        with pytest.raises(MalformedRecordError, match="cannot be read"):
            deaggregate(whole[: min(cut, len(whole) - 1)])
        if compression == "gzip":
            damaged = bytearray(whole)
            damaged[10 + at % (len(whole) - 10)] = to
            try:
                events = data_of(bytes(damaged))
            except MalformedRecordError:
                return
            assert events in (lines, [bytes(damaged)])

    @pytest.mark.parametrize("compression", COMPRESSIONS)
    def test_E6_a_bomb_is_refused_before_it_goes_off(self, compression: Compression) -> None:  # noqa: N802 - a case's name
        """What is allowed is what is allocated."""
        bomb = compressor(compression)(bytes(20_000_000) + b"\n")
        assert len(bomb) < 40_000
        with pytest.raises(MalformedRecordError, match="more than 1000000 bytes come out of"):
            deaggregate(bomb, max_bytes=1_000_000)
        with pytest.raises(MalformedRecordError, match="more than 20000000 bytes"):
            deaggregate(bomb, max_bytes=20_000_000)
        with pytest.raises(MalformedRecordError, match="more than 16777216 bytes"):
            deaggregate(bomb)
        (event,) = deaggregate(bomb, max_bytes=20_000_001)
        assert len(event.data) == 20_000_001

    def test_E6_more_events_than_are_allowed_are_refused(self) -> None:  # noqa: N802 - a case's name
        """Each takes memory beside its data, and may have none."""
        assert len(deaggregate(b"\n" * 10, max_events=10)) == 10
        with pytest.raises(MalformedRecordError, match="more than 10 lines"):
            deaggregate(gzip.compress(b"\n" * 11), max_events=10)
        records = aggregated(*[("k", None, b"")] * 11)
        assert len(deaggregate(records, max_events=11)) == 11
        with pytest.raises(MalformedRecordError, match="more than 10 records"):
            deaggregate(records, max_events=10)

    @pytest.mark.parametrize("compression", COMPRESSIONS)
    def test_E6_pieces_without_end_are_refused(self, compression: Compression) -> None:  # noqa: N802 - a case's name
        """Each of them costs a copy of the rest."""
        pieces = compressor(compression)(b"") * 1023 + compressor(compression)(b"a\n")
        assert data_of(pieces) == [b"a\n"]
        with pytest.raises(MalformedRecordError, match="more than 1024 compressed pieces"):
            deaggregate(pieces + pieces)

    @NEEDS_ZSTD
    def test_E6_a_frame_that_claims_a_huge_window_is_refused(self) -> None:  # noqa: N802 - a case's name
        """It would get the memory before its first byte."""
        frame = b"\x28\xb5\x2f\xfd" + b"\x00" + bytes([(37 - 10) << 3]) + b"\x01\x00\x00"
        with pytest.raises(MalformedRecordError, match="cannot be read"):
            deaggregate(frame)

    def test_E6_an_aggregated_record_that_lies_is_an_error(self) -> None:  # noqa: N802 - a case's name
        """The digest is right and an index points outside its table."""
        body = bytes.fromhex("0a026b31 1a05 0807 1a0141")
        record = MAGIC + body + md5(body, usedforsecurity=False).digest()
        with pytest.raises(MalformedRecordError, match="the aggregated record of 31 bytes"):
            deaggregate(record)
        assert data_of(record, "none") == [record]

    def test_the_error_is_a_value_error_of_kinesink(self) -> None:
        """Callers catch what they know."""
        with pytest.raises(ValueError, match="broken") as caught:
            deaggregate(gzip.compress(b"a\n")[:-8] + b"oopsoops")
        assert isinstance(caught.value, kinesink.KinesinkError)

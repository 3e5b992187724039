"""The consumer's check: what is missing, what was told as lost, and what came twice."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinesink import KinesisHandler, deaggregate
from kinesink.core.records import DropReason
from kinesink.event.losses import loss_lines
from kinesink.event.options import EventOptions
from kinesink.event.sequence import Sequence
from kinesink.shell.losses import Loss
from kinesink.testing import check_completeness, deduplicated
from tests.adapters.recording_sink import RecordingSink
from tests.shell.support import make_fake
from tests.testing.overload import overload, small_sink, tell_soon

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

    from kinesink.event.options import SchemaName
    from kinesink.testing import Completeness, Writer

SCHEMAS: list[SchemaName] = ["default", "ecs", "otel", "datadog", "structlog"]

BOOT_ID = "0123456789abcdef"
MOST = 2**63 - 1


def written(count: int, **options: Any) -> list[bytes]:  # noqa: ANN401 - as KinesisHandler takes them
    """Return the lines of so many events, as a door writes them."""
    sink = RecordingSink()
    logger = logging.Logger("app.orders")  # noqa: LOG001 - out of reach
    logger.addHandler(KinesisHandler(sink=sink, **options))
    for number in range(count):
        logger.info("order %d accepted", number)
    return sink.lines


def loss_line(sequence: Sequence, loss: Loss, **options: Any) -> bytes:  # noqa: ANN401 - as EventOptions takes them
    """Return a loss record."""
    (line,) = loss_lines(EventOptions(**options), sequence, loss)
    return line


def line(number: object, boot_id: object = BOOT_ID, **more: object) -> bytes:
    """Return a line that claims a number."""
    return json.dumps({"boot_id": boot_id, "seq": number, **more}).encode()


def otlp(attributes: object) -> bytes:
    """Return a line in the shape of the schema ``otel``."""
    records = [{"attributes": attributes}]
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).encode()


def lines(*numbers: int) -> list[bytes]:
    """Return lines with these numbers."""
    return [line(number) for number in numbers]


def only_writer(report: Completeness) -> Writer:
    """Return what a report says of the one writer in it."""
    (writer,) = report.writers
    return writer


def numbers_in(ranges: Iterable[range]) -> list[int]:
    """Return the numbers of some ranges."""
    return [number for each in ranges for number in each]


LOSS = Loss({"shed": 3, "queue_full": 1}, {"DEBUG": 2, "INFO": 1}, 1767323045.5, 1767323046.25)


class TestNumbers:
    """Each writer's numbers, from 1 on."""

    @pytest.mark.parametrize("schema", SCHEMAS)
    def test_everything_is_there(self, schema: SchemaName) -> None:
        """In any schema, as a door writes it."""
        writer = only_writer(check_completeness(written(20, schema=schema)))
        assert (writer.first, writer.last, writer.events, writer.duplicates) == (1, 20, 20, 0)
        assert (writer.missing, writer.cut, writer.verdict) == ((), (), "complete")

    @pytest.mark.parametrize("schema", SCHEMAS)
    def test_each_missing_number_is_named(self, schema: SchemaName) -> None:
        """As ranges, those before the first one that was seen among them."""
        left = [event for number, event in enumerate(written(20, schema=schema), 1)
                if number not in {1, 2, 7, 11, 12, 13, 20}]  # fmt: skip
        writer = only_writer(check_completeness(left))
        assert writer.missing == (range(1, 3), range(7, 8), range(11, 14))
        # What was written after the last one, nobody can know.
        assert (writer.first, writer.last, writer.events, writer.missing_events) == (3, 19, 13, 6)
        assert writer.verdict == "incomplete"

    def test_who_reads_from_the_middle_misses_nothing_before(self) -> None:
        """If it says so."""
        report = check_completeness(lines(7, 5, 8), from_the_start=False)
        assert only_writer(report).missing == (range(6, 7),)
        assert only_writer(report).events == 3

    @given(
        schema=st.sampled_from(SCHEMAS),
        counts=st.lists(st.integers(0, 3), min_size=1, max_size=60),
        rng=st.randoms(use_true_random=False),
    )
    def test_whatever_is_lost_or_doubled_is_found_exactly(
        self, schema: SchemaName, counts: list[int], rng: random.Random
    ) -> None:
        """Each event arrives so many times, in any order."""
        events = written(len(counts), schema=schema)
        arrived = [event for event, count in zip(events, counts, strict=True) for _ in range(count)]
        rng.shuffle(arrived)
        report = check_completeness(arrived)
        seen = [number for number, count in enumerate(counts, 1) if count]
        last = max(seen, default=0)
        assert report.events == len(seen)
        assert report.duplicates == len(arrived) - len(seen)
        missing = numbers_in(each for writer in report.writers for each in writer.missing)
        assert missing == sorted({*range(1, last)} - {*seen})
        assert report.verdict == ("incomplete" if missing else "complete")
        once = list(deduplicated(arrived))
        assert sorted(once) == sorted(set(arrived))
        # In the order in which they came.
        assert once == list(dict.fromkeys(arrived))

    def test_writers_are_told_apart(self) -> None:
        """Two sinks, or a parent and its child, number for themselves."""
        first, second = written(3), written(4)
        report = check_completeness([*second[1:], *first])
        assert [writer.missing for writer in report.writers] == [(range(1, 2),), ()]
        assert (report.events, report.missing_events) == (6, 1)

    def test_numbers_without_end_take_no_room(self) -> None:
        """A line that claims to be the last there can ever be makes one range."""
        writer = only_writer(check_completeness(lines(1, MOST)))
        assert writer.missing == (range(2, MOST),)
        assert writer.missing_events == MOST - 2

    def test_ranges_grow_together(self) -> None:
        """Filled from both sides, in the middle, and again."""
        report = check_completeness(lines(1, 9, 2, 8, 5, 4, 6, 3, 7, 5))
        writer = only_writer(report)
        assert (writer.missing, writer.events, writer.duplicates) == ((), 9, 1)

    def test_renamed_fields_are_found(self) -> None:
        """By the names that the option ``rename`` has given them."""
        rename = {"seq": "n", "boot_id": "process", "attributes": "more"}
        events = written(4, rename=rename)
        assert check_completeness(events).unnumbered == 4
        report = check_completeness(events[1:], rename=rename)
        assert only_writer(report).missing == (range(1, 2),)
        assert len(list(deduplicated(events * 2, rename=rename))) == 4

    def test_events_may_be_read_already(self) -> None:
        """As dictionaries, or as text."""
        events = written(3)
        assert check_completeness(map(json.loads, events)).events == 3
        assert check_completeness(event.decode() for event in events).events == 3
        assert list(deduplicated(map(json.loads, events * 2))) == [*map(json.loads, events)]


class TestParts:
    """Events that were split."""

    @pytest.mark.parametrize("schema", SCHEMAS)
    def test_an_event_is_whole_when_all_its_parts_are_there(self, schema: SchemaName) -> None:
        """And each part counts once, however often it came."""
        parts = self.parts(schema)
        report = check_completeness([*parts, *parts[:2]])
        writer = only_writer(report)
        assert (writer.events, writer.duplicates, writer.verdict) == (1, 2, "complete")
        assert list(deduplicated([*parts, *parts])) == parts

    @pytest.mark.parametrize("schema", SCHEMAS)
    def test_an_event_that_lacks_a_part_is_named(self, schema: SchemaName) -> None:
        """It counts as missing, though its number was seen."""
        parts = self.parts(schema)
        writer = only_writer(check_completeness(parts[:1] + parts[2:]))
        assert (writer.cut, writer.missing, writer.missing_events) == ((1,), (), 1)
        assert writer.verdict == "incomplete"
        assert "parts of 1" in str(writer)

    def test_a_part_that_contradicts_the_others_changes_nothing(self) -> None:
        """Nobody of ours writes such a one."""
        parts = [
            line(1, chunk_id="x", chunk=1, chunks=2),
            line(1, chunk_id="x", chunk=3, chunks=3),
        ]
        writer = only_writer(check_completeness(parts))
        assert (writer.cut, writer.duplicates) == ((1,), 1)
        # One that is whole after all is.
        writer = only_writer(check_completeness([*parts, line(1), parts[0]]))
        assert (writer.cut, writer.duplicates, writer.events) == ((), 2, 1)

    @staticmethod
    def parts(schema: SchemaName) -> list[bytes]:
        """Return the parts of one event."""
        sink = RecordingSink()
        logger = logging.Logger("app.orders")  # noqa: LOG001 - out of reach
        handler = KinesisHandler(sink=sink, schema=schema, oversize="split", max_event_bytes="4KiB")
        logger.addHandler(handler)
        logger.info("x" * 10_000)
        assert len(sink.lines) > 2
        return sink.lines


class TestLosses:
    """What is missing, and what was told of it."""

    @pytest.mark.parametrize("schema", SCHEMAS)
    @pytest.mark.parametrize("extra", [None, "nested", "flat"])
    def test_what_was_told_is_accounted_for(self, schema: SchemaName, extra: str | None) -> None:
        """By reason and level, with its times, wherever the schema puts attributes."""
        if (schema, extra) == ("otel", "flat"):
            extra = None
        sequence = Sequence()
        for _ in range(4):
            sequence.next()
        record = loss_line(sequence, LOSS, schema=schema, extra=extra)
        writer = only_writer(check_completeness([record, record]))
        assert (writer.missing, writer.events, writer.duplicates) == ((range(1, 5),), 1, 1)
        assert (writer.lost.events, writer.verdict) == (4, "accounted")
        assert writer.lost.reasons == {"shed": 3, "queue_full": 1}
        assert writer.lost.levels == {"DEBUG": 2, "INFO": 1}
        assert writer.lost.first == datetime(2026, 1, 2, 3, 4, 5, 500_000, timezone.utc)
        assert writer.lost.last == datetime(2026, 1, 2, 3, 4, 6, 250_000, timezone.utc)

    def test_more_missing_than_told_is_not_accounted_for(self) -> None:
        """One event more is one too many."""
        sequence = Sequence()
        for _ in range(5):
            sequence.next()
        record = loss_line(sequence, LOSS)
        assert check_completeness([record]).verdict == "incomplete"

    def test_losses_add_up(self) -> None:
        """Each record tells of its own, and the times are those of the first and the last."""
        sequence = Sequence()
        for _ in range(8):
            sequence.next()
        later = LOSS._replace(first=1767323100.0, last=1767323101.0)
        report = check_completeness([loss_line(sequence, loss) for loss in (later, LOSS)])
        assert (report.missing_events, report.lost.events) == (8, 8)
        assert report.verdict == "accounted"
        lost = only_writer(report).lost
        assert lost.first == datetime.fromtimestamp(LOSS.first, timezone.utc)
        assert lost.last == datetime.fromtimestamp(later.last, timezone.utc)

    def test_another_writer_s_losses_account_for_nothing(self) -> None:
        """The whole is as good as its worst part."""
        report = check_completeness([loss_line(Sequence(), LOSS), *lines(2), *lines(4)])
        assert [writer.verdict for writer in report.writers] == ["complete", "incomplete"]
        assert (report.verdict, report.lost.events) == ("incomplete", 4)

    def test_a_loss_record_that_was_split_tells_its_loss_once(self) -> None:
        """Each part of it says all of it."""
        options = EventOptions(
            oversize="split",
            max_event_bytes=4096,
            schema=lambda fields: {**fields, "t": "x" * 9000},
        )
        parts = loss_lines(options, Sequence(), LOSS)
        assert len(parts) > 2
        report = check_completeness(parts)
        assert (report.events, report.lost.events, report.verdict) == (1, 4, "complete")

    @pytest.mark.parametrize(
        "changed",
        [
            {"lost_events": 5},
            {"lost_events": True},
            {"dropped": None},
            {"dropped": {"shed": -4}},
            {"dropped": {"shed": 4.0}},
            {"dropped": {f"reason {number}": 1 for number in range(65)}, "lost_events": 65},
            {"levels": [1]},
            {"levels": {"DEBUG": 2**70}},
            {"from": 0},
            {"from": "yesterday"},
            {"to": None},
        ],
    )
    def test_what_is_no_loss_record_tells_of_no_loss(self, changed: dict[str, Any]) -> None:
        """An attribute of that name proves nothing."""
        event = json.loads(loss_line(Sequence(), LOSS))
        event["attributes"] |= changed
        assert only_writer(check_completeness([event])).lost.events == 0


class TestForeignLines:
    """Whatever else is in the stream, and whoever means harm."""

    @pytest.mark.parametrize(
        "foreign",
        [
            b"", b"no JSON\n", b"{", b'{"seq": 1', b"\xff\xfe", b"[1]", b"17", b'"text"', b"null",
            b"[" * 5000, "\ud800", 17, None, object(), [], b"{}", b'{"seq": 1}',
            b'{"boot_id": "0123456789abcdef"}',
            line(0), line(-1), b'{"boot_id": "0123456789abcdef", "seq": true}',
            line(1.0), line("1"), line(None), line([1]), line(2**63),
            line(2**64), line(10**400), {"boot_id": BOOT_ID, "seq": 2**63},
            line(1, "0123456789ABCDEF"), line(1, "0123456789abcdef0"), line(1, "short"), line(1, 7),
            line(1, None), line(1, [BOOT_ID]),
            line(1, chunk_id="x"), line(1, chunk_id="x", chunk=0, chunks=2),
            line(1, chunk_id="x", chunk=3, chunks=2), line(1, chunk_id="x", chunk=1, chunks=65),
            line(1, chunk_id="x", chunk=1, chunks=2**60),
            line(1, chunk_id="x", chunk="1", chunks=2),
            b'{"resourceLogs": 1}', b'{"resourceLogs": []}', b'{"resourceLogs": [{}]}',
            otlp(1), otlp([1]), otlp({"key": 1}), otlp([{"key": [], "value": {}}]),
            otlp([{"key": "a", "value": 1}]), otlp([{"key": "kinesink.seq", "value": {}}]),
        ],
    )  # fmt: skip
    def test_a_line_without_a_number_is_counted_and_passed_on(self, foreign: Any) -> None:  # noqa: ANN401 - of any type
        """It is nobody's, and nothing tells it from another one."""
        given = [foreign, *lines(1), foreign]
        report = check_completeness(given)
        assert (report.unnumbered, report.events, report.verdict) == (2, 1, "complete")
        assert list(deduplicated(given)) == given

    @pytest.mark.parametrize(
        ("value", "number"),
        [
            ({"intValue": "7"}, 7),
            # Some writers of JSON write them as numbers.
            ({"intValue": 7}, 7),
            ({"intValue": "-7"}, None),
            ({"intValue": "9" * 20}, None),
            ({"stringValue": "7"}, None),
            ({"kvlistValue": {"values": []}}, None),
            ({"kvlistValue": {}}, None),
        ],
    )
    def test_numbers_of_otlp_are_whole_numbers(self, value: object, number: int | None) -> None:
        """As text or not."""
        (event,) = map(json.loads, written(1, schema="otel"))
        record = event["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
        (of_seq,) = [pair for pair in record["attributes"] if pair["key"] == "kinesink.seq"]
        of_seq["value"] = value
        assert [writer.last for writer in check_completeness([event]).writers] == (
            [] if number is None else [number]
        )

    def test_an_event_without_numbers_is_one_of_them(self) -> None:
        """Whoever switches them off has nothing to check."""
        report = check_completeness(written(3, sequence=False))
        assert (report.unnumbered, report.events, report.verdict) == (3, 0, "complete")

    @given(st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
            st.sampled_from(["boot_id", "seq", "chunk", "chunks", "chunk_id", "attributes",
                             "lost_events", "dropped", "levels", "from", "to", "resourceLogs",
                             "scopeLogs", "logRecords", "key", "value", "intValue"]),
            inner, max_size=4,
        ),
    ))  # fmt: skip
    def test_nothing_raises(self, value: Any) -> None:  # noqa: ANN401 - whatever JSON holds
        """Whatever JSON holds."""
        for given_line in (value, json.dumps(value).encode()):
            report = check_completeness([given_line])
            assert report.unnumbered + report.events == 1


class TestInWords:
    """``str(report)`` is what an assertion shows."""

    def test_everything_is_there(self) -> None:
        """One sentence."""
        assert str(check_completeness([*lines(1, 2, 2), b"foreign"])) == (
            "complete: 2 events of 1 writer, 1 came again, 0 missing, 0 told as lost, "
            "1 without a number."
        )

    def test_nothing_is_there(self) -> None:
        """No writer, no event."""
        assert str(check_completeness([])).startswith("complete: 0 events of 0 writers")

    def test_what_is_missing_and_of_whom(self) -> None:
        """The first places, and how many more there are."""
        report = check_completeness(lines(*range(3, 20, 2)))
        assert str(report).endswith(
            f"{BOOT_ID} is incomplete: 9 events up to number 19, 10 missing "
            "(1 to 2, 4, 6, 8, 10, and 4 places more), 0 told as lost."
        )

    def test_the_worst_writers_come_first(self) -> None:
        """Some are named; how many there are besides is told."""
        sequence = Sequence()
        sequence.next()
        accounted = loss_line(sequence, LOSS)
        bad = [line(number + 2, f"{number:016x}") for number in range(6)]
        told = str(check_completeness([accounted, *bad]))
        assert told.startswith("incomplete: 7 events of 7 writers")
        assert told.index("0000000000000005 is") < told.index("0000000000000004 is")
        assert sequence.boot_id not in told
        assert told.endswith("2 writers more lack something.")

    def test_losses_are_told_with_reasons_levels_and_times(self) -> None:
        """What an operator needs first."""
        sequence = Sequence()
        sequence.next()
        assert (
            "4 told as lost (queue_full 1, shed 3; DEBUG 2, INFO 1; "
            "from 2026-01-02 03:04:05.500000+00:00 to 2026-01-02 03:04:06.250000+00:00)"
        ) in str(check_completeness([loss_line(sequence, LOSS)]))

    def test_losses_of_unknown_level_are_told_without(self) -> None:
        """Ready-made bytes have none."""
        loss = LOSS._replace(levels={})
        assert "(queue_full 1, shed 3; from " in str(
            check_completeness([loss_line(Sequence(), loss)])
        )


@pytest.fixture
def signed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests be signed, and losses be told soon."""
    tell_soon(monkeypatch)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.mark.usefixtures("signed")
class TestEndToEnd:
    """A handler under overload, and its stream."""

    @pytest.mark.parametrize("schema", SCHEMAS)
    def test_after_the_pressure_each_event_is_accounted_for(
        self, schema: SchemaName, anyio_backend: str
    ) -> None:
        """The loss record arrives, and tells exactly what is missing."""
        fake = make_fake()
        sink = small_sink(fake, backend=anyio_backend)
        logger = logging.Logger("app.orders")  # noqa: LOG001 - out of reach
        logger.addHandler(KinesisHandler(sink=sink, schema=schema))
        report = overload(fake, sink, lambda number: logger.info("order %d", number))
        assert report.verdict == "accounted"
        assert report.missing_events == report.lost.events > 0
        assert report.lost.reasons == {
            reason.value: events for reason, events in sink.statistics().dropped.items()
        }
        assert sink.close()

    @pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "block"])
    def test_whatever_is_given_up_is_accounted_for(self, overflow: str, anyio_backend: str) -> None:
        """Each way to give up events takes their numbers along."""
        fake = make_fake()
        sink = small_sink(fake, backend=anyio_backend, overflow=overflow, block_timeout=0.0001)
        logger = logging.Logger("app.orders")  # noqa: LOG001 - out of reach
        logger.addHandler(KinesisHandler(sink=sink))
        report = overload(fake, sink, lambda number: logger.info("order %d", number))
        assert report.verdict == "accounted"
        assert report.missing_events == report.lost.events > 0
        assert sink.close()

    def test_events_of_the_application_s_formatter_count_as_lost_alone(
        self, anyio_backend: str
    ) -> None:
        """They have no number, and neither have those of them that arrive."""
        fake = make_fake()
        sink = small_sink(fake, backend=anyio_backend)
        plain = logging.Logger("plain")  # noqa: LOG001 - out of reach
        handler = KinesisHandler(sink=sink)
        handler.setFormatter(logging.Formatter("%(message)s " + 200 * "x"))
        plain.addHandler(handler)
        for number in range(400):
            plain.info("plain %d", number)
        fake.faults.clear()
        fake.release()
        assert sink.close()
        report = check_completeness(record.data for record in fake.user_records("app"))
        lost = sink.statistics().lost
        assert lost > 0
        assert report.verdict in {"complete", "accounted"}
        assert (report.lost.events, report.unnumbered) == (lost, 400 - lost)

    def test_what_is_dropped_for_its_size_is_accounted_for(self, anyio_backend: str) -> None:
        """It has taken a number before its size was known."""
        fake = make_fake()
        sink = small_sink(fake, backend=anyio_backend)
        fake.faults.clear()
        logger = logging.Logger("app.orders")  # noqa: LOG001 - out of reach
        handler = KinesisHandler(sink=sink, oversize="drop", max_event_bytes="2KiB")
        logger.addHandler(handler)
        for size in (1, 5000, 1):
            logger.info("x" * size)
        assert sink.close()
        report = check_completeness(record.data for record in fake.user_records("app"))
        assert only_writer(report).missing == (range(2, 3),)
        assert report.lost.reasons == {DropReason.TOO_LARGE.value: 1}
        assert report.verdict == "accounted"

    def test_records_as_a_consumer_gets_them(self, anyio_backend: str) -> None:
        """Taken apart by :func:`kinesink.deaggregate`, they are lines."""
        fake = make_fake()
        sink = small_sink(fake, backend=anyio_backend)
        fake.faults.clear()
        logger = logging.Logger("app.orders")  # noqa: LOG001 - out of reach
        logger.addHandler(KinesisHandler(sink=sink))
        for number in range(50):
            logger.info("order %d", number)
        assert sink.close()
        stored = [record.data for record in fake.records("app")]
        report = check_completeness(event.data for data in stored for event in deaggregate(data))
        assert (report.events, report.verdict, report.unnumbered) == (50, "complete", 0)

"""The exporter: what it reports is what Kinesis has acknowledged."""

from __future__ import annotations

import time
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    LogRecordExporter,
    LogRecordExportResult,
    SimpleLogRecordProcessor,
)

from kinesink import KinesisLogRecordExporter
from kinesink.adapters import opentelemetry as door_module
from kinesink.core.records import DropReason
from kinesink.errors import ConfigurationError
from kinesink.shell import origin
from kinesink.testing import AccessDenied, Hang, RequestError, ThrottleEntries
from tests.adapters.otel.support import (
    adds_up,
    events_in,
    messages_in,
    provider_of,
    readable,
)
from tests.adapters.recording_sink import RecordingSink
from tests.shell.support import PATIENCE, make_sink, wait_until

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord
    from typing_extensions import Unpack

    from kinesink import Sink
    from kinesink.adapters.otlp import Encoding
    from kinesink.adapters.parameters import Parameters
    from kinesink.testing import FakeKinesis
    from kinesink.testing.faults import Fault
    from tests.adapters.conftest import Registry

SUCCESS, FAILURE = LogRecordExportResult.SUCCESS, LogRecordExportResult.FAILURE

ENCODINGS = ["json", "otlp_proto", "otlp_json"]


def batch_of(count: int) -> list[ReadableLogRecord]:
    """Return so many records."""
    return [readable(f"event {number}") for number in range(count)]


class TestExport:
    """SUCCESS means delivered."""

    @pytest.mark.parametrize("encoding", ENCODINGS)
    def test_success_is_reported_when_it_has_arrived(
        self, fake: FakeKinesis, encoding: Encoding
    ) -> None:
        """At once, however long events linger otherwise."""
        sink = make_sink(fake, linger=30, time_to_live=60)
        exporter = KinesisLogRecordExporter(encoding=encoding, sink=sink)
        assert exporter.export(batch_of(10)) is SUCCESS
        assert len(fake.user_records("app")) == (10 if encoding == "json" else 1)
        assert exporter.statistics().pending == 0
        sink.close()

    def test_the_events_are_those_of_the_processor(self, fake: FakeKinesis, sink: Sink) -> None:
        """One schema at every door."""
        KinesisLogRecordExporter(sink=sink).export([readable("hello", event_name="greeting")])
        (event,) = events_in(fake)
        assert (event["message"], event["event_name"]) == ("hello", "greeting")
        assert (event["service"], event["logger"], event["level"]) == ("shop", "app.orders", "INFO")

    @pytest.mark.parametrize(
        "fault",
        [
            AccessDenied(operation="PutRecords"),
            Hang(operation="PutRecords"),
            RequestError("InternalFailure", status=500, operation="PutRecords"),
            ThrottleEntries(),
        ],
        ids=lambda fault: type(fault).__name__,
    )
    def test_failure_is_reported_in_time_and_nothing_is_lost(
        self, fake: FakeKinesis, sink: Sink, fault: Fault
    ) -> None:
        """What could not be sent is tried again until it can."""
        fake.script(fault)
        exporter = KinesisLogRecordExporter(sink=sink, export_timeout="300ms")
        began = time.monotonic()
        assert exporter.export(batch_of(3)) is FAILURE
        assert time.monotonic() - began < PATIENCE / 2
        assert sink.statistics().pending == 3
        fake.faults.clear()
        fake.release()
        assert exporter.force_flush(PATIENCE * 1000)
        assert messages_in(fake) == ["event 0", "event 1", "event 2"]
        assert adds_up(sink)

    def test_what_is_too_large_for_the_stream_is_a_failure(
        self, fake: FakeKinesis, sink: Sink
    ) -> None:
        """One record of the batch is dropped, the others arrive."""
        exporter = KinesisLogRecordExporter(sink=sink, max_event_bytes="4MiB")
        batch = [readable("one"), readable("x" * (2 << 20)), readable("two")]
        assert exporter.export(batch) is FAILURE
        assert messages_in(fake) == ["one", "two"]
        assert sink.statistics().dropped == {DropReason.TOO_LARGE: 1}

    def test_what_the_options_drop_is_a_failure(self, fake: FakeKinesis, sink: Sink) -> None:
        """It is counted; the others arrive."""
        exporter = KinesisLogRecordExporter(sink=sink, oversize="drop", max_event_bytes=2048)
        assert exporter.export([readable("x" * 5000), readable("one")]) is FAILURE
        assert exporter.force_flush(PATIENCE * 1000)
        assert messages_in(fake) == ["one"]
        assert sink.statistics().dropped == {DropReason.TOO_LARGE: 1}

    def test_an_event_in_several_lines(self) -> None:
        """Split, each line is handed over with the key of its record."""
        sink = RecordingSink()
        exporter = KinesisLogRecordExporter(
            sink=sink, oversize="split", max_event_bytes=2048, partition_key="logger"
        )
        assert exporter.export([readable("x" * 5000)]) is SUCCESS
        assert len(sink.lines) > 2
        assert set(sink.partition_keys) == {"app.orders"}

    @pytest.mark.parametrize("encoding", ["json", "otlp_json"])
    def test_a_full_sink_is_a_failure(self, fake: FakeKinesis, encoding: Encoding) -> None:
        """What it refuses is counted, and not waited for."""
        fake.script(Hang())
        sink = make_sink(fake, max_pending_bytes="64KiB")
        exporter = KinesisLogRecordExporter(
            sink=sink, encoding=encoding, max_event_bytes=2048, export_timeout=PATIENCE
        )
        batch = [readable(f"{number} {'x' * 2000}") for number in range(100)]
        assert exporter.export(batch) is FAILURE
        refused = DropReason.SHED if encoding == "json" else DropReason.QUEUE_FULL
        assert sink.statistics().dropped.keys() == {refused}
        assert adds_up(sink)
        fake.faults.clear()
        fake.release()
        sink.close()

    def test_an_empty_batch(self, sink: Sink) -> None:
        """There is nothing that could fail."""
        assert KinesisLogRecordExporter(sink=sink).export([]) is SUCCESS

    def test_without_acknowledgement_nobody_waits(self, fake: FakeKinesis, sink: Sink) -> None:
        """SUCCESS says that the sink has taken it."""
        fake.script(Hang())
        exporter = KinesisLogRecordExporter(sink=sink, acknowledge=False, export_timeout=PATIENCE)
        began = time.monotonic()
        assert exporter.export(batch_of(1)) is SUCCESS
        assert time.monotonic() - began < PATIENCE / 2
        assert sink.statistics().pending == 1

    def test_without_acknowledgement_a_full_sink_is_a_failure(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It has not taken all."""
        sink = RecordingSink()
        monkeypatch.setattr(sink, "emit", lambda *_, **__: False)
        exporter = KinesisLogRecordExporter(sink=sink, acknowledge=False)
        assert exporter.export(batch_of(1)) is FAILURE

    def test_on_behalf_of_a_producer_it_does_not_wait(self, fake: FakeKinesis, sink: Sink) -> None:
        """Waiting for itself could never end; the records are the application's all the same."""
        exporter = KinesisLogRecordExporter(sink=sink, export_timeout=PATIENCE)

        def export() -> LogRecordExportResult:
            origin.OWN.set(True)
            return exporter.export(batch_of(2))

        assert copy_context().run(export) is FAILURE
        assert exporter.force_flush(PATIENCE * 1000)
        assert messages_in(fake) == ["event 0", "event 1"]

    @given(
        bodies=st.lists(
            st.none() | st.integers() | st.text(st.characters()) | st.binary() | st.builds(object)
        )
    )
    @pytest.mark.parametrize("encoding", ENCODINGS)
    def test_whatever_a_batch_holds_it_is_taken(
        self, encoding: Encoding, bodies: list[object]
    ) -> None:
        """Never an exception, for the SDK would log it."""
        sink = RecordingSink()
        exporter = KinesisLogRecordExporter(sink=sink, encoding=encoding, acknowledge=False)
        assert exporter.export([readable(body) for body in bodies]) is SUCCESS
        assert len(sink.lines) == (len(bodies) if encoding == "json" else bool(bodies))


class TestBatchProcessor:
    """In OpenTelemetry's own pipeline."""

    def test_a_flush_of_the_provider_is_over_when_all_has_arrived(
        self, fake: FakeKinesis, sink: Sink
    ) -> None:
        """So that it can be relied on."""
        provider = provider_of(BatchLogRecordProcessor(KinesisLogRecordExporter(sink=sink)))
        logger = provider.get_logger("app")
        for number in range(700):
            logger.emit(body=f"event {number:03}")
        assert provider.force_flush()
        assert messages_in(fake) == [f"event {number:03}" for number in range(700)]
        provider.shutdown()

    def test_shutdown_delivers_what_is_queued(self, fake: FakeKinesis, sink: Sink) -> None:
        """And later records are not taken."""
        exporter = KinesisLogRecordExporter(sink=sink)
        provider = provider_of(BatchLogRecordProcessor(exporter, schedule_delay_millis=60_000))
        provider.get_logger("app").emit(body="before")
        provider.shutdown()
        assert messages_in(fake) == ["before"]
        assert exporter.export(batch_of(2)) is FAILURE
        wait_until(lambda: sink.statistics().dropped == {DropReason.SHUTDOWN: 2})
        assert adds_up(sink)

    def test_shutdown_takes_no_longer_than_it_may(self, fake: FakeKinesis, sink: Sink) -> None:
        """A service that hangs does not hold up the end."""
        fake.script(Hang(operation="PutRecords"))
        exporter = KinesisLogRecordExporter(sink=sink, acknowledge=False)
        exporter.export(batch_of(1))
        began = time.monotonic()
        exporter.shutdown(timeout_millis=200)
        assert 0.15 < time.monotonic() - began < PATIENCE / 2
        assert sink.statistics().pending == 1

    def test_shutdown_gives_the_sink_back(self, registry: Registry) -> None:
        """Once, however often it is called."""
        exporter = KinesisLogRecordExporter("app", acknowledge=False)
        exporter.export(batch_of(1))
        assert len(registry.held) == 1
        exporter.shutdown()
        exporter.shutdown()
        assert registry.held == []
        assert registry.sink.flushes == [30.0, 30.0]


class TestSimpleProcessor:
    """In the middle of a log call."""

    def test_a_log_call_never_waits(self, fake: FakeKinesis, sink: Sink) -> None:
        """Not even for a service that hangs."""
        fake.script(Hang())
        exporter = KinesisLogRecordExporter(sink=sink, export_timeout=PATIENCE)
        logger = provider_of(SimpleLogRecordProcessor(exporter)).get_logger("app")
        began = time.monotonic()
        for number in range(10):
            logger.emit(body=f"event {number}")
        assert time.monotonic() - began < PATIENCE / 2
        assert sink.statistics().pending == 10

    async def test_nor_on_an_event_loop(self, fake: FakeKinesis, sink: Sink) -> None:
        """Each log call returns at once."""
        fake.script(Hang())
        exporter = KinesisLogRecordExporter(sink=sink, export_timeout=PATIENCE)
        logger = provider_of(SimpleLogRecordProcessor(exporter)).get_logger("app")
        began = time.monotonic()
        for number in range(10):
            logger.emit(body=f"event {number}")
        assert time.monotonic() - began < PATIENCE / 2
        assert sink.statistics().pending == 10

    def test_older_sdks_are_known_by_the_batch_they_hand_over(
        self, fake: FakeKinesis, sink: Sink, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They leave no mark in the context."""
        monkeypatch.setattr(door_module, "_INSIDE_SIMPLE", None)
        fake.script(Hang())
        exporter = KinesisLogRecordExporter(sink=sink, export_timeout=PATIENCE)
        began = time.monotonic()
        assert exporter.export((readable(),)) is SUCCESS
        assert time.monotonic() - began < PATIENCE / 2
        fake.faults.clear()
        fake.release()
        assert exporter.export([readable()]) is SUCCESS
        assert sink.statistics().delivered == 2

    def test_what_the_producer_logs_is_not_shipped(self, sink: Sink, fake: FakeKinesis) -> None:
        """It would cause the next request, and so on for ever."""
        exporter = KinesisLogRecordExporter(sink=sink)
        logger = provider_of(SimpleLogRecordProcessor(exporter)).get_logger("app")

        def produce() -> None:
            origin.OWN.set(True)
            logger.emit(body="own")

        copy_context().run(produce)
        logger.emit(body="theirs")
        copy_context().run(produce)
        assert exporter.force_flush(PATIENCE * 1000)
        assert messages_in(fake) == ["theirs"]
        assert sink.statistics().own == 2

    @pytest.mark.parametrize("encoding", ENCODINGS)
    def test_a_value_may_log_while_it_is_written(self, encoding: Encoding) -> None:
        """Both arrive, and it ends."""
        sink = RecordingSink()
        exporter = KinesisLogRecordExporter(sink=sink, encoding=encoding)
        logger = provider_of(SimpleLogRecordProcessor(exporter)).get_logger("app")

        class Loud:
            def __str__(self) -> str:
                logger.emit(body="inner")
                return "outer"

        logger.emit(body=cast("str", Loud()))
        inner, outer = sink.lines
        assert b"inner" in inner
        assert b"outer" in outer


class TestConfiguration:
    """By keywords, by variables, and refused at once if it cannot work."""

    def test_it_is_an_exporter_for_the_sdk(self) -> None:
        """Which accepts nothing else."""
        assert issubclass(KinesisLogRecordExporter, LogRecordExporter)

    def test_the_first_record_takes_the_sink(self, registry: Registry) -> None:
        """Making an exporter does nothing."""
        exporter = KinesisLogRecordExporter("app", acknowledge=False)
        assert (registry.held, exporter.statistics().accepted) == ([], 0)
        exporter.export(batch_of(1))
        assert registry.sink.event["message"] == "event 0"

    def test_without_arguments_variables_say_everything(
        self, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As under auto-instrumentation."""
        monkeypatch.setenv("KINESINK_STREAM_NAME", "app")
        monkeypatch.setenv("KINESINK_ENCODING", "otlp_json")
        monkeypatch.setenv("KINESINK_EXPORT_TIMEOUT", "250ms")
        exporter = KinesisLogRecordExporter()
        exporter.export(batch_of(1))
        assert b"resourceLogs" in registry.sink.lines[0]
        assert registry.sink.flushes == [0.25]

    def test_without_a_stream_it_names_the_variable(self) -> None:
        """For whoever reads why auto-instrumentation failed."""
        with pytest.raises(ConfigurationError, match="KINESINK_STREAM_NAME"):
            KinesisLogRecordExporter()

    @pytest.mark.parametrize(("given", "waits"), [(0, 0.0), (2.5, 2.5), ("1min", 60.0)])
    def test_the_timeout_is_a_number_or_text(
        self, registry: Registry, monkeypatch: pytest.MonkeyPatch, given: float | str, waits: float
    ) -> None:
        """What was given wins over the variable, nought included."""
        monkeypatch.setenv("KINESINK_EXPORT_TIMEOUT", "7")
        KinesisLogRecordExporter("app", export_timeout=given).export(batch_of(1))
        assert registry.sink.flushes == [waits]

    def test_the_timeout_is_ten_seconds_by_default(self, registry: Registry) -> None:
        """As of other exporters."""
        KinesisLogRecordExporter("app").export(batch_of(1))
        assert registry.sink.flushes == [10.0]

    @pytest.mark.parametrize("value", ["soon", -1, float("inf"), True])
    def test_a_timeout_that_is_none_is_refused(self, value: float | str) -> None:
        """At once."""
        with pytest.raises(ConfigurationError, match="export_timeout"):
            KinesisLogRecordExporter("app", export_timeout=value)

    def test_an_unknown_encoding_is_refused(self) -> None:
        """It says which there are."""
        with pytest.raises(ConfigurationError, match="'json', 'otlp_proto', 'otlp_json'"):
            KinesisLogRecordExporter("app", encoding="xml")  # type: ignore[arg-type]  # what is refused

    def test_it_says_what_it_is(self) -> None:
        """For whoever prints a processor's exporter."""
        assert repr(KinesisLogRecordExporter("app")) == "<KinesisLogRecordExporter app>"

    @pytest.mark.parametrize("encoding", ["otlp_proto", "otlp_json"])
    def test_a_request_of_otlp_is_a_record_of_its_own(
        self, encoding: Encoding, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Unless somebody says otherwise."""

        def framing(**parameters: Unpack[Parameters]) -> str:
            exporter = KinesisLogRecordExporter("app", encoding=encoding, **parameters)
            return exporter._door.config.framing

        assert framing() == "none"
        assert framing(framing="kpl") == "kpl"
        monkeypatch.setenv("KINESINK_FRAMING", "kpl")
        assert framing() == "kpl"
        assert framing(framing="none") == "none"

    def test_json_is_framed_as_everywhere(self) -> None:
        """As the other doors."""
        assert KinesisLogRecordExporter("app")._door.config.framing == "kpl"

    def test_a_given_sink_frames_as_it_was_made(self, sink: Sink) -> None:
        """It may be shared."""
        exporter = KinesisLogRecordExporter(encoding="otlp_proto", sink=sink)
        assert exporter._door.config.framing == "kpl"

    def test_protobuf_is_not_put_into_lines(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It holds newlines of its own; its JSON does not."""
        given: tuple[Parameters, ...] = ({"framing": "lines"}, {})
        for parameters in given:
            with pytest.raises(ConfigurationError, match="protobuf is not text"):
                KinesisLogRecordExporter("app", encoding="otlp_proto", **parameters)
            monkeypatch.setenv("KINESINK_FRAMING", "lines")
        exporter = KinesisLogRecordExporter("app", encoding="otlp_json")
        assert exporter._door.config.framing == "lines"

    @pytest.mark.parametrize("encoding", ["otlp_proto", "otlp_json"])
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("schema", "ecs"),
            ("extra", "nested"),
            ("rename", "message=msg"),
            ("static_fields", "team=shop"),
            ("redact", dict),
            ("oversize", "truncate"),
            ("partition_key", "logger"),
        ],
    )
    def test_what_otlp_has_no_place_for_is_refused(
        self, encoding: Encoding, name: str, value: str
    ) -> None:
        """Given for this door it would be silently without effect."""
        parameters: Any = {name: value}
        with pytest.raises(ConfigurationError, match=name):
            KinesisLogRecordExporter("app", encoding=encoding, **parameters)

    def test_as_a_variable_it_is_for_other_doors(
        self, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And ignored here."""
        monkeypatch.setenv("KINESINK_SCHEMA", "ecs")
        monkeypatch.setenv("KINESINK_RENAME", "message=msg")
        monkeypatch.setenv("KINESINK_PARTITION_KEY", "logger")
        KinesisLogRecordExporter("app", encoding="otlp_json").export(batch_of(1))
        assert registry.sink.lines[0].startswith(b'{"resourceLogs"')
        assert registry.sink.partition_keys == [None]

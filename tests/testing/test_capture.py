"""What an application sends is delivered into memory, and nothing is left of that afterwards."""

from __future__ import annotations

import logging
import logging.config
import re
import sys
import threading
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest

import kinesink
from kinesink import Config, KinesisHandler, Producer, Sink
from kinesink.testing import (
    FailEntries,
    Hang,
    KinesisCapture,
    Latency,
    Rewrite,
    ThrottleEntries,
    capture_events,
)
from kinesink.testing.expectation import describe
from kinesink.testing.in_memory import in_memory
from kinesink.testing.trouble import lets_nothing_through
from tests.shell.support import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kinesink.testing import Fault

LOG = logging.getLogger("shop.of.test_capture")


@pytest.fixture
def captured() -> Iterator[KinesisCapture]:
    """Capture what the test logs."""
    with capture_events() as captured:
        yield captured


def configure(**parameters: object) -> None:
    """Configure logging as an application does."""
    handler = {"class": "kinesink.KinesisHandler", "stream_name": "app-logs", **parameters}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"kinesis": handler},
            "root": {"level": "INFO", "handlers": ["kinesis"]},
        }
    )


def threads() -> list[str]:
    """Return the threads that kinesink has."""
    return [each.name for each in threading.enumerate() if each.name.startswith("kinesink ")]


class TestEvents:
    """What arrives."""

    def test_events_of_logging_arrive_as_dictionaries(self, captured: KinesisCapture) -> None:
        """In the order in which they were logged, whatever the configuration of the account."""
        configure(
            stream_arn="arn:aws:kinesis:eu-west-1:123456789012:stream/app-logs",
            role_arn="arn:aws:iam::123456789012:role/writer",
            profile_name="nobody",
            proxy="http://user:secret@proxy.invalid:3128",
        )
        LOG.info("order %s paid", 17, extra={"amount": 12.5})
        LOG.error("order %s failed", 18)
        assert [event["message"] for event in captured.events] == [
            "order 17 paid",
            "order 18 failed",
        ]
        event = captured.assert_logged(level="INFO", message="order 17 paid", amount=12.5)
        assert event is not captured.events[0]
        assert event == captured.events[0]

    def test_the_profile_and_the_region_of_who_runs_it_do_not_count(
        self, captured: KinesisCapture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not even where botocore would stumble over them."""
        monkeypatch.setenv("AWS_PROFILE", "nobody")
        monkeypatch.setenv("HTTPS_PROXY", "no url at all")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "no url at all")
        configure()
        LOG.info("hello")
        captured.assert_logged(message="hello")

    def test_each_stream_exists_and_has_its_own_events(self, captured: KinesisCapture) -> None:
        """With a framing of its own."""
        lines, plain = KinesisHandler("lines", framing="lines"), KinesisHandler("plain")
        plain.setFormatter(logging.Formatter("%(message)s"))
        for handler in (lines, plain):
            LOG.addHandler(handler)
        LOG.warning("one\ntwo")
        assert captured.events_of("lines")[0]["message"] == "one\ntwo"
        assert captured.events_of("plain") == [{"message": "one\ntwo"}]
        assert captured.events_of("nowhere") == []
        assert len(captured.events) == 2

    def test_where_framings_differ_each_record_is_recognised(
        self, captured: KinesisCapture
    ) -> None:
        """As by a consumer that knows none of them."""
        for framing in ("kpl", "lines", "none"):
            handler = KinesisHandler("app-logs", framing=framing)
            handler.handle(logging.makeLogRecord({"msg": framing}))
            assert captured.flush()
        assert sorted(event["message"] for event in captured.events) == ["kpl", "lines", "none"]

    def test_events_can_be_forgotten(self, captured: KinesisCapture) -> None:
        """What comes afterwards stands alone."""
        configure()
        LOG.info("before")
        captured.clear()
        assert captured.events == []
        LOG.info("after")
        captured.assert_logged(message="after", times=1)
        captured.assert_not_logged(message="before")

    def test_a_handler_of_before_delivers_into_memory_as_well(self) -> None:
        """Applications are configured when they are imported."""
        handler = KinesisHandler("app-logs")
        LOG.addHandler(handler)
        try:
            for _ in range(2):
                with capture_events() as captured:
                    LOG.warning("hello")
                    captured.assert_logged(message="hello", times=1)
                assert threads() == []
            assert LOG.handlers == [handler]
        finally:
            LOG.removeHandler(handler)
            handler.close()

    def test_bytes_of_a_sink_are_events(self, captured: KinesisCapture) -> None:
        """Also those whose future somebody waits for."""
        sink = Sink(Config("measurements"))
        sink.put(b'{"temperature": 20.5}')
        assert sink.submit(b"\xff").result(timeout=20).success
        captured.assert_logged(temperature=20.5)
        assert {"data": b"\xff"} in captured.events

    async def test_a_producer_and_its_many_streams(self, captured: KinesisCapture) -> None:
        """In an event loop of the application."""
        async with Producer(Config("orders")) as producer:
            outcome = await producer.put(b'{"order": 17}')
            other = await producer.put(b'{"click": 3}', stream_name="clicks")
            assert (await outcome.wait()).success
            assert (await other.wait()).success
        assert captured.events_of("clicks") == [{"click": 3}]
        captured.assert_logged(order=17)

    async def test_an_event_loop_can_wait_without_being_blocked(
        self, captured: KinesisCapture
    ) -> None:
        """And has nothing to wait for afterwards."""
        handler = KinesisHandler("app-logs")
        handler.handle(logging.makeLogRecord({"msg": "hello"}))
        assert await captured.aflush()
        captured.assert_logged(message="hello")

    def test_a_sink_that_nobody_has_any_more_is_waited_for(self, captured: KinesisCapture) -> None:
        """It is dropped while its event is on its way, and is told of until that has arrived."""
        with captured.outage():
            Sink(Config("dropped")).put(b"one")
            assert captured.pending == 1
            with pytest.raises(AssertionError, match="\npending for stream 'dropped': 1\n"):
                captured.assert_logged(message="one")
        captured.assert_logged(message="one", times=1)
        assert captured.pending == 0

    def test_a_spool_is_not_written(self, captured: KinesisCapture, tmp_path: Path) -> None:
        """Neither in passing nor for every event."""
        for mode in ("overflow", "always"):
            handler = KinesisHandler("app-logs", spool_path=str(tmp_path / mode), spool_mode=mode)
            handler.handle(logging.makeLogRecord({"msg": mode}))
        assert len(captured.events) == 2
        assert list(tmp_path.rglob("*")) == []


class TestOtherLibraries:
    """Structlog and OpenTelemetry."""

    def test_structlog_is_captured_and_configured_as_before(self) -> None:
        """Where it had its defaults, and where it had not."""
        structlog = pytest.importorskip("structlog")
        structlog.reset_defaults()
        with capture_events() as captured:
            structlog.configure(processors=[kinesink.KinesisProcessor("app-logs", drop=True)])
            structlog.get_logger().warning("hello", customer="c-4")
            captured.assert_logged(message="hello", customer="c-4")
        assert not structlog.is_configured()

        mine = structlog.processors.KeyValueRenderer()
        structlog.configure(processors=[mine])
        try:
            with capture_events():
                structlog.configure(processors=[])
            assert structlog.get_config()["processors"] == [mine]
            with capture_events():
                pass
            assert structlog.get_config()["processors"] == [mine]
        finally:
            structlog.reset_defaults()

    async def test_batches_of_opentelemetry_are_waited_for(
        self, captured: KinesisCapture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Those of the global provider, in a plain thread and in an event loop."""
        api = pytest.importorskip("opentelemetry._logs")
        sdk = pytest.importorskip("opentelemetry.sdk._logs")
        export = pytest.importorskip("opentelemetry.sdk._logs.export")
        provider = sdk.LoggerProvider()
        exporter = kinesink.KinesisLogRecordExporter("app-logs")
        provider.add_log_record_processor(
            export.BatchLogRecordProcessor(exporter, schedule_delay_millis=3_600_000)
        )
        monkeypatch.setattr(api, "get_logger_provider", lambda: provider)
        try:
            provider.get_logger("shop").emit(api.LogRecord(body="one"))
            assert await captured.aflush()
            captured.assert_logged(message="one")
            provider.get_logger("shop").emit(api.LogRecord(body="two"))
            assert await anyio.to_thread.run_sync(captured.flush)
            captured.assert_logged(message="two")
        finally:
            await anyio.to_thread.run_sync(provider.shutdown)

    def test_without_a_provider_there_is_nothing_to_wait_for(
        self, captured: KinesisCapture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whether OpenTelemetry is loaded or not."""
        monkeypatch.setitem(sys.modules, "opentelemetry._logs", None)
        assert captured.flush()
        assert captured.events == []


class TestAssertions:
    """What they say when they fail."""

    def test_what_is_missing_is_told_with_what_came_near(self, captured: KinesisCapture) -> None:
        """The events that have arrived are in the message."""
        configure()
        LOG.info("order %s paid", 17)
        with pytest.raises(AssertionError) as failure:
            captured.assert_logged(level="INFO", message="order 18 paid")
        assert str(failure.value).startswith(
            "an event with level='INFO', message='order 18 paid' has not arrived. "
            "One event has arrived:\n"
        )
        assert "but it is 'order 17 paid'" in str(failure.value)

    def test_how_often_is_told(self, captured: KinesisCapture) -> None:
        """Once, and several times."""
        configure()
        LOG.info("one")
        captured.assert_logged(message="one", times=1)
        with pytest.raises(AssertionError, match="was expected 2 times and has arrived once:\n"):
            captured.assert_logged(message="one", times=2)
        LOG.info("one")
        with pytest.raises(AssertionError, match="was expected once and has arrived 2 times:\n"):
            captured.assert_logged({"message": "one"}, times=1)

    def test_what_should_not_be_there_is_shown(self, captured: KinesisCapture) -> None:
        """Any event at all, where nothing more is said."""
        configure()
        captured.assert_not_logged()
        LOG.info("one")
        captured.assert_not_logged({"message": "two"})
        shown = re.escape(describe(captured.events[0]))
        with pytest.raises(AssertionError, match=f"an event has arrived once:\n  {shown}"):
            captured.assert_not_logged()

    def test_silence_is_explained(self, captured: KinesisCapture) -> None:
        """By what is configured, and what is disabled."""
        with pytest.raises(AssertionError) as failure:
            captured.assert_logged(message="one")
        assert "Handlers of kinesink in logging: none." in str(failure.value)

        configure()
        logging.root.setLevel("ERROR")
        for number in range(7):
            logging.getLogger(f"shop.of.test_capture.{number}").disabled = True
        LOG.info("one")
        with pytest.raises(AssertionError) as failure:
            captured.assert_logged(message="one")
        told = str(failure.value)
        assert "The level of the root logger is ERROR." in told
        assert "<KinesisHandler app-logs (NOTSET)> of logger 'root'." in told
        assert "has disabled: shop.of.test_capture.0," in told
        assert told.endswith(", ....")

    def test_what_cannot_be_told_yet_is_no_success(self, captured: KinesisCapture) -> None:
        """An event that is held up may be the one that is not to be there."""
        configure()
        with captured.outage():
            LOG.info("one")
            with pytest.raises(AssertionError) as failure:
                captured.assert_not_logged(message="one")
            with pytest.raises(AssertionError, match=r"nor any other\.\npending for stream 'app-"):
                captured.assert_logged(message="one")
        assert str(failure.value) == (
            "whether an event with message='one' was logged cannot be told yet.\n"
            "pending for stream 'app-logs': 1\n"
            "may still strike: Reset(ending=<Ending.REFUSE: 2>)"
        )
        captured.assert_logged(message="one", times=1)


class TestFaults:
    """Trouble on demand."""

    def test_an_outage_ends_with_its_block(self, captured: KinesisCapture) -> None:
        """What was logged meanwhile waits, and arrives."""
        configure()
        with captured.outage():
            LOG.info("one")
            assert not captured.flush(0.05)
            assert captured.events == []
            assert captured.pending == 1
        captured.assert_logged(message="one", times=1)
        assert captured.pending == 0

    def test_each_fault_strikes(self, captured: KinesisCapture) -> None:
        """And is survived: what was logged arrives once."""
        configure()
        captured.throttle(times=1)
        captured.fail_entries(times=1)
        captured.delay(0.01, times=1)
        LOG.info("one")
        captured.assert_logged(message="one", times=1)
        assert len(captured.kinesis.faults) == 0

    def test_a_missing_permission_is_reported(self, captured: KinesisCapture) -> None:
        """To whoever the application has told to listen."""
        heard = threading.Event()
        configure(on_error=lambda _kind, _text: heard.set())
        with captured.deny("PutRecords"):
            LOG.info("one")
            assert heard.wait(20)

    def test_faults_can_be_ended_at_any_time(self, captured: KinesisCapture) -> None:
        """One by one or all of them, and twice."""
        throttled, failing = captured.throttle(), captured.fail_entries("Unknown")
        throttled.end()
        throttled.end()
        assert list(captured.kinesis.faults) == [FailEntries(code="Unknown")]
        captured.recover()
        assert len(captured.kinesis.faults) == 0
        failing.end()

    def test_calls_that_are_held_go_on_when_the_fault_ends(self, captured: KinesisCapture) -> None:
        """A hang is a fault like any other."""
        configure()
        with captured.script(Hang(operation="PutRecords")):
            LOG.info("one")
            assert not captured.flush(0.05)
        captured.assert_logged(message="one")

    @pytest.mark.parametrize(
        ("fault", "blocks"),
        [
            (ThrottleEntries(), True),
            (ThrottleEntries(share=0.5), False),
            (ThrottleEntries(times=3), False),
            (Hang(), True),
            (Hang(operation="PutRecords"), True),
            (Hang(operation="ListShards"), False),
            (Latency(request=0.1), False),
            (Rewrite(change=lambda answer: answer), False),
        ],
    )
    def test_nothing_is_waited_for_that_cannot_come(self, fault: Fault, blocks: bool) -> None:  # noqa: FBT001 - the table's column
        """Faults that last, and strike every event."""
        assert lets_nothing_through(fault) is blocks


class TestAfterwards:
    """Everything is as before."""

    def test_logging_is_configured_as_before(self) -> None:
        """Handlers, levels and switches, of loggers that are new as well."""
        mine, other = logging.NullHandler(), logging.StreamHandler()
        before = (list(logging.root.handlers), logging.root.level)
        LOG.addHandler(other)
        LOG.setLevel("ERROR")
        try:
            with capture_events():
                logging.config.dictConfig(
                    {
                        "version": 1,
                        "handlers": {
                            "k": {"class": "kinesink.KinesisHandler", "stream_name": "app"}
                        },
                        "root": {"level": "DEBUG", "handlers": ["k"]},
                        "loggers": {"new.of.test_capture": {"level": "INFO", "propagate": False}},
                    }
                )
                new = logging.getLogger("new.of.test_capture")
                new.addHandler(mine)
                LOG.removeHandler(other)
                logging.disable(logging.INFO)
                (shipping,) = (
                    each for each in logging.root.handlers if isinstance(each, KinesisHandler)
                )
                logging.root.error("hello")
            assert (list(logging.root.handlers), logging.root.level) == before
            assert (LOG.handlers, LOG.level, LOG.disabled) == ([other], logging.ERROR, False)
            assert (new.handlers, new.level, new.propagate) == ([mine], logging.NOTSET, True)
            assert logging.root.manager.disable == 0
            assert shipping.statistics().delivered == 1
            assert shipping.statistics().pending == 0
        finally:
            LOG.removeHandler(other)
            LOG.setLevel("NOTSET")

    def test_no_thread_is_left(self, captured: KinesisCapture) -> None:
        """Though faults strike and events wait: they get a last chance."""
        with capture_events() as inner:
            configure(on_error=lambda _kind, _text: None)
            inner.outage()
            LOG.info("one")
            assert not inner.flush(0.05)
            assert threads() != []
        assert threads() == []
        assert len(inner.kinesis.records("app-logs")) == 1
        assert captured.events == []

    def test_a_test_that_fails_leaves_nothing_either(self) -> None:
        """Its own error is what is seen."""

        def fail() -> None:
            with capture_events():
                configure()
                LOG.info("one")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert threads() == []
        assert not any(isinstance(each, KinesisHandler) for each in logging.root.handlers)

    def test_a_producer_that_goes_on_is_told(self) -> None:
        """Its events would go where it was told to send them."""
        kinesis = KinesisCapture()
        kinesis.script(Hang(operation="PutRecords"))
        config = Config("slow", shutdown_timeout=20)
        sink = Sink(config, make_client=kinesis.client)
        sink.put(b"one")
        wait_until(lambda: kinesis.kinesis.hanging)
        try:
            with (
                pytest.raises(RuntimeError, match=r"still at work after 0 s.*: kinesink slow"),
                in_memory(kinesis.client, kinesis.recover, 0.0),
            ):
                raise AssertionError("it was entered")
        finally:
            kinesis.recover()
            assert sink.close(20)

    def test_a_callback_that_hangs_is_told(self) -> None:
        """A thread that calls the application belongs to the test, too."""
        kinesis = KinesisCapture()
        let_go = threading.Event()
        calling = threading.Thread(target=let_go.wait, name="kinesink on_error", daemon=True)
        try:
            with (
                pytest.raises(RuntimeError, match=r"not captured: kinesink on_error$"),
                in_memory(kinesis.client, kinesis.recover, 0.0),
            ):
                calling.start()
        finally:
            let_go.set()
            calling.join(20)

    def test_a_producer_that_went_on_before_is_ended_first(self) -> None:
        """After it has delivered what it had, where it was told to."""
        elsewhere = KinesisCapture()
        sink = Sink(Config("early"), make_client=elsewhere.client)
        sink.put(b'{"number": 1}')
        with capture_events() as captured:
            assert captured.events == []
            assert elsewhere.events == [{"number": 1}]
            sink.put(b'{"number": 2}')
            assert len(sink.statistics().dropped) == 0
        assert sink.close(20)


def test_requests_go_nowhere(captured: KinesisCapture, monkeypatch: pytest.MonkeyPatch) -> None:
    """No transport of httpx's own is asked."""

    async def refuse(*_: object) -> httpx.Response:
        raise AssertionError("a request was sent")

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", refuse)
    configure(verify=False, endpoint_url="https://kinesis.invalid")
    LOG.info("one")
    captured.assert_logged(message="one")

"""The handler between a logger and its sink: origin, filters, nesting, life and end."""

from __future__ import annotations

import contextvars
import gc
import hashlib
import logging
import signal
import sys
import threading
import types
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from kinesink import KinesisFormatter, KinesisHandler, Statistics
from kinesink.adapters import door
from kinesink.event.current_span import SPANS
from kinesink.shell import origin, overflow
from tests.adapters.recording_sink import RecordingSink, a_record

if TYPE_CHECKING:
    from kinesink import Config
    from kinesink.adapters.partition_key import PartitionKey
    from tests.adapters.conftest import Registry


@pytest.fixture
def sink() -> RecordingSink:
    """Return where events end up."""
    return RecordingSink()


@pytest.fixture
def handler(sink: RecordingSink) -> KinesisHandler:
    """Return a handler of that sink."""
    return KinesisHandler(sink=sink)


@pytest.fixture
def logger(handler: KinesisHandler) -> logging.Logger:
    """Return a logger of its own, which no other handler listens to."""
    logger = logging.Logger("app.nested")  # noqa: LOG001 - out of reach
    logger.addHandler(handler)
    return logger


class TestOrigin:
    """Records of the producer's own work are counted, not shipped."""

    def test_a_record_from_the_producers_context_is_not_shipped(
        self, handler: KinesisHandler, sink: RecordingSink
    ) -> None:
        """C2, T2: whatever its logger is called."""

        def produce() -> bool:
            origin.OWN.set(True)
            return handler.handle(a_record())

        assert contextvars.copy_context().run(produce) is False
        assert (sink.lines, sink.own) == ([], 1)

    def test_a_record_from_the_producers_thread_is_not_shipped(
        self, handler: KinesisHandler, sink: RecordingSink
    ) -> None:
        """Other threads' records are, at the same time."""
        with ThreadPoolExecutor(1, initializer=origin.mark_thread) as thread:
            assert thread.submit(handler.handle, a_record()).result() is False
            thread.submit(origin.unmark_thread).result()
        assert handler.handle(a_record()) is True
        assert (len(sink.lines), sink.own) == (1, 1)

    def test_before_there_is_a_sink_nothing_is_counted(self, registry: Registry) -> None:
        """A producer of another handler does not make this one take a sink."""
        handler = KinesisHandler("app-logs")
        with ThreadPoolExecutor(1, initializer=origin.mark_thread) as thread:
            thread.submit(handler.handle, a_record()).result()
            thread.submit(origin.unmark_thread).result()
        assert registry.sinks == {}

    def test_origin_comes_before_filters(
        self, handler: KinesisHandler, sink: RecordingSink
    ) -> None:
        """Application code does not run on behalf of the producer."""
        handler.addFilter(lambda _: pytest.fail("asked"))

        def produce() -> None:
            origin.OWN.set(True)
            handler.handle(a_record())

        contextvars.copy_context().run(produce)
        assert sink.own == 1


class TestFilters:
    """As for any handler."""

    def test_a_rejected_record_is_not_shipped(
        self, handler: KinesisHandler, sink: RecordingSink
    ) -> None:
        """The first filter that rejects decides."""
        handler.addFilter(lambda record: record.levelno >= logging.ERROR)
        assert handler.handle(a_record()) is False
        assert handler.handle(a_record(levelno=logging.ERROR)) is True
        assert len(sink.lines) == 1

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="since Python 3.12")
    def test_a_filter_may_replace_the_record(
        self, handler: KinesisHandler, sink: RecordingSink
    ) -> None:
        """What is shipped is the replacement, and the original is untouched."""
        record = a_record("a secret")
        handler.addFilter(lambda _: a_record("hidden"))  # type: ignore[arg-type, return-value]  # since Python 3.12
        handler.handle(record)
        assert sink.event["message"] == "hidden"
        assert record.msg == "a secret"

    @pytest.mark.skipif(sys.version_info >= (3, 12), reason="before Python 3.12")
    def test_before_that_its_result_is_a_truth_value(
        self, handler: KinesisHandler, sink: RecordingSink
    ) -> None:
        """The running Python's rules count."""
        handler.addFilter(lambda _: a_record("hidden"))  # type: ignore[arg-type, return-value]  # as above
        handler.handle(a_record("shown"))
        assert sink.event["message"] == "shown"

    def test_a_filter_that_fails_keeps_the_record_back(
        self, handler: KinesisHandler, sink: RecordingSink, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It may be what keeps secrets out, and the application must not hear of it."""

        def fail(_: logging.LogRecord) -> NoReturn:
            raise RuntimeError

        handler.addFilter(fail)
        assert handler.handle(a_record()) is False
        assert sink.lines == []
        assert "--- Logging error ---" in capsys.readouterr().err

    def test_a_handler_may_be_its_own_filter(self, sink: RecordingSink) -> None:
        """Overriding ``filter`` counts without any filter added."""

        class Picky(KinesisHandler):
            def filter(self, record: logging.LogRecord) -> bool:
                return record.levelno > logging.INFO

        handler = Picky(sink=sink)
        assert handler.handle(a_record()) is False
        assert handler.handle(a_record(levelno=logging.ERROR)) is True


class TestNothingIsRaised:
    """A log call never fails."""

    def test_not_even_with_a_broken_sink(
        self, sink: RecordingSink, handler: KinesisHandler, capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        """What must not happen is reported once and tried once."""
        tried = []

        def fail(data: bytes) -> NoReturn:
            tried.append(data)
            raise RuntimeError

        monkeypatch.setattr(sink, "emit", fail)
        assert handler.handle(a_record()) is True
        assert len(tried) == 1
        assert capsys.readouterr().err.count("--- Logging error ---") == 1

    def test_recursion_too_deep_is_the_applications(
        self, handler: KinesisHandler, sink: RecordingSink
    ) -> None:
        """As with the handlers of logging: to report it would recurse as well."""

        class Endless:
            def __str__(self) -> str:
                return str(self)

        with pytest.raises(RecursionError):
            handler.handle(a_record("%s", Endless()))
        assert handler.handle(a_record()) is True
        assert len(sink.lines) == 1


class TestNesting:
    """A log call can interrupt a log call of the same thread."""

    def test_a_value_that_logs_while_it_is_rendered(
        self, logger: logging.Logger, sink: RecordingSink
    ) -> None:
        """Both events are shipped, the inner one first."""

        class Chatty:
            def __str__(self) -> str:
                logger.error("rendering")
                return "chatty"

        logger.error("%s", Chatty())
        assert [event["message"] for event in sink.events] == ["rendering", "chatty"]

    def test_without_end_stops_at_templates(
        self, logger: logging.Logger, sink: RecordingSink
    ) -> None:
        """A ``__str__`` that logs itself, twice each time, would take longer than the universe."""

        class Endless:
            def __str__(self) -> str:
                logger.error("a %s", self)
                logger.error("b %s", self)
                return "!"

        logger.error("c %s", Endless())
        messages = [event["message"] for event in sink.events]
        third = ["a %s", "b %s", "a !", "a %s", "b %s", "b !"]
        assert messages == [*third, "a !", *third, "b !", "c !"]

        logger.error("afterwards %d", 1)
        assert sink.events[-1]["message"] == "afterwards 1"

    def test_templates_of_other_kinds(self, logger: logging.Logger, sink: RecordingSink) -> None:
        """At the end of the depth no code of the application's runs."""

        class Endless:
            def __str__(self) -> str:
                logger.error(self)
                return "!"

        logger.error(Endless())
        first, *others = [event["message"] for event in sink.events]
        assert first.startswith("<")
        assert first.endswith(".Endless>")
        assert others == ["!", "!", "!"]

    def test_with_a_formatter_of_the_applications(
        self, logger: logging.Logger, handler: KinesisHandler, sink: RecordingSink
    ) -> None:
        """The bare template stands for what it would have made."""

        class Chatty(logging.Formatter):
            def format(self, record: logging.LogRecord) -> str:
                logger.error("inside \ud800")
                return super().format(record)

        handler.setFormatter(Chatty())
        logger.error("outside")
        assert sink.lines == [b"inside ?\n"] * 3 + [b"outside\n"]

    def test_a_finalizer_that_logs(self, logger: logging.Logger, sink: RecordingSink) -> None:
        """C3, T9: garbage collection can run anywhere, inside of a rendering as well."""

        class Finalized:
            def __init__(self) -> None:
                self.cycle = self

            def __del__(self) -> None:
                logger.error("finalized")

        class Collecting:
            def __str__(self) -> str:
                gc.collect()
                return "collected"

        Finalized()
        logger.error("%s", Collecting())
        assert [event["message"] for event in sink.events] == ["finalized", "collected"]

    @pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="there are no such signals here")
    def test_a_signal_handler_that_logs(
        self, logger: logging.Logger, sink: RecordingSink, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """C3, T10: a signal can interrupt the hand-over itself."""
        emit = sink.emit

        def interrupted(data: bytes, partition_key: str | None = None) -> bool:
            if b"outside" in data:
                signal.raise_signal(signal.SIGUSR1)
            return emit(data, partition_key)

        monkeypatch.setattr(sink, "emit", interrupted)
        before = signal.signal(signal.SIGUSR1, lambda *_: logger.error("in a signal handler"))
        try:
            logger.error("outside")
        finally:
            signal.signal(signal.SIGUSR1, before)
        messages = [event["message"] for event in sink.events]
        assert messages == ["in a signal handler", "outside"]

    def test_no_lock_is_taken(self, handler: KinesisHandler, sink: RecordingSink) -> None:
        """T26: a thread that holds the handler's lock holds up nobody."""
        handler.acquire()
        try:
            with ThreadPoolExecutor(1) as thread:
                assert thread.submit(handler.handle, a_record()).result(10)
        finally:
            handler.release()
        assert len(sink.lines) == 1


class TestPartitionKey:
    """Which key an event gets."""

    @pytest.mark.parametrize(
        ("partition_key", "fields", "expected"),
        [
            (None, {}, None),
            ("logger", {}, "app.orders"),
            ("logger", {"name": ""}, None),
            ("attr:user", {"user": "bob"}, "bob"),
            ("attr:user", {"user": 17}, "17"),
            ("attr:user", {"user": None}, None),
            ("attr:user", {}, None),
            ("attr:user", {"msg": {"user": "bob"}, "args": ()}, "bob"),
            ("attr:user", {"user": "u\ud800"}, "u?"),
            (lambda record: record.levelname, {}, "INFO"),
            (lambda _: None, {}, None),
            (lambda _: "", {}, None),
            (lambda _: "x" * 256, {}, "x" * 256),
            (lambda _: "x" * 257, {}, hashlib.sha256(b"x" * 257).hexdigest()),
        ],
    )
    def test_is_read_from_the_record(
        self,
        sink: RecordingSink,
        partition_key: PartitionKey,
        fields: dict[str, Any],
        expected: str | None,
    ) -> None:
        """What is missing leaves the event keyless, what is too long is hashed."""
        KinesisHandler(sink=sink, partition_key=partition_key).handle(a_record(**fields))
        assert sink.partition_keys == [expected]

    def test_one_for_each_process(self, sink: RecordingSink) -> None:
        """Stable within a process, different in its children."""
        handler = KinesisHandler(sink=sink, partition_key="process")
        for process in (7, 7, 8):
            handler.handle(a_record(process=process))
        first, second, third = sink.partition_keys
        assert first == second != third

    def test_the_trace(self, sink: RecordingSink, monkeypatch: pytest.MonkeyPatch) -> None:
        """Events of one trace go together, those outside go anywhere."""
        handler = KinesisHandler(sink=sink, partition_key="trace_id")
        monkeypatch.delitem(sys.modules, SPANS, raising=False)
        handler.handle(a_record())
        context = types.SimpleNamespace(trace_id=10, span_id=11, trace_flags=1, is_valid=True)
        span = types.SimpleNamespace(get_span_context=lambda: context)
        module = types.SimpleNamespace(get_current_span=lambda: span)
        monkeypatch.setitem(sys.modules, SPANS, module)
        handler.handle(a_record())
        assert sink.partition_keys == [None, f"{10:032x}"]

    def test_a_callable_that_fails_leaves_the_event_keyless(
        self, sink: RecordingSink, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A key is never worth an event."""

        def fail(_: logging.LogRecord) -> NoReturn:
            raise RuntimeError

        KinesisHandler(sink=sink, partition_key=fail).handle(a_record())
        assert sink.partition_keys == [None]
        assert "--- Logging error ---" in capsys.readouterr().err


class TestLife:
    """Taking the sink, flushing it, letting go of it."""

    def test_the_sink_is_taken_once(self, registry: Registry) -> None:
        """At the first record, and by handlers of one configuration together."""
        for handler in (KinesisHandler("app-logs"), KinesisHandler("app-logs")):
            handler.handle(a_record())
            handler.handle(a_record())
        assert registry.held == [registry.sink] * 2
        assert len(registry.sink.lines) == 4

    def test_also_with_a_partition_key(self, registry: Registry) -> None:
        """Keyed events take the same way."""
        handler = KinesisHandler("app-logs", partition_key="logger")
        handler.handle(a_record())
        handler.handle(a_record())
        assert registry.held == [registry.sink]

    def test_two_threads_that_log_first_hold_it_once(
        self, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without a lock both may take it; closing the handler gives it back all the same."""
        handler = KinesisHandler("app-logs")
        together = threading.Barrier(2)

        def acquire_together(config: Config, holder: object) -> RecordingSink:
            together.wait(10)
            return registry.acquire(config, holder)

        monkeypatch.setattr(door, "acquire", acquire_together)
        with ThreadPoolExecutor(2) as threads:
            for done in [threads.submit(handler.handle, a_record()) for _ in range(2)]:
                done.result()
        assert registry.held == [registry.sink]
        handler.close()
        assert registry.held == []

    def test_flush_waits_as_long_as_it_may(self, registry: Registry) -> None:
        """And says whether anything is left."""
        handler = KinesisHandler("app-logs")
        handler.handle(a_record())
        assert handler.flush() is True
        registry.sink.flushed = False
        assert handler.flush(0.5) is False
        assert registry.sink.flushes == [None, 0.5]

    async def test_flush_can_be_awaited(self, handler: KinesisHandler) -> None:
        """In an event loop, which goes on meanwhile."""
        handler.handle(a_record())
        assert await handler.aflush(5)

    def test_flush_on_behalf_of_the_producer_does_not_wait(self, registry: Registry) -> None:
        """The producer would wait for itself."""
        handler = KinesisHandler("app-logs")
        handler.handle(a_record())
        with ThreadPoolExecutor(1, initializer=origin.mark_thread) as thread:
            assert thread.submit(handler.flush).result() is False
            thread.submit(origin.unmark_thread).result()
        assert registry.sink.flushes == [0]

    def test_flush_under_the_lock_of_logging_does_not_wait(self, registry: Registry) -> None:
        """T1: a sender that logs would wait for the lock, and we for the sender."""
        handler = KinesisHandler("app-logs")
        handler.handle(a_record())
        lock = logging._lock  # type: ignore[attr-defined]  # private, hence not in the stubs
        with lock:
            assert handler.flush() is False
            with ThreadPoolExecutor(1) as thread:
                assert thread.submit(handler.flush).result(10) is True
        assert registry.sink.flushes == [0, None]

    def test_flush_where_logging_has_no_such_lock(
        self, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The lock is private and may go away; then nothing is known of it."""
        handler = KinesisHandler("app-logs")
        handler.handle(a_record())
        monkeypatch.setattr(overflow, "logging", types.SimpleNamespace())
        assert handler.flush() is True
        assert registry.sink.flushes == [None]

    def test_close_flushes_and_lets_go(self, registry: Registry) -> None:
        """T5: and may be called again."""
        handler = KinesisHandler("app-logs")
        handler.handle(a_record())
        handler.close()
        handler.close()
        assert registry.held == []
        assert registry.sink.flushes[0] is None

    def test_a_record_after_close_takes_the_sink_again(self, registry: Registry) -> None:
        """T4: and the next close lets go again."""
        handler = KinesisHandler("app-logs")
        for _ in range(2):
            handler.handle(a_record())
            assert registry.held == [registry.sink]
            handler.close()
            assert registry.held == []
        assert len(registry.sink.lines) == 2

    def test_a_given_sink_is_flushed_and_left_open(
        self, handler: KinesisHandler, sink: RecordingSink
    ) -> None:
        """Whoever made it closes it."""
        handler.handle(a_record())
        handler.close()
        handler.handle(a_record())
        assert len(sink.lines) == 2
        assert sink.flushes == [None]

    def test_shutdown_of_logging_flushes_and_closes(self, registry: Registry) -> None:
        """As at the end of the process."""
        handler = KinesisHandler("app-logs")
        handler.handle(a_record())
        logging.shutdown([weakref.ref(handler)])
        assert registry.held == []
        assert registry.sink.flushes == [None, None]

    def test_statistics_are_those_of_the_sink(self, registry: Registry) -> None:
        """All zero before there is one, and still there after it was let go."""
        del registry
        handler = KinesisHandler("app-logs")
        assert handler.statistics() == Statistics()
        handler.handle(a_record())
        handler.close()
        assert handler.statistics().accepted == 1


class TestFormatter:
    """The formatter on its own."""

    def test_prints_what_would_be_shipped(self, sink: RecordingSink) -> None:
        """The same line, without the newline, and without the number that shipping gives it."""
        KinesisHandler(sink=sink, sequence=False).handle(a_record())
        assert KinesisFormatter().format(a_record()) + "\n" == sink.lines[0].decode()

    def test_a_bug_in_a_log_call_is_the_handlers_to_report(self) -> None:
        """Handlers expect a formatter to raise."""
        with pytest.raises(TypeError):
            KinesisFormatter().format(a_record("%d", "x"))


class TestThreads:
    """Any number of threads at once."""

    def test_every_event_arrives_once(self, sink: RecordingSink) -> None:
        """Eight threads, one handler, nothing shared that could be lost."""
        handler = KinesisHandler(sink=sink)

        def log(number: int) -> bool:
            return handler.handle(
                a_record("event %d", number, threadName=f"thread-{number % 8}", number=number)
            )

        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(log, range(2000)))
        assert sorted(event["attributes"]["number"] for event in sink.events) == list(range(2000))

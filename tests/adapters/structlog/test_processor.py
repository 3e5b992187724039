"""The processor as a tee: what it ships, and that the chain never notices."""

from __future__ import annotations

import contextvars
import copy
import hashlib
import json
import pickle
import sys
import threading
import types
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.processors import CallsiteParameter, CallsiteParameterAdder

from kinesink import Config, ConfigurationError, KinesisHandler, KinesisProcessor, Statistics
from kinesink.adapters.nesting import DEPTHS
from kinesink.event.current_span import SPANS
from kinesink.shell import origin
from tests.adapters.recording_sink import RecordingSink, a_record
from tests.adapters.structlog.chains import a_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.adapters.partition_key import PartitionKey
    from tests.adapters.conftest import Registry


class Broken:
    """Whatever is asked of it, it raises."""

    def __str__(self) -> NoReturn:
        raise RuntimeError

    __repr__ = __str__
    __bool__ = __str__
    __eq__ = __str__  # type: ignore[assignment]  # what is tested
    __hash__ = __str__


class TestTee:
    """T31: the chain goes on as if the processor were not there."""

    def test_returns_the_same_object_unchanged(self, sink: RecordingSink) -> None:
        """Not a key is popped, added or written."""
        event_dict = {"event": "paid", "exc_info": True, "stack_info": True, "order": {"id": 17}}
        before = copy.deepcopy(event_dict)
        assert KinesisProcessor(sink=sink)(None, "info", event_dict) is event_dict
        assert event_dict == before

    def test_ships_a_snapshot(self, sink: RecordingSink) -> None:
        """Later processors may change the dict, and what is in it."""

        def change(_: object, __: str, event_dict: Any) -> Any:  # noqa: ANN401 - a processor
            event_dict["order"]["id"] = 18
            event_dict["event"] = "changed"
            return event_dict

        log = a_logger(KinesisProcessor(sink=sink), change, structlog.processors.JSONRenderer())
        rendered = log.info("paid", order={"id": 17})
        assert json.loads(rendered) == {"event": "changed", "order": {"id": 18}}
        assert sink.event["message"] == "paid"
        assert sink.event["attributes"] == {"order": {"id": 17}}

    def test_the_usual_processors_make_the_fields(self, sink: RecordingSink) -> None:
        """Each is taken for what it is."""
        log = a_logger(
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.StackInfoRenderer(),
            CallsiteParameterAdder(
                {
                    CallsiteParameter.PATHNAME, CallsiteParameter.LINENO,
                    CallsiteParameter.FUNC_NAME, CallsiteParameter.THREAD_NAME,
                    CallsiteParameter.PROCESS, CallsiteParameter.MODULE,
                }
            ),
            KinesisProcessor(sink=sink),
            structlog.processors.KeyValueRenderer(),
        )  # fmt: skip
        with structlog.contextvars.bound_contextvars(request="r1"):
            log.bind(order=17).warning("late", stack_info=True)
        event = sink.event
        assert (event["message"], event["level"], event["severity_number"]) == (
            "late",
            "WARNING",
            13,
        )
        assert event["file"] == "test_processor.py"
        assert event["function"] == "test_the_usual_processors_make_the_fields"
        assert event["thread"] == threading.current_thread().name
        assert event["stack_info"].startswith("Stack (most recent call last)")
        assert event["timestamp"].endswith("Z")
        assert event["attributes"] == {"request": "r1", "order": 17, "module": "test_processor"}

    @pytest.mark.parametrize(
        ("method", "level"), [("exception", "ERROR"), ("warn", "WARNING"), ("fatal", "CRITICAL")]
    )
    def test_without_a_level_the_method_is_one(
        self, sink: RecordingSink, method: str, level: str
    ) -> None:
        """By its name."""
        getattr(a_logger(KinesisProcessor(sink=sink, drop=True)), method)("x")
        assert sink.event["level"] == level

    @pytest.mark.parametrize(("method", "level"), [("exception", "ERROR"), ("warn", "WARNING")])
    def test_of_a_filtering_logger_too(self, sink: RecordingSink, method: str, level: str) -> None:
        """It asks for another method of the same level."""
        wrapper = structlog.make_filtering_bound_logger(0)
        getattr(a_logger(KinesisProcessor(sink=sink, drop=True), wrapper=wrapper), method)("x")
        assert sink.event["level"] == level

    def test_positional_arguments_are_kept(self, sink: RecordingSink) -> None:
        """Filled in behind ``PositionalArgumentsFormatter``, an attribute without it."""
        wrapper = structlog.stdlib.BoundLogger
        processor = KinesisProcessor(sink=sink, drop=True)
        filled = structlog.stdlib.PositionalArgumentsFormatter()
        a_logger(processor, wrapper=wrapper).info("order %d", 17)
        a_logger(filled, processor, wrapper=wrapper).info("order %d", 17)
        assert [event["message"] for event in sink.events] == ["order %d", "order 17"]
        assert sink.events[0]["attributes"] == {"positional_args": [17]}
        assert "attributes" not in sink.events[1]

    def test_any_mapping_is_an_event_dict(self, sink: RecordingSink) -> None:
        """An application may choose the class of its contexts."""
        event_dict = OrderedDict(event="paid", a=1)
        assert KinesisProcessor(sink=sink)(None, "info", event_dict) is event_dict
        assert (sink.event["message"], sink.event["attributes"]) == ("paid", {"a": 1})

    def test_captured_logs_reach_no_stream(self, sink: RecordingSink) -> None:
        """``capture_logs`` takes the processors out, ours with them."""
        structlog.configure(processors=[KinesisProcessor(sink=sink, drop=True)])
        with structlog.testing.capture_logs() as captured:
            structlog.get_logger().info("paid")
        assert captured == [{"event": "paid", "log_level": "info"}]
        assert sink.lines == []

    def test_a_cached_logger_ships_like_any_other(self, sink: RecordingSink) -> None:
        """With ``cache_logger_on_first_use`` the chain is bound once."""
        structlog.configure(
            processors=[KinesisProcessor(sink=sink, drop=True)],
            wrapper_class=structlog.make_filtering_bound_logger(20),
            cache_logger_on_first_use=True,
        )
        log = structlog.get_logger()
        log.debug("not at this level")
        log.info("one")
        log.info("two %d", 2)
        assert [event["message"] for event in sink.events] == ["one", "two 2"]


class TestExceptions:
    """What structlog's own processors make of them."""

    @staticmethod
    def failed(log: Any, **values: object) -> None:  # noqa: ANN401 - a bound logger
        """Log an exception that has a cause."""
        try:
            try:
                int("a dozen")
            except ValueError as error:
                raise KeyError("quantity") from error
        except KeyError:
            log.error("failed", **values)  # noqa: TRY400 - the form of exc_info is the test

    def test_are_structured_before_any_renderer(self, sink: RecordingSink) -> None:
        """Also for an exception that is not being handled any more."""
        log = a_logger(KinesisProcessor(sink=sink, drop=True))
        self.failed(log, exc_info=True)
        log.error("later", exc_info=ValueError("no"))
        first, second = (event["exception"] for event in sink.events)
        assert (first["type"], first["message"]) == ("KeyError", "'quantity'")
        assert "direct cause" in first["stacktrace"]
        assert second == {"type": "ValueError", "message": "no", "stacktrace": "ValueError: no"}

    def test_as_text_are_the_stack_trace(self, sink: RecordingSink) -> None:
        """Behind ``format_exc_info``."""
        log = a_logger(structlog.processors.format_exc_info, KinesisProcessor(sink=sink, drop=True))
        self.failed(log, exc_info=True)
        assert list(sink.event["exception"]) == ["stacktrace"]
        assert sink.event["exception"]["stacktrace"].startswith("Traceback (most recent call last)")

    def test_as_dictionaries_are_both(self, sink: RecordingSink) -> None:
        """Behind ``dict_tracebacks``: an exception like others, and the dictionaries."""
        log = a_logger(structlog.processors.dict_tracebacks, KinesisProcessor(sink=sink, drop=True))
        self.failed(log, exc_info=True)
        event = sink.event
        assert event["exception"]["type"] == "KeyError"
        told = event["exception"]["stacktrace"]
        assert told.index("ValueError: invalid literal") < told.index("direct cause")
        assert told.index("direct cause") < told.index("KeyError: 'quantity'")
        kinds = [stack["exc_type"] for stack in event["attributes"]["exception"]]
        assert kinds == ["KeyError", "ValueError"]

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="since Python 3.11")
    @pytest.mark.skipif(
        "is_group" not in structlog.tracebacks.Stack.__annotations__,
        reason="this structlog knows no groups",
    )
    def test_groups_as_dictionaries_tell_their_members(self, sink: RecordingSink) -> None:
        """With their notes."""
        log = a_logger(structlog.processors.dict_tracebacks, KinesisProcessor(sink=sink, drop=True))
        member = ValueError("no")
        member.add_note("a note")  # type: ignore[attr-defined, unused-ignore]  # since Python 3.11
        log.error("x", exc_info=ExceptionGroup("two", [member, KeyError("k")]))  # type: ignore[name-defined, unused-ignore]  # noqa: F821 - since Python 3.11
        stacktrace = sink.event["exception"]["stacktrace"]
        for line in ("ExceptionGroup: two", "  | ValueError: no", "  | a note", "  | KeyError"):
            assert line in stacktrace


class TestValues:
    """The event is never lost, whatever it holds."""

    def test_what_json_cannot_say_costs_nothing_else(self, sink: RecordingSink) -> None:
        """Names of any kind, cycles, surrogates, values that raise."""
        cyclic: list[object] = []
        cyclic.append(cyclic)
        event_dict = {
            "event": "x \ud800", 3: "three", None: 0, "set": {1}, "cyclic": cyclic,
            "broken": Broken(), "\ud800": "\ud800", "big": 1 << 70,
        }  # fmt: skip
        assert KinesisProcessor(sink=sink)(None, "info", event_dict) is event_dict
        assert sink.event["message"] == "x ?"
        assert sink.reports == []
        attributes = sink.event["attributes"]
        assert attributes.pop("broken").startswith("<unserializable ")
        assert attributes == {
            "3": "three", "None": 0, "set": [1], "cyclic": ["<cycle>"], "?": "?",
            "big": str(1 << 70),
        }  # fmt: skip

    def test_a_value_that_logs_while_it_is_rendered(self, sink: RecordingSink) -> None:
        """Both events are shipped, the inner one first."""
        log = a_logger(KinesisProcessor(sink=sink, drop=True))

        class Chatty:
            def __str__(self) -> str:
                log.info("rendering")
                return "chatty"

        log.info(Chatty())
        assert [event["message"] for event in sink.events] == ["rendering", "chatty"]
        assert DEPTHS == {}

    def test_without_end_stops_bare(self, sink: RecordingSink) -> None:
        """Past three levels none of the application's code runs."""
        log = a_logger(KinesisProcessor(sink=sink, drop=True))

        class Endless:
            def __str__(self) -> str:
                log.info(self)
                return "!"

        log.info(Endless(), a=1)
        first, *others = [event["message"] for event in sink.events]
        assert first.endswith(".Endless>")
        assert others == ["!", "!", "!"]
        log.info("afterwards")
        assert sink.events[-1]["message"] == "afterwards"

    def test_bare_still_has_its_text(self, sink: RecordingSink) -> None:
        """Text runs no code."""
        log = a_logger(KinesisProcessor(sink=sink, drop=True, partition_key="attr:a"))

        class Endless:
            def __str__(self) -> str:
                log.info("inside", a=self)
                return "!"

        log.info("outside", a=Endless())
        messages = [event["message"] for event in sink.events]
        assert messages[-1] == "outside"
        assert set(messages[:-1]) == {"inside"}
        assert "attributes" not in sink.events[0]
        assert sink.partition_keys[0] is None

    def test_what_raises_on_the_way_is_told_and_shipped_bare(self, sink: RecordingSink) -> None:
        """Even an event dict that cannot be read."""

        class Unreadable(dict[str, object]):
            def items(self) -> NoReturn:
                raise RuntimeError("no")

        event_dict = Unreadable(event="x")
        assert KinesisProcessor(sink=sink)(None, "error", event_dict) is event_dict
        assert sink.event["level"] == "ERROR"
        assert [kind for kind, _ in sink.reports] == ["structlog"]

    def test_a_sink_that_fails_is_told_once(
        self, sink: RecordingSink, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What must not happen does not reach the application."""

        def fail(_: bytes) -> NoReturn:
            raise RuntimeError

        monkeypatch.setattr(sink, "emit", fail)
        assert KinesisProcessor(sink=sink)(None, "info", {"event": "x"}) == {"event": "x"}
        assert len(sink.reports) == 1

    def test_a_name_that_is_no_text_is_no_name(self, sink: RecordingSink) -> None:
        """Some loggers have a method of whatever name they are asked for."""
        KinesisProcessor(sink=sink)(structlog.testing.CapturingLogger(), "info", {"event": "x"})
        KinesisProcessor(sink=sink)(types.SimpleNamespace(name=Broken()), "info", {"event": "x"})
        assert [event.get("logger") for event in sink.events] == [None, None]
        assert sink.reports == []

    ANYTHING = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(
            st.characters(exclude_categories=())) | st.binary() | st.builds(Broken)
        | st.builds(object) | st.just(Exception("x")) | st.datetimes(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner)
        | st.tuples(inner) | st.tuples(st.tuples(inner), inner),
        max_leaves=8,
    )  # fmt: skip
    KEYS = st.sampled_from(
        [
            "event", "level", "logger", "timestamp", "exc_info", "exception", "stack", "stack_info",
            "pathname", "filename", "lineno", "func_name", "thread_name", "process", "level_number",
            "_record", "_from_structlog", "positional_args", "a",
        ]
    ) | st.integers() | st.text(st.characters(exclude_categories=()))  # fmt: skip

    @given(
        event_dict=st.dictionaries(KEYS, ANYTHING) | ANYTHING,
        method_name=st.text() | ANYTHING,
        name=ANYTHING,
    )
    def test_of_any_kind_neither_raise_nor_get_lost(
        self,
        event_dict: object,
        method_name: Any,  # noqa: ANN401 - anything at all
        name: object,
    ) -> None:
        """Nothing escapes, and each call is an event."""
        sink = RecordingSink()
        processor = KinesisProcessor(sink=sink, partition_key="a")
        logger = types.SimpleNamespace(name=name)
        assert processor(logger, method_name, event_dict) is event_dict
        assert len(sink.lines) == 1
        assert sink.lines[0].endswith(b"\n")
        assert DEPTHS == {}


class TestOrigin:
    """What the producer's own work logs is counted, not shipped."""

    def test_from_its_context(self, sink: RecordingSink) -> None:
        """And the chain goes on, or ends where it would."""
        event_dict = {"event": "x"}

        def produce() -> None:
            origin.OWN.set(True)
            assert KinesisProcessor(sink=sink)(None, "info", event_dict) is event_dict
            with pytest.raises(structlog.DropEvent):
                KinesisProcessor(sink=sink, drop=True)(None, "info", event_dict)

        contextvars.copy_context().run(produce)
        assert (sink.lines, sink.own) == ([], 2)

    def test_from_its_thread(self, sink: RecordingSink) -> None:
        """Other threads' events are shipped, at the same time."""
        log = a_logger(KinesisProcessor(sink=sink, drop=True))
        with ThreadPoolExecutor(1, initializer=origin.mark_thread) as thread:
            thread.submit(log.info, "own").result()
            thread.submit(origin.unmark_thread).result()
        log.info("other")
        assert (sink.event["message"], sink.own) == ("other", 1)


class TestPartitionKey:
    """Which key an event gets."""

    @pytest.mark.parametrize(
        ("partition_key", "event_dict", "expected"),
        [
            (None, {}, None),
            ("logger", {"logger": "app"}, "app"),
            ("logger", {}, "of.chain"),
            ("level", {}, "INFO"),
            ("level", {"level": "error"}, "ERROR"),
            ("level", {"level": "notice"}, "NOTICE"),
            ("file", {"pathname": "/srv/app.py"}, "app.py"),
            ("user", {"user": "bob"}, "bob"),
            ("attr:user", {"user": 17}, "17"),
            ("attr:user", {}, None),
            (lambda event_dict: event_dict["event"], {}, "x"),
            (lambda _: "k" * 257, {}, hashlib.sha256(b"k" * 257).hexdigest()),
        ],
    )
    def test_is_read_from_the_event(
        self,
        sink: RecordingSink,
        partition_key: PartitionKey,
        event_dict: dict[str, object],
        expected: str | None,
    ) -> None:
        """A callable gets the event dict itself."""
        processor = KinesisProcessor(sink=sink, partition_key=partition_key)
        processor(types.SimpleNamespace(name="of.chain"), "info", {"event": "x", **event_dict})
        (key,) = sink.partition_keys
        assert key == expected

    def test_of_rendered_text_knows_what_the_chain_knows(self, sink: RecordingSink) -> None:
        """Level and logger; there are no attributes any more."""
        for strategy in ("level", "logger", "attr:user", lambda text: text[:3]):
            processor = KinesisProcessor(sink=sink, partition_key=strategy)
            processor(types.SimpleNamespace(name="app"), "warn", '{"user":"bob"}')
        assert sink.partition_keys == ["WARNING", "app", None, '{"u']

    def test_of_the_process_and_the_trace(
        self, sink: RecordingSink, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each process has one; outside of a span there is no trace."""
        context = types.SimpleNamespace(trace_id=10, span_id=11, trace_flags=1, is_valid=True)
        span = types.SimpleNamespace(get_span_context=lambda: context)
        for strategy in ("process", "trace_id"):
            KinesisProcessor(sink=sink, partition_key=strategy)(None, "info", {"event": "x"})
        module = types.SimpleNamespace(get_current_span=lambda: span)
        monkeypatch.setitem(sys.modules, SPANS, module)
        KinesisProcessor(sink=sink, partition_key="trace_id")(None, "info", {"event": "x"})
        process, outside, inside = sink.partition_keys
        assert process
        assert (outside, inside) == (None, f"{10:032x}")
        assert sink.events[2]["trace_id"] == f"{10:032x}"

    def test_a_callable_that_fails_leaves_the_event_keyless(self, sink: RecordingSink) -> None:
        """And is told."""

        def fail(_: object) -> NoReturn:
            raise RuntimeError

        KinesisProcessor(sink=sink, partition_key=fail)(None, "info", {"event": "x"})
        assert sink.partition_keys == [None]
        assert [kind for kind, _ in sink.reports] == ["partition_key"]


class TestLife:
    """Making, sharing, flushing, closing, copying."""

    def test_shares_the_sink_of_its_configuration(self, registry: Registry) -> None:
        """With everything else of that configuration, from the first event on."""
        processor = KinesisProcessor("app-logs", linger=1)
        assert processor.flush()
        assert processor.statistics() == Statistics()
        assert registry.sinks == {}
        processor(None, "info", {"event": "x"})
        processor(None, "info", {"event": "x"})
        KinesisHandler("app-logs", linger=1).handle(a_record())
        assert registry.sink.config == Config(stream_name="app-logs", linger=1)
        assert registry.held == [registry.sink] * 2
        assert processor.statistics().accepted == 3

    async def test_closes_and_opens_again(self, registry: Registry) -> None:
        """As every door."""
        processor = KinesisProcessor("app-logs")
        for _ in range(2):
            processor(None, "info", {"event": "x"})
            assert registry.held == [registry.sink]
            assert await processor.aflush(5)
            processor.close()
            assert registry.held == []

    @pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, pickle.loads])
    def test_a_copy_does_the_same(
        self, clone: Callable[[Any], KinesisProcessor], registry: Registry
    ) -> None:
        """In the same configuration, dropping or not."""
        original = KinesisProcessor("app-logs", drop=True, partition_key="attr:a")
        twin = clone(pickle.dumps(original) if clone is pickle.loads else original)
        with pytest.raises(structlog.DropEvent):
            twin(None, "info", {"event": "x", "a": 1})
        assert registry.sink.partition_keys == ["1"]

    def test_a_deep_copy_shares_a_given_sink(self, sink: RecordingSink) -> None:
        """Two processors of one sink, never two sinks."""
        copy.deepcopy(KinesisProcessor(sink=sink))(None, "info", {"event": "x"})
        assert sink.event["message"] == "x"

    def test_what_cannot_work_is_refused_at_once(self, sink: RecordingSink) -> None:
        """As by every adapter."""
        with pytest.raises(ConfigurationError, match="did you mean schema"):
            KinesisProcessor("app-logs", schem="ecs")  # type: ignore[call-arg]  # what is refused
        with pytest.raises(ConfigurationError, match="sink"):
            KinesisProcessor("app-logs", sink=sink)

    def test_shows_its_stream(self) -> None:
        """What a user pastes into an issue."""
        assert repr(KinesisProcessor("app-logs")) == "<KinesisProcessor app-logs>"

    def test_every_option_of_events_counts(self, sink: RecordingSink) -> None:
        """The same ones as for every adapter."""
        processor = KinesisProcessor(
            sink=sink, rename={"message": "msg"}, static_fields={"team": "shop"},
            redact="default", extra="flat",
        )  # fmt: skip
        processor(None, "info", {"event": "x", "password": "hush", "a": 1})
        event = sink.event
        assert (event["msg"], event["team"], event["a"]) == ("x", "shop", 1)
        assert event["password"] == "[redacted]"

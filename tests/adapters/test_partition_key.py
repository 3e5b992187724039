"""Which partition key an event gets, the same for every adapter."""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import threading
import types
from typing import Any, NoReturn

import pytest

from kinesink import ConfigurationError, KinesisHandler
from kinesink.adapters import event_dict
from kinesink.adapters.event_dict import HAS_TASKS, translate
from kinesink.adapters.log_record import READERS
from kinesink.adapters.nesting import DEPTHS, forget_others
from kinesink.adapters.partition_key import key_of, usable
from kinesink.adapters.this_process import THIS_PROCESS
from kinesink.event.current_span import SPANS
from tests.adapters.recording_sink import RecordingSink, a_record

RECORD: dict[str, Any] = {"user": "bob", "taskName": "Task-3"}
EVENT_DICT: dict[str, Any] = {
    "event": "x", "level": "info", "user": "bob", "pathname": "/srv/app/orders.py", "lineno": 12,
    "func_name": "place", "thread_name": "MainThread", "logger": "app.orders",
}  # fmt: skip


@pytest.fixture
def span(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """Return the ids of the current span, which is valid."""
    context = types.SimpleNamespace(trace_id=10, span_id=11, trace_flags=1, is_valid=True)
    span = types.SimpleNamespace(get_span_context=lambda: context)
    module = types.SimpleNamespace(get_current_span=lambda: span)
    monkeypatch.setitem(sys.modules, SPANS, module)
    return context


def of_record(partition_key: object, **fields: object) -> object:
    """Return the key of a record of logging."""
    read = key_of(partition_key, READERS)
    assert read is not None
    return read(a_record("x", **fields))


def of_event_dict(partition_key: object, given: dict[str, Any]) -> object:
    """Return the key of an event dict of structlog."""
    read = key_of(partition_key, event_dict.READERS)
    assert read is not None
    return read(translate(given, "debug", None, 7))


def of_bridged(partition_key: object, given: dict[str, Any]) -> object:
    """Return the key of a record that has an event dict as its message."""
    read = key_of(partition_key, READERS)
    assert read is not None
    return read(a_record(given, _logger=object(), _name="info"))


class TestSameMeaning:
    """Whatever library an event comes through."""

    @pytest.mark.parametrize(
        ("partition_key", "expected"),
        [
            ("logger", "app.orders"),
            ("level", "INFO"),
            ("file", "orders.py"),
            ("line", 12),
            ("function", "place"),
            ("thread", "MainThread"),
            ("pid", 7),
            ("user", "bob"),
            ("attr:user", "bob"),
            ("attr:level", None),
            ("attr:event", None),
            ("message", None),
            ("nothing", None),
            ("attr:nothing", None),
        ],
    )
    def test_of_each_strategy(self, partition_key: str, expected: object) -> None:
        """A field is what the event shows under its name, an attribute what else was said."""
        assert of_record(partition_key, **RECORD) == expected
        assert of_event_dict(partition_key, EVENT_DICT) == expected
        assert of_bridged(partition_key, EVENT_DICT) == expected

    @pytest.mark.skipif(not HAS_TASKS, reason="before Python 3.12 records have no task")
    def test_of_the_task(self) -> None:
        """As far as the library knows it."""
        assert of_record("task", **RECORD) == "Task-3"
        assert of_event_dict("task", EVENT_DICT) is None

    def test_an_attribute_comes_before_a_field(self) -> None:
        """It is what the application says."""
        assert of_event_dict("line", {"event": "x", "line": "U3"}) == "U3"
        assert of_record("line", line="U3") == "U3"

    def test_of_each_process(self) -> None:
        """One key for each, whoever asks."""
        key = of_record("process")
        assert of_event_dict("process", EVENT_DICT) == of_bridged("process", EVENT_DICT) == key
        assert of_record("process", process=8) != key

    def test_of_the_trace(self, span: types.SimpleNamespace) -> None:
        """The current one; outside of a span there is no key."""
        expected = f"{10:032x}"
        assert of_record("trace_id") == expected
        assert of_event_dict("trace_id", EVENT_DICT) == expected
        assert of_bridged("trace_id", EVENT_DICT) == expected
        span.is_valid = False
        assert of_record("trace_id") is None
        assert of_event_dict("trace_id", {"event": "x"}) is None

    def test_of_a_trace_that_was_noted_on_the_record(self, span: types.SimpleNamespace) -> None:
        """By OpenTelemetry's logging instrumentation; another thread may ship it."""
        span.is_valid = False
        noted = {"otelTraceID": f"{12:032x}", "otelSpanID": f"{13:016x}"}
        assert of_record("trace_id", **noted) == f"{12:032x}"


class TestUsable:
    """What Kinesis takes as a key."""

    @pytest.mark.parametrize(
        ("value", "key"),
        [
            (None, None),
            ("", None),
            ("bob", "bob"),
            (0, "0"),
            (False, "False"),
            ("u\ud800", "u?"),
            ("x" * 256, "x" * 256),
            ("ü" * 257, hashlib.sha256(("ü" * 257).encode()).hexdigest()),
        ],
    )
    def test_is_one_to_256_characters(self, value: object, key: str | None) -> None:
        """Longer ones are hashed, so that equal ones still share a shard."""
        assert usable(value) == key

    def test_a_value_without_a_text_names_its_type(self) -> None:
        """``__str__`` is the application's code."""

        class Broken:
            def __str__(self) -> NoReturn:
                raise RuntimeError

        assert "Broken" in (usable(Broken()) or "")


class TestConfiguration:
    """What is refused at once."""

    @pytest.mark.parametrize("partition_key", ["", "attr:", 7, ["logger"]])
    def test_what_is_no_strategy(self, partition_key: object) -> None:
        """With what is allowed."""
        with pytest.raises(ConfigurationError, match="'attr:'"):
            key_of(partition_key, READERS)

    @pytest.mark.parametrize("partition_key", ["loger", "proces", "traceid"])
    def test_what_is_nearly_one(self, partition_key: str) -> None:
        """An attribute of that name can still be had."""
        with pytest.raises(ConfigurationError, match=f"'attr:{partition_key}'"):
            key_of(partition_key, READERS)
        assert of_record(f"attr:{partition_key}", **{partition_key: 1}) == 1

    def test_none_and_callables(self) -> None:
        """None reads nothing; a callable is asked itself."""

        def ask(_: object) -> str:
            return "key"

        assert key_of(None, READERS) is None
        assert key_of(ask, READERS) is ask


class TestNesting:
    """Reading a key may run the application's code, which may log."""

    def test_a_key_that_logs_ends(self) -> None:
        """Past the depth an event goes without a key."""
        sink = RecordingSink()
        logger = logging.Logger("app")  # noqa: LOG001 - out of reach

        def key(record: logging.LogRecord) -> str:
            logger.info("reading")
            return record.name

        logger.addHandler(KinesisHandler(sink=sink, partition_key=key))
        logger.info("outside")
        assert sink.partition_keys == [None, "app", "app", "app"]

    def test_other_threads_are_forgotten(self) -> None:
        """A forked child does not have them; the one that forked may be rendering."""
        mine = threading.get_ident()
        DEPTHS.update({mine: 1, mine + 1: 3})
        try:
            forget_others()
            assert list(DEPTHS.items()) == [(mine, 1)]
        finally:
            DEPTHS.clear()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
    def test_a_forked_child_forgets_the_threads_it_does_not_have(self) -> None:
        """A new thread may get the identity of one that was rendering, and is at no depth."""
        mine, other = threading.get_ident(), threading.get_ident() + 1
        DEPTHS.update({mine: 1, other: 3})
        try:
            child = os.fork()
            if not child:  # pytest must not go on in it
                os._exit(0 if [*DEPTHS] == [mine] and os.getpid() == THIS_PROCESS.id else 1)
            assert os.waitpid(child, 0)[1] == 0
            assert [*DEPTHS] == [mine, other]
        finally:
            DEPTHS.clear()

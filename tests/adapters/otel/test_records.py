"""A log record of OpenTelemetry becomes an event of the default schema."""

from __future__ import annotations

import copy
import gc
import os
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LogRecordLimits, ReadWriteLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from kinesink import KinesisLogRecordProcessor
from kinesink.adapters import otel_record
from tests.adapters.otel.support import (
    A_RESOURCE,
    A_SCOPE,
    MOMENT,
    SPAN_ID,
    TIMESTAMP,
    TRACE_ID,
    a_log_record,
    in_a_span,
    logger_of,
    shipped,
    writable,
)
from tests.adapters.recording_sink import RecordingSink

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinesink.adapters.partition_key import PartitionKey


class TestFields:
    """What OpenTelemetry knows goes where the other doors put the same."""

    def test_a_whole_record_is_an_event_of_the_default_schema(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each part by its name, in the order of the schema."""
        monkeypatch.setattr("platform.node", lambda: "web-1")
        record = writable(
            "order 7 accepted",
            resource=Resource({"service.name": "shop", "service.version": "1.2", "k8s.pod": "p"}),
            scope=InstrumentationScope("app.orders", "2.0", "https://schema", {"team": "a"}),
            attributes={"user": "ann", "code.file.path": "/srv/app/orders.py",
                        "code.line.number": 12, "code.function.name": "place",
                        "thread.name": "MainThread"},
            context=in_a_span(),
            event_name="order.accepted",
        )  # fmt: skip
        event = shipped(record)
        assert event == {
            "timestamp": TIMESTAMP,
            "level": "INFO",
            "severity_number": 9,
            "logger": "app.orders",
            "message": "order 7 accepted",
            "service": "shop",
            "version": "1.2",
            "host": "web-1",
            "pid": os.getpid(),
            "thread": "MainThread",
            "file": "orders.py",
            "line": 12,
            "function": "place",
            "event_name": "order.accepted",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "span_id": "00f067aa0ba902b7",
            "trace_flags": 1,
            "scope": {
                "version": "2.0",
                "schema_url": "https://schema",
                "attributes": {"team": "a"},
            },
            "attributes": {"user": "ann"},
            "resource": {"k8s.pod": "p"},
        }
        assert list(event) == sorted(event, key=list(otel_order()).index)

    @pytest.mark.parametrize(
        ("severity_text", "severity_number", "level", "number"),
        [
            ("INFO", SeverityNumber.INFO, "INFO", 9),
            ("WARN", SeverityNumber.WARN, "WARNING", 13),
            ("FATAL", SeverityNumber.FATAL, "CRITICAL", 21),
            ("notice", SeverityNumber.INFO2, "NOTICE", 10),
            ("INFO", None, "INFO", 0),
            (None, SeverityNumber.UNSPECIFIED, None, 0),
            (None, SeverityNumber.TRACE, "TRACE", 1),
            (None, SeverityNumber.DEBUG4, "DEBUG", 8),
            ("", SeverityNumber.INFO, "INFO", 9),
            (None, SeverityNumber.WARN3, "WARNING", 15),
            (None, SeverityNumber.ERROR, "ERROR", 17),
            (None, SeverityNumber.FATAL4, "CRITICAL", 24),
            (None, None, None, 0),
            (None, 17, "ERROR", 17),
            (None, 99, None, 0),
            (None, "loud", None, 0),
            (7, SeverityNumber.INFO, "7", 9),
        ],
    )
    def test_severity_is_level_and_number(
        self, severity_text: object, severity_number: object, level: str | None, number: int
    ) -> None:
        """By Python's names; where the text is missing, by the number."""
        event = shipped(writable(severity_text=severity_text, severity_number=severity_number))
        assert (event.get("level"), event["severity_number"]) == (level, number)

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ("text", "text"),
            ("", ""),
            (None, ""),
            (7, "7"),
            (1.5, "1.5"),
            (True, "true"),
            (b"raw", "raw"),
            (b"\xff", "/w=="),
            (["a", 1, None], '["a",1,null]'),
            (("a", {"b": 2}), '["a",{"b":2}]'),
            ("lone \ud800 surrogate", "lone ? surrogate"),
        ],
    )
    def test_a_body_is_the_message(self, body: object, message: str) -> None:
        """Text as it is, everything else as JSON."""
        event = shipped(writable(body))
        assert event["message"] == message
        assert "attributes" not in event

    @pytest.mark.parametrize(
        ("body", "message", "attributes"),
        [
            ({"message": "hello", "a": 1}, "hello", {"a": 1, "own": True}),
            ({"event": "hello", "a": {"b": [1]}}, "hello", {"a": {"b": [1]}, "own": True}),
            ({"a": 1, "own": False}, "", {"a": 1, "own": True, "body": {"own": False}}),
            (
                {"body": 3, "own": False},
                "",
                {"own": True, "body": {"body": 3, "own": False}},
            ),
        ],
    )
    def test_the_items_of_a_mapping_are_attributes(
        self, body: object, message: str, attributes: dict[str, Any]
    ) -> None:
        """Its message or event is the message; what an attribute is called as well is kept."""
        event = shipped(writable(body, attributes={"own": True}))
        assert (event["message"], event["attributes"]) == (message, attributes)

    def test_a_mapping_without_attributes_beside_it(self) -> None:
        """Only its own items are there."""
        assert shipped(writable({"a": 1}))["attributes"] == {"a": 1}

    def test_attributes_are_kept_as_deep_as_they_are(self) -> None:
        """Mappings, sequences, bytes and numbers."""
        attributes = {"list": [1, 2], "map": {"a": {"b": [True]}}, "bytes": b"x", "n": 2**70}
        assert shipped(writable(attributes=attributes))["attributes"] == {
            "list": [1, 2],
            "map": {"a": {"b": [True]}},
            "bytes": "x",
            "n": str(2**70),
        }

    @pytest.mark.filterwarnings("ignore:Log record attributes were dropped")
    def test_what_limits_have_dropped_is_counted(self) -> None:
        """Those that are left are shipped, and the number of the others."""
        record = ReadWriteLogRecord(
            a_log_record(attributes={"a": 1, "b": 2, "c": "a long text"}),
            A_RESOURCE,
            A_SCOPE,
            LogRecordLimits(max_attributes=1, max_attribute_length=6),
        )
        event = shipped(record)
        assert event["attributes"] == {"c": "a long"}
        assert event["dropped_attributes_count"] == 2

    def test_a_moment_is_exact_to_the_nanosecond(self) -> None:
        """Nine digits, leading zeros included."""
        assert shipped(writable(timestamp=1_000_000_001))["timestamp"] == (
            "1970-01-01T00:00:01.000000001Z"
        )

    def test_without_a_time_the_observation_counts(self) -> None:
        """Observed once, by the SDK."""
        assert shipped(writable(timestamp=None))["timestamp"] == "2026-01-02T03:04:05.678901235Z"

    def test_without_any_time_now_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A record made by hand need not have one."""
        monkeypatch.setattr("time.time_ns", lambda: MOMENT)
        event = shipped(writable(timestamp=None, observed_timestamp=None))
        assert event["timestamp"] == TIMESTAMP

    @pytest.mark.parametrize("flags", [0, 1])
    def test_ids_are_those_of_the_record(self, flags: int) -> None:
        """Whatever span is active where it is written."""
        event = shipped(writable(context=in_a_span(flags)))
        assert (event["trace_id"], event["span_id"], event["trace_flags"]) == (
            f"{TRACE_ID:032x}", f"{SPAN_ID:016x}", flags,
        )  # fmt: skip

    @pytest.mark.parametrize("trace_id", [0, None])
    def test_a_record_outside_of_any_span_has_no_ids(self, trace_id: int | None) -> None:
        """Not even zeros."""
        assert {"trace_id", "span_id", "trace_flags"}.isdisjoint(
            shipped(writable(trace_id=trace_id))
        )

    def test_a_trace_without_span_or_flags(self) -> None:
        """What is missing is zero."""
        event = shipped(writable(trace_id=TRACE_ID, span_id=None, trace_flags=None))
        assert (event["span_id"], event["trace_flags"]) == ("0" * 16, 0)


def otel_order() -> list[str]:
    """Return the fields of the default schema in their order."""
    from kinesink.event.parts import FIELDS  # noqa: PLC0415 - for one test

    return list(FIELDS)


class TestSpecialAttributes:
    """What semantic conventions name and the schema has a field for."""

    def test_an_exception_is_one_field(self) -> None:
        """Type, message and stack trace."""
        attributes = {
            "exception.type": "ValueError",
            "exception.message": "no",
            "exception.stacktrace": "Traceback …",
            "a": 1,
        }
        event = shipped(writable(attributes=attributes))
        assert event["exception"] == {
            "type": "ValueError", "message": "no", "stacktrace": "Traceback …",
        }  # fmt: skip
        assert event["attributes"] == {"a": 1}

    def test_a_part_of_an_exception_is_enough(self) -> None:
        """A message alone."""
        event = shipped(writable(attributes={"exception.message": "no"}))
        assert event["exception"] == {"message": "no"}
        assert "attributes" not in event

    def test_the_sdk_s_own_exception_parameter(self) -> None:
        """Newer SDKs make attributes of an exception that is given to emit."""
        sink = RecordingSink()
        logger = logger_of(KinesisLogRecordProcessor(sink=sink))
        try:
            logger.emit(body="failed", exception=ValueError("no"))  # type: ignore[call-overload,unused-ignore]  # newer ones
        except TypeError:
            pytest.skip("this SDK has no such parameter")
        assert sink.event["exception"]["type"] == "ValueError"
        assert sink.event["exception"]["message"] == "no"
        assert "ValueError: no" in sink.event["exception"]["stacktrace"]

    @pytest.mark.parametrize(
        ("attributes", "fields"),
        [
            (
                {"code.filepath": "/a/b.py", "code.lineno": 3, "code.function": "f"},
                {"file": "b.py", "line": 3, "function": "f"},
            ),
            ({"code.stacktrace": "at f"}, {"stack_info": "at f"}),
            ({"thread.name": "worker"}, {"thread": "worker"}),
        ],
    )
    def test_where_a_record_was_made(
        self, attributes: Mapping[str, Any], fields: dict[str, Any]
    ) -> None:
        """By older names as well."""
        event = shipped(writable(attributes=attributes))
        assert event.items() >= fields.items()
        assert "attributes" not in event

    def test_the_newest_name_wins_and_the_other_stays(self) -> None:
        """Nothing is lost."""
        event = shipped(
            writable(attributes={"code.filepath": "old.py", "code.file.path": "new.py"})
        )
        assert (event["file"], event["attributes"]) == ("new.py", {"code.filepath": "old.py"})

    def test_a_value_of_another_kind_is_an_attribute_like_others(self) -> None:
        """A line that is a text has no field."""
        attributes = {"code.line.number": "twelve", "exception.type": 3}
        event = shipped(writable(attributes=attributes))
        assert event["attributes"] == attributes
        assert {"line", "exception"}.isdisjoint(event)


class TestResource:
    """What a process says of itself, and what it leaves to the environment."""

    @pytest.mark.parametrize(
        ("attributes", "fields", "rest"),
        [
            ({"deployment.environment.name": "prod"}, {"env": "prod"}, None),
            ({"deployment.environment": "prod"}, {"env": "prod"}, None),
            (
                {"deployment.environment.name": "a", "deployment.environment": "b"},
                {"env": "a"},
                None,
            ),
            ({"host.name": "web-1"}, {"host": "web-1"}, None),
            ({"process.pid": 1}, {"pid": os.getpid()}, None),
            ({"a": ["x", "y"]}, {}, {"a": ["x", "y"]}),
        ],
    )
    def test_each_part_has_its_field(
        self, attributes: dict[str, Any], fields: dict[str, Any], rest: dict[str, Any] | None
    ) -> None:
        """The rest stands under resource."""
        event = shipped(writable(resource=Resource(attributes)))
        assert event.items() >= fields.items()
        assert event.get("resource") == rest

    @pytest.mark.parametrize("attributes", [{}, {"service.name": "unknown_service:python"}])
    def test_the_environment_names_what_the_resource_does_not(
        self, monkeypatch: pytest.MonkeyPatch, attributes: dict[str, Any]
    ) -> None:
        """As at the other doors."""
        monkeypatch.setenv("DD_SERVICE", "shop")
        monkeypatch.setenv("DD_ENV", "prod")
        monkeypatch.setenv("DD_VERSION", "7")
        event = shipped(writable(resource=Resource(attributes)))
        assert (event["service"], event["env"], event["version"]) == ("shop", "prod", "7")

    def test_an_unknown_service_is_better_than_none(self) -> None:
        """Where nothing else names it."""
        event = shipped(writable(resource=Resource({"service.name": "unknown_service"})))
        assert event["service"] == "unknown_service"

    @pytest.mark.parametrize("missing", ["resource", "instrumentation_scope"])
    def test_a_record_may_lack_either(self, missing: str) -> None:
        """Neither resource nor scope has to be there."""
        sink = RecordingSink()
        processor = KinesisLogRecordProcessor(sink=sink)
        for record in (writable(), writable(), writable()):
            setattr(record, missing, None)
            processor.on_emit(record)
            # Nor is it that of the record before.
            processor.on_emit(writable())
        field = "logger" if missing == "instrumentation_scope" else "resource"
        assert [field in event for event in sink.events] == [False, True] * 3

    def test_many_resources_and_scopes_are_told_apart(self) -> None:
        """What is kept ready is bounded, and never mistaken for another of its identity."""
        sink = RecordingSink()
        processor = KinesisLogRecordProcessor(sink=sink)
        expected = []
        for number in range(300):
            names = f"service-{number % 150}", f"logger-{number}", f"LEVEL{number}"
            record = writable(
                resource=Resource({"service.name": names[0]}),
                scope=InstrumentationScope(names[1]),
                severity_text=names[2],
            )
            processor.on_emit(record)
            expected.append(names)
            del record
            gc.collect(0)
        told = [(event["service"], event["logger"], event["level"]) for event in sink.events]
        assert told == expected
        encoder = processor._translator._encoder
        for known in (encoder._sources, encoder._scopes, encoder._sites):
            assert 0 < len(known) <= otel_record._MOST_REMEMBERED

    def test_those_that_come_again_are_found_again(self) -> None:
        """Two in turn, each with a severity of its own."""
        sink = RecordingSink()
        processor = KinesisLogRecordProcessor(sink=sink)
        kinds: list[dict[str, Any]] = [
            {"resource": Resource({"service.name": "a"}), "scope": InstrumentationScope("la"),
             "severity_number": SeverityNumber.INFO},
            {"resource": Resource({"service.name": "b"}), "scope": InstrumentationScope("lb"),
             "severity_number": SeverityNumber.INFO2},
        ]  # fmt: skip
        for kind in kinds * 2:
            processor.on_emit(writable(**kind))
        told = [(each["service"], each["logger"], each["severity_number"]) for each in sink.events]
        assert told == [("a", "la", 9), ("b", "lb", 10)] * 2


class TestNothingIsChanged:
    """What belongs to the caller is read only."""

    @pytest.mark.parametrize("options", [{}, {"schema": "otel"}, {"redact": "user"}])
    def test_the_record_is_as_it_was(self, options: dict[str, Any]) -> None:
        """Body, attributes and context, which later processors look at."""
        body = {"message": "hello", "list": [1, {"a": 2}], "user": "ann"}
        attributes = {"exception.type": "E", "code.lineno": 3, "map": {"a": [1]}, "user": "ann"}
        record = writable(body, attributes=attributes, context=in_a_span())
        before = copy.deepcopy((body, dict(record.log_record.attributes or {})))
        fields = dict(vars(record.log_record))
        shipped(record, **options)
        assert (body, dict(record.log_record.attributes or {})) == before
        after = vars(record.log_record)
        assert {name: id(value) for name, value in after.items()} == {
            name: id(value) for name, value in fields.items()
        }


class TestPartitionKey:
    """What a key can be made of."""

    @pytest.mark.parametrize(
        ("strategy", "key"),
        [
            ("logger", "app.orders"),
            ("trace_id", f"{TRACE_ID:032x}"),
            ("user", "ann"),
            ("attr:user", "ann"),
            ("tenant", "from body"),
            ("level", "INFO"),
            ("event_name", "order.accepted"),
            ("line", "12"),
            ("file", "orders.py"),
            pytest.param("pid", str(os.getpid()), id="pid"),
            ("attr:logger", None),
            ("attr:line", None),
            ("nothing", None),
            (lambda record: record.log_record.severity_text, "INFO"),
        ],
    )
    def test_a_key_comes_from_the_record(self, strategy: PartitionKey, key: str | None) -> None:
        """Attributes first, then what the schema calls so."""
        sink = RecordingSink()
        record = writable(
            {"message": "m", "tenant": "from body"},
            attributes={"user": "ann", "code.line.number": 12, "code.filepath": "/srv/orders.py"},
            context=in_a_span(),
            event_name="order.accepted",
        )
        KinesisLogRecordProcessor(sink=sink, partition_key=strategy).on_emit(record)
        assert sink.partition_keys == [key]

    def test_one_key_per_process(self) -> None:
        """The same for all of its records."""
        sink = RecordingSink()
        processor = KinesisLogRecordProcessor(sink=sink, partition_key="process")
        processor.on_emit(writable())
        processor.on_emit(writable())
        (key,) = set(sink.partition_keys)
        assert key is not None
        assert key.endswith(f"-{os.getpid()}")

    @pytest.mark.parametrize("strategy", ["logger", "trace_id", "user"])
    def test_a_record_without_it_has_no_key(self, strategy: str) -> None:
        """Never a drop."""
        sink = RecordingSink()
        record = writable()
        record.instrumentation_scope = None
        KinesisLogRecordProcessor(sink=sink, partition_key=strategy).on_emit(record)
        assert sink.partition_keys == [None]

    def test_a_callable_that_raises_costs_the_key_only(self) -> None:
        """The event goes without one."""
        sink = RecordingSink()

        def key(record: ReadWriteLogRecord) -> str:
            raise KeyError(record.log_record.event_name)

        KinesisLogRecordProcessor(sink=sink, partition_key=key).on_emit(writable())
        assert (len(sink.lines), sink.partition_keys) == (1, [None])
        assert [kind for kind, _ in sink.reports] == ["partition_key"]

"""Requests of OTLP: complete, valid, and read by OpenTelemetry's own messages."""

from __future__ import annotations

import base64
import json
import logging
import math
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format  # type: ignore[import-untyped]  # it ships no types
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.common import _log_encoder
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk._logs import LogRecordLimits, ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from kinesink import KinesisLogRecordExporter
from kinesink.testing import Hang
from tests.adapters.otel.support import (
    A_RESOURCE,
    A_SCOPE,
    MOMENT,
    SPAN_ID,
    TRACE_ID,
    exported,
    in_a_span,
    readable,
    writable,
)
from tests.adapters.recording_sink import RecordingSink
from tests.shell.support import PATIENCE, make_sink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Unpack

    from kinesink.adapters.otlp import Encoding
    from kinesink.adapters.parameters import EventParameters
    from kinesink.testing import FakeKinesis

ENCODINGS: list[Encoding] = ["otlp_proto", "otlp_json"]

both_encodings = pytest.mark.parametrize("encoding", ENCODINGS)


def decoded(encoding: Encoding, data: bytes) -> ExportLogsServiceRequest:
    """Return the message that a consumer reads."""
    request = ExportLogsServiceRequest()
    if encoding == "otlp_proto":
        request.ParseFromString(data)
        return request
    parsed = json.loads(data)
    # Ids are in hexadecimal, which is where OTLP's JSON is not protobuf's.
    for of_resource in parsed["resourceLogs"]:
        for of_scope in of_resource["scopeLogs"]:
            for record in of_scope["logRecords"]:
                for name in {"traceId", "spanId"} & record.keys():
                    record[name] = base64.b64encode(bytes.fromhex(record[name])).decode()
    json_format.ParseDict(parsed, request)
    return request


def requests(
    encoding: Encoding,
    *batch: ReadableLogRecord,
    **options: Unpack[EventParameters],
) -> list[ExportLogsServiceRequest]:
    """Return the requests that a batch becomes."""
    return [decoded(encoding, data) for data in exported(encoding, *batch, **options)]


def records_of(*messages: ExportLogsServiceRequest) -> list[Any]:
    """Return the records of all requests, scope by scope."""
    return [
        record
        for message in messages
        for of_resource in message.resource_logs
        for of_scope in of_resource.scope_logs
        for record in of_scope.log_records
    ]


def the_record(
    encoding: Encoding, record: ReadableLogRecord, **options: Unpack[EventParameters]
) -> Any:  # noqa: ANN401 - a message
    """Return the one record of one request."""
    (found,) = records_of(*requests(encoding, record, **options))
    return found


def plain(value: Any) -> object:  # noqa: ANN401 - an AnyValue
    """Return what an AnyValue says."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(each) for each in value.array_value.values]
    if kind == "kvlist_value":
        return pairs(value.kvlist_value.values)
    return None if kind is None else getattr(value, kind)


def pairs(values: Any) -> dict[str, object]:  # noqa: ANN401 - several KeyValues
    """Return what KeyValues say."""
    return {each.key: plain(each.value) for each in values}


@pytest.fixture
def said() -> Iterator[list[logging.LogRecord]]:
    """Return what is said through logging meanwhile, by whichever logger."""
    records: list[logging.LogRecord] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = Listening()
    logging.getLogger().addHandler(handler)
    yield records
    logging.getLogger().removeHandler(handler)


class TestFields:
    """Every field of the data model arrives."""

    @both_encodings
    def test_a_whole_record(self, encoding: Encoding) -> None:
        """With its resource and scope."""
        record = readable(
            {"text": "hello", "n": [1, 2.5, True, None, b"\xff"]},
            resource=Resource({"service.name": "shop"}, "https://resource"),
            scope=InstrumentationScope("app", "1.0", "https://scope", {"team": "a"}),
            attributes={"user": "ann", "deep": {"a": {"b": 1}}},
            context=in_a_span(),
            event_name="order.accepted",
        )
        (request,) = requests(encoding, record)
        (of_resource,) = request.resource_logs
        (of_scope,) = of_resource.scope_logs
        (found,) = of_scope.log_records
        assert pairs(of_resource.resource.attributes) == {"service.name": "shop"}
        assert of_resource.schema_url == "https://resource"
        assert (of_scope.scope.name, of_scope.scope.version) == ("app", "1.0")
        assert pairs(of_scope.scope.attributes) == {"team": "a"}
        assert of_scope.schema_url == "https://scope"
        assert (found.time_unix_nano, found.observed_time_unix_nano) == (MOMENT, MOMENT + 1)
        assert (found.severity_number, found.severity_text) == (9, "INFO")
        assert plain(found.body) == {"text": "hello", "n": [1, 2.5, True, None, b"\xff"]}
        assert pairs(found.attributes) == {"user": "ann", "deep": {"a": {"b": 1}}}
        assert found.trace_id == TRACE_ID.to_bytes(16, "big")
        assert found.span_id == SPAN_ID.to_bytes(8, "big")
        assert (found.flags, found.event_name) == (1, "order.accepted")

    @both_encodings
    def test_an_empty_record(self, encoding: Encoding) -> None:
        """What is not known is not said."""
        record = readable(
            None, scope=None, timestamp=None, severity_text=None, severity_number=None,
            trace_id=None, span_id=None, trace_flags=None, attributes=None,
        )  # fmt: skip
        found = the_record(encoding, record)
        assert [field.name for field, _ in found.ListFields()] == [
            "body", "observed_time_unix_nano",
        ]  # fmt: skip
        assert plain(found.body) is None

    @both_encodings
    @pytest.mark.filterwarnings("ignore:Log record attributes were dropped")
    def test_what_limits_have_dropped_is_counted(self, encoding: Encoding) -> None:
        """Also if what is left had to be changed."""
        given = writable(attributes={"a": 1, "b": 2, "password": "x"})
        limits = LogRecordLimits(max_attributes=1)
        limited = type(given)(given.log_record, A_RESOURCE, A_SCOPE, limits)
        record = ReadableLogRecord(limited.log_record, A_RESOURCE, A_SCOPE, limits)
        found = the_record(encoding, record, redact="default")
        assert pairs(found.attributes) == {"password": "[redacted]"}
        assert found.dropped_attributes_count == 2

    @both_encodings
    @pytest.mark.parametrize(
        "value", [math.inf, -math.inf, -0.0, 1e300, 2**63 - 1, -(2**63), 0, "", [], {}, b"", False]
    )
    def test_values_at_the_edge_are_kept(self, encoding: Encoding, value: object) -> None:
        """Exactly, in bodies and in attributes."""
        found = the_record(encoding, readable(value, attributes={"a": value}))
        assert repr(plain(found.body)) == repr(value)
        assert repr(pairs(found.attributes)["a"]) == repr(value)

    @both_encodings
    def test_not_a_number_is_kept(self, encoding: Encoding) -> None:
        """Protobuf has it."""
        found = the_record(encoding, readable(math.nan))
        assert math.isnan(found.body.double_value)


class TestWhatOtlpCannotHold:
    """It is replaced by what OTLP can hold; no record is lost, and nothing is logged."""

    @both_encodings
    @pytest.mark.parametrize(
        ("value", "instead"),
        [
            (2**63, str(2**63)),
            (2**64, str(2**64)),
            (-(2**63) - 1, str(-(2**63) - 1)),
            ("lone \ud800 surrogate", "lone ? surrogate"),
            ({"lone \udfff key": 1}, {"lone ? key": 1}),
            ({1: 2}, {"1": 2}),
            ([1, {"a": 2**64 - 1}], [1, {"a": str(2**64 - 1)}]),
            ({1}, [1]),
            (ValueError("no"), "no"),
            (type("Text", (str,), {})("text"), "text"),
            (type("Number", (int,), {})(7), 7),
            (type("Fraction", (float,), {})(0.5), 0.5),
        ],
    )
    def test_it_is_replaced(
        self, encoding: Encoding, value: object, instead: object, said: list[logging.LogRecord]
    ) -> None:
        """In bodies and attributes, past what the SDK cleans."""
        record = readable(value, attributes={"bad": value, "good": 1})
        before, after = readable("before"), readable("after")
        found = records_of(*requests(encoding, before, record, after))
        assert [plain(each.body) for each in found] == ["before", instead, "after"]
        assert pairs(found[1].attributes) == {"bad": instead, "good": 1}
        assert said == []

    @both_encodings
    def test_what_is_nested_too_deep_is_named(self, encoding: Encoding) -> None:
        """Readers of protobuf refuse a request for it."""
        deep: list[object] = []
        for _ in range(60):
            deep = [deep]
        found = records_of(*requests(encoding, readable(deep), readable("after")))
        assert "too deep" in str(plain(found[0].body))
        assert plain(found[1].body) == "after"

    @both_encodings
    def test_a_cycle_ends(self, encoding: Encoding, said: list[logging.LogRecord]) -> None:
        """It is named."""
        cycle: dict[str, object] = {"a": 1}
        cycle["self"] = cycle
        found = the_record(encoding, readable(cycle))
        assert plain(found.body) == {"a": 1, "self": "<cycle>"}
        assert said == []

    @both_encodings
    @pytest.mark.parametrize(
        ("fields", "name", "instead"),
        [
            ({"timestamp": -1}, "time_unix_nano", 0),
            ({"timestamp": 2**64}, "time_unix_nano", 0),
            ({"timestamp": "now"}, "time_unix_nano", 0),
            ({"observed_timestamp": None}, "observed_time_unix_nano", 0),
            ({"severity_number": 17}, "severity_number", 17),
            ({"severity_number": 99}, "severity_number", 0),
            ({"severity_number": SeverityNumber.FATAL4}, "severity_number", 24),
            ({"severity_text": 5}, "severity_text", "5"),
            ({"severity_text": "\ud800"}, "severity_text", "?"),
            ({"event_name": "\ud800"}, "event_name", "?"),
            ({"trace_id": 2**128}, "trace_id", b""),
            ({"trace_id": "abc"}, "trace_id", b""),
            ({"span_id": 2**64}, "span_id", b""),
            ({"trace_flags": -1}, "flags", 0),
            ({"trace_flags": 2**32}, "flags", 0),
        ],
    )
    def test_a_part_out_of_bounds_costs_that_part(
        self, encoding: Encoding, fields: dict[str, Any], name: str, instead: object
    ) -> None:
        """The rest of the record arrives."""
        found = the_record(encoding, readable("hello", **{"attributes": {"a": 1}, **fields}))
        assert getattr(found, name) == instead
        assert (plain(found.body), pairs(found.attributes)) == ("hello", {"a": 1})

    @both_encodings
    @pytest.mark.parametrize("body", ["lone \ud800 surrogate", ["a"]])
    def test_attributes_that_are_none_cost_the_attributes(
        self, encoding: Encoding, body: object, said: list[logging.LogRecord]
    ) -> None:
        """The operator is told, and the record is sent."""
        sink = RecordingSink()
        exporter = KinesisLogRecordExporter(encoding=encoding, acknowledge=False, sink=sink)
        exporter.export([readable(body, attributes=5), readable("after")])
        bare, after = records_of(*(decoded(encoding, data) for data in sink.lines))
        assert plain(bare.body) == ("lone ? surrogate" if isinstance(body, str) else "<list>")
        assert plain(after.body) == "after"
        assert [kind for kind, _ in sink.reports] == ["opentelemetry"]
        assert said == []

    @both_encodings
    def test_resource_and_scope_of_any_content(
        self, encoding: Encoding, said: list[logging.LogRecord]
    ) -> None:
        """Also what OTLP's own encoder would log, or could not compare."""
        strange = {"list": ["a", None], "text": "\ud800", "bytes": b"x"}
        record = readable(
            resource=Resource(strange, "\ud800"),
            scope=InstrumentationScope("\ud800", "\ud800", "\ud800", strange),
        )
        said.clear()
        (request,) = requests(encoding, record)
        (of_resource,) = request.resource_logs
        (of_scope,) = of_resource.scope_logs
        for attributes in (of_resource.resource.attributes, of_scope.scope.attributes):
            found = pairs(attributes)
            assert (found["list"], found["text"]) == (["a", None], "?")
        assert (of_resource.schema_url, of_scope.schema_url) == ("?", "?")
        assert (of_scope.scope.name, of_scope.scope.version) == ("?", "?")
        assert said == []

    @both_encodings
    def test_a_record_may_lack_resource_and_scope(self, encoding: Encoding) -> None:
        """It is sent all the same."""
        record = ReadableLogRecord(readable("hello").log_record, None)  # type: ignore[arg-type]  # what is tested
        (request,) = requests(encoding, record)
        (of_resource,) = request.resource_logs
        assert (len(of_resource.resource.attributes), of_resource.scope_logs[0].scope.name) == (
            0,
            "",
        )

    @both_encodings
    def test_the_record_is_as_it_was(self, encoding: Encoding) -> None:
        """Whatever had to be replaced."""
        body, attributes = {"a": {1, 2}, "password": "x"}, {"b": 2**70, "password": "y"}
        record = readable(body, attributes=attributes, trace_id=None)
        before = dict(vars(record.log_record))
        the_record(encoding, record, redact="default")
        assert vars(record.log_record) == before
        assert (body, attributes) == (
            {"a": {1, 2}, "password": "x"}, {"b": 2**70, "password": "y"},
        )  # fmt: skip


class TestRedaction:
    """Values under certain names do not leave the process."""

    @both_encodings
    def test_in_attributes_and_in_bodies_at_any_depth(self, encoding: Encoding) -> None:
        """Mappings, and mappings in lists."""
        record = readable(
            {"password": "x", "list": [{"token": "x", "a": 1}]},
            attributes={"password": "x", "deep": {"Api-Key": "x"}, "n": 2**64 - 1, "b": 1},
        )
        found = the_record(encoding, record, redact="default")
        hidden = "[redacted]"
        assert plain(found.body) == {"password": hidden, "list": [{"token": hidden, "a": 1}]}
        assert pairs(found.attributes) == {
            "password": hidden, "deep": {"Api-Key": hidden}, "n": str(2**64 - 1), "b": 1,
        }  # fmt: skip

    @both_encodings
    def test_by_names_of_ones_own(self, encoding: Encoding) -> None:
        """And a text stays what it is."""
        found = the_record(encoding, readable("text", attributes={"user": "ann"}), redact=["user"])
        assert (plain(found.body), pairs(found.attributes)) == ("text", {"user": "[redacted]"})

    @both_encodings
    def test_by_a_variable(self, encoding: Encoding, monkeypatch: pytest.MonkeyPatch) -> None:
        """This one has a place in OTLP."""
        monkeypatch.setenv("KINESINK_REDACT", "user")
        found = the_record(encoding, readable([{"user": "ann"}], attributes={}))
        assert plain(found.body) == [{"user": "[redacted]"}]


class TestRequests:
    """One per resource, no larger than allowed."""

    @both_encodings
    def test_one_per_resource_in_order(self, encoding: Encoding) -> None:
        """Equal resources are one, whichever objects they are."""
        batch = [
            readable(f"{name} {number}", resource=Resource({"service.name": name}))
            for number in range(4)
            for name in ("a", "b")
        ]
        messages = requests(encoding, *batch)
        told = [
            (
                pairs(message.resource_logs[0].resource.attributes)["service.name"],
                [plain(record.body) for record in records_of(message)],
            )
            for message in messages
        ]
        assert told == [(name, [f"{name} {number}" for number in range(4)]) for name in ("a", "b")]

    @both_encodings
    def test_records_of_one_scope_stand_together(self, encoding: Encoding) -> None:
        """Equal scopes are one, and differ by their attributes as well."""
        scopes = [("one", None), ("two", None), ("one", None), ("one", {"a": 1})]
        batch = [
            readable(number, scope=InstrumentationScope(name, attributes=attributes))
            for number, (name, attributes) in enumerate(scopes)
        ]
        (request,) = requests(encoding, *batch)
        told = [
            (of_scope.scope.name, [plain(record.body) for record in of_scope.log_records])
            for of_scope in request.resource_logs[0].scope_logs
        ]
        assert told == [("one", [0, 2]), ("two", [1]), ("one", [3])]

    @both_encodings
    def test_no_larger_than_allowed(self, encoding: Encoding) -> None:
        """Divided in order, with nothing lost."""
        batch = [readable(f"{number:03} {'x' * 100}") for number in range(100)]
        lines = exported(encoding, *batch, max_event_bytes=4096)
        assert len(lines) > 2
        assert max(map(len, lines)) <= 4096
        found = records_of(*(decoded(encoding, line) for line in lines))
        assert [plain(record.body) for record in found] == [each.log_record.body for each in batch]

    @both_encodings
    def test_a_record_that_is_larger_goes_alone(self, encoding: Encoding) -> None:
        """The stream's limit decides."""
        batch = [readable("before"), readable("x" * 5000), readable("after")]
        messages = requests(encoding, *batch, max_event_bytes=4096)
        sizes = [len(records_of(message)) for message in messages]
        assert [plain(record.body) for record in records_of(*messages)] == [
            "before", "x" * 5000, "after",
        ]  # fmt: skip
        assert sizes in ([1, 1, 1], [1, 2], [2, 1])
        alone = next(each for each in messages if plain(records_of(each)[0].body) == "x" * 5000)
        assert len(records_of(alone)) == 1

    @both_encodings
    def test_what_arrives_is_what_was_written(self, fake: FakeKinesis, encoding: Encoding) -> None:
        """A Kinesis record is a request."""
        sink = make_sink(fake, framing="none")
        exporter = KinesisLogRecordExporter(encoding=encoding, sink=sink)
        exporter.export([readable(f"event {number}") for number in range(5)])
        (record,) = fake.records("app")
        found = records_of(decoded(encoding, record.data))
        assert [plain(each.body) for each in found] == [f"event {number}" for number in range(5)]
        sink.close()

    def test_json_is_one_line(self) -> None:
        """For readers of lines."""
        (line,) = exported("otlp_json", readable("two\nlines"), readable())
        assert (line.count(b"\n"), line[-1:]) == (1, b"\n")


def values() -> st.SearchStrategy[Any]:
    """Return whatever a record may hold after the SDK has cleaned it."""
    return st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False) | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(min_size=1), inner),
        max_leaves=6,
    )  # fmt: skip


names = st.text(max_size=4)
attributes = st.dictionaries(st.text(min_size=1, max_size=3), values(), max_size=3)
strings = st.dictionaries(st.text(min_size=1, max_size=3), names, max_size=2)
resources = st.builds(Resource, strings, names)
# With a name: without one it is no other than none.
named = st.text(min_size=1, max_size=4)
scopes = st.none() | st.builds(InstrumentationScope, named, names, names, strings)
batches = st.lists(
    st.builds(
        readable,
        values(),
        resource=resources,
        scope=scopes,
        attributes=attributes,
        timestamp=st.none() | st.integers(0, 2**64 - 1),
        observed_timestamp=st.integers(0, 2**64 - 1),
        severity_number=st.none() | st.sampled_from(SeverityNumber),
        severity_text=st.none() | names,
        event_name=st.none() | names,
        trace_id=st.integers(0, 2**128 - 1),
        span_id=st.integers(0, 2**64 - 1),
    ),
    min_size=1,
    max_size=4,
)


class TestAgreement:
    """Both encodings, and OpenTelemetry's own, say the same."""

    @given(batches)
    def test_json_and_protobuf_are_one_message(self, batch: list[ReadableLogRecord]) -> None:
        """Request by request."""
        assert requests("otlp_json", *batch) == requests("otlp_proto", *batch)

    @given(batches)
    def test_protobuf_is_what_opentelemetry_writes(self, batch: list[ReadableLogRecord]) -> None:
        """For whatever it can write, resource by resource."""
        theirs = ExportLogsServiceRequest.FromString(
            _log_encoder.encode_logs(batch).SerializeToString()
        )
        ours = ExportLogsServiceRequest()
        for request in requests("otlp_proto", *batch):
            ours.MergeFrom(request)
        assert _without_nothing(ours) == _without_nothing(theirs)

    @both_encodings
    @given(batch=st.lists(st.builds(
        readable,
        values() | st.text(st.characters()) | st.integers() | st.builds(object),
        attributes=st.dictionaries(
            st.text(st.characters()) | st.integers(), st.text(st.characters()) | st.integers()
        ),
        severity_text=st.text(st.characters()),
    ), max_size=4))  # fmt: skip
    def test_every_record_is_in_one_request(
        self, encoding: Encoding, batch: list[ReadableLogRecord]
    ) -> None:
        """Whatever it holds."""
        assert len(records_of(*requests(encoding, *batch, max_event_bytes=2048))) == len(batch)


def _without_nothing(request: ExportLogsServiceRequest) -> object:
    """Return a request as plain values; SDKs differ in whether they write out a None."""

    def clean(value: object) -> object:
        if isinstance(value, dict):
            cleaned = {name: clean(each) for name, each in value.items()}
            return {name: each for name, each in cleaned.items() if each not in ({}, None)}
        return [clean(each) for each in value] if isinstance(value, list) else value

    return clean(json_format.MessageToDict(request))


class TestExtra:
    """Protobuf needs a package that nothing else needs."""

    def test_without_it_the_error_names_the_extra(self) -> None:
        """The other encodings do without."""
        script = """
import sys
sys.modules["opentelemetry.proto"] = None
from kinesink import KinesisLogRecordExporter
KinesisLogRecordExporter("app")
KinesisLogRecordExporter("app", encoding="otlp_json")
try:
    KinesisLogRecordExporter("app", encoding="otlp_proto")
except ImportError as error:
    print(error)
"""
        ran = subprocess.run(  # noqa: S603 - our own words
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=True
        )
        assert "otlp_proto" in ran.stdout
        assert "pip install 'kinesink[otlp]'" in ran.stdout

    def test_in_this_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It says what is missing."""
        monkeypatch.setitem(sys.modules, "opentelemetry.proto.collector.logs.v1", None)
        with pytest.raises(ImportError, match=r"kinesink\[otlp\]") as raised:
            KinesisLogRecordExporter("app", encoding="otlp_proto")
        assert "opentelemetry.proto.collector.logs.v1" in str(raised.value)


@both_encodings
def test_failure_is_reported_when_kinesis_does_not_answer(
    fake: FakeKinesis, encoding: Encoding
) -> None:
    """And the request is sent when it does again."""
    sink = make_sink(fake, framing="none", on_error=lambda *_: None)
    fake.script(Hang(operation="PutRecords"))
    exporter = KinesisLogRecordExporter(encoding=encoding, sink=sink, export_timeout=0.2)
    assert exporter.export([readable("hello")]).name == "FAILURE"
    fake.faults.clear()
    fake.release()
    assert exporter.force_flush(PATIENCE * 1000)
    (record,) = fake.records("app")
    assert plain(records_of(decoded(encoding, record.data))[0].body) == "hello"
    sink.close()

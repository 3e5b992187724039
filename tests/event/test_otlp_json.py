"""Events in OTLP's JSON mapping, as protobuf itself reads it."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given, settings

from kinesink.event.options import EventOptions
from kinesink.event.otlp_json import any_value, key_values, record
from kinesink.event.parts import Details, TraceIds
from kinesink.event.plain_values import TOO_DEEP, ExceptionFields
from kinesink.event.process_facts import ProcessFacts
from kinesink.event.shaped import new_encoder
from tests.event.lines import line_of
from tests.event.strategies import PARTS, RESOURCES, VALUES, nested

if TYPE_CHECKING:
    from kinesink.event.parts import CallSite
    from tests.event.strategies import Parts, Resource

SITE: CallSite = ("ERROR", 40, "app", "/srv/app.py", 12, "main", "MainThread", 7)
FACTS = ProcessFacts("shop", "prod", "1", "host")


def parsed(line: bytes) -> Any:  # noqa: ANN401 - a message of protobuf
    """Return the LogsData that a reader of protobuf makes of a line; it knows every field."""
    json_format = pytest.importorskip("google.protobuf.json_format")
    logs = pytest.importorskip("opentelemetry.proto.logs.v1.logs_pb2")
    given = json.loads(line)
    # The mapping of OTLP has ids in hexadecimal, where protobuf's own has base64.
    for found in given["resourceLogs"][0]["scopeLogs"][0]["logRecords"]:
        for name in ("traceId", "spanId"):
            if name in found:
                found[name] = _base64(bytes.fromhex(found[name]))
    return json_format.ParseDict(given, logs.LogsData())


def _base64(data: bytes) -> str:
    import base64  # noqa: PLC0415 - for this alone

    return base64.b64encode(data).decode()


class TestAnyValue:
    """One row per kind."""

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("text", {"stringValue": "text"}), ("", {"stringValue": ""}),
            (True, {"boolValue": True}), (False, {"boolValue": False}),
            (0, {"intValue": "0"}), (2**63 - 1, {"intValue": str(2**63 - 1)}),
            (-(2**63), {"intValue": str(-(2**63))}),
            (2**63, {"stringValue": str(2**63)}),
            (-(2**63) - 1, {"stringValue": str(-(2**63) - 1)}),
            (1.5, {"doubleValue": 1.5}), (math.nan, {"doubleValue": "NaN"}),
            (math.inf, {"doubleValue": "Infinity"}), (-math.inf, {"doubleValue": "-Infinity"}),
            (None, {}), (b"\xff", {"bytesValue": "/w=="}),
            ([1, [None]], {"arrayValue": {"values": [
                {"intValue": "1"}, {"arrayValue": {"values": [{}]}},
            ]}}),
            ((), {"arrayValue": {"values": []}}),
            ({"a": {"b": 1}}, {"kvlistValue": {"values": [
                {"key": "a", "value": {"kvlistValue": {"values": [
                    {"key": "b", "value": {"intValue": "1"}},
                ]}}},
            ]}}),
            ({1: 2}, {"kvlistValue": {"values": [{"key": "1", "value": {"intValue": "2"}}]}}),
            ({3}, {"arrayValue": {"values": [{"intValue": "3"}]}}),
            (ValueError("no"), {"stringValue": "no"}),
        ],
    )  # fmt: skip
    def test_has_the_member_of_its_kind(self, value: object, expected: dict[str, Any]) -> None:
        """64-bit numbers as text, bytes in base64, and what protobuf has no kind for as text."""
        assert any_value(value) == expected

    @given(VALUES)
    @settings(max_examples=100)
    def test_protobuf_reads_each(self, value: object) -> None:
        """Whatever an application says."""
        json_format = pytest.importorskip("google.protobuf.json_format")
        common = pytest.importorskip("opentelemetry.proto.common.v1.common_pb2")
        written = json.loads(orjson.dumps(any_value(value)))
        assert json_format.ParseDict(written, common.AnyValue()) is not None

    def test_members_at_their_default_are_left_out(self) -> None:
        """As protobuf does; a value that is none is not the same as no value."""
        assert record([("flags", 0), ("eventName", ""), ("attributes", []), ("body", {})]) == {
            "body": {}
        }
        assert key_values({}) == []


class TestLogsData:
    """Each line is one LogsData, which collectors take as an ExportLogsServiceRequest."""

    def test_everything_is_found_where_it_belongs(self) -> None:
        """As a reader of protobuf sees it."""
        details = Details(
            task="Task-3", trace=TraceIds("a" * 32, "b" * 16, 1),
            exception=ExceptionFields("E", "no", "Traceback"), stack_info="Stack",
            attributes={"user": {"id": 7}, "ratio": 0.5}, event_name="order.placed",
            scope={"version": "2", "schema_url": "u", "attributes": {"s": True}},
            dropped_attributes=3,
        )  # fmt: skip
        encoder = new_encoder(
            EventOptions(schema="otel", static_fields={"team": "a"}), FACTS, {"k8s.pod.name": "p"}
        )
        line = encoder.encode_nanoseconds(1_767_323_045_678_901_234, SITE, "failed", details)
        assert isinstance(line, bytes)
        (of_resource,) = parsed(line).resource_logs
        (of_scope,) = of_resource.scope_logs
        (found,) = of_scope.log_records
        resource = {pair.key: pair.value for pair in of_resource.resource.attributes}
        assert {name: value.string_value for name, value in resource.items()} == {
            "service.name": "shop", "deployment.environment.name": "prod", "service.version": "1",
            "host.name": "host", "process.pid": "", "k8s.pod.name": "p", "team": "a",
        }  # fmt: skip
        assert resource["process.pid"].int_value == 7
        scope = of_scope.scope
        assert (scope.name, scope.version, of_scope.schema_url) == ("app", "2", "u")
        assert scope.attributes[0].value.bool_value is True
        assert found.time_unix_nano == found.observed_time_unix_nano == 1_767_323_045_678_901_234
        assert (found.severity_number, found.severity_text) == (17, "ERROR")
        assert found.body.string_value == "failed"
        assert (found.trace_id.hex(), found.span_id.hex(), found.flags) == ("a" * 32, "b" * 16, 1)
        assert (found.event_name, found.dropped_attributes_count) == ("order.placed", 3)
        attributes = {pair.key: pair.value for pair in found.attributes}
        assert attributes["exception.stacktrace"].string_value == "Traceback"
        assert attributes["code.line.number"].int_value == 12
        assert attributes["user"].kvlist_value.values[0].value.int_value == 7
        assert attributes["ratio"].double_value == 0.5
        assert attributes.keys() == {
            "thread.name", "asyncio.task.name", "code.file.path", "code.line.number",
            "code.function.name", "code.stacktrace", "exception.type", "exception.message",
            "exception.stacktrace", "user", "ratio",
        }  # fmt: skip

    @given(PARTS, RESOURCES)
    @settings(max_examples=150)
    def test_protobuf_reads_any_event(self, parts: Parts, resource: Resource) -> None:
        """No member that it does not know, none of another type, none too deep for it."""
        encoder = new_encoder(EventOptions(schema="otel", max_event_bytes=1 << 40), FACTS, resource)
        (of_resource,) = parsed(line_of(encoder, *parts)).resource_logs
        assert len(of_resource.scope_logs[0].log_records) == 1

    @pytest.mark.parametrize(
        ("moment", "written"),
        [(-1, "0"), (0, "0"), (9_999_999_999_999_999_999, "9999999999999999999"),
         (2**64, str(2**64 - 1))],
    )  # fmt: skip
    def test_moments_that_protobuf_has_no_number_for(self, moment: int, written: str) -> None:
        """Before 1970 and after 2554 it is the nearest that it has."""
        encoder = new_encoder(EventOptions(schema="otel"), FACTS)
        line = encoder.encode_nanoseconds(moment, SITE, "x")
        assert isinstance(line, bytes)
        found = parsed(line).resource_logs[0].scope_logs[0].log_records[0]
        assert str(found.time_unix_nano) == written

    def test_attributes_are_no_deeper_than_readers_go(self) -> None:
        """Protobuf refuses what is nested too deep, the whole batch with it."""
        encoder = new_encoder(EventOptions(schema="otel"), FACTS)
        line = line_of(encoder, 1.0, SITE, "x", Details(attributes={"deep": nested(60)}))
        assert TOO_DEEP.encode() in line
        assert b"kinesink_error" not in line
        assert parsed(line).resource_logs

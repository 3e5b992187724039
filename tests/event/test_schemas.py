"""The schemas, byte by byte, and what each must never do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings

from kinesink.event.options import EventOptions
from kinesink.event.parts import Details, Severity, TraceIds
from kinesink.event.plain_values import ExceptionFields
from kinesink.event.process_facts import ProcessFacts
from kinesink.event.schemas import SCHEMAS as SPECS
from kinesink.event.shaped import new_encoder
from tests.event.lines import line_of, options_of
from tests.event.strategies import PARTS, RESOURCES, SCHEMAS

if TYPE_CHECKING:
    from kinesink.event.options import SchemaName
    from kinesink.event.parts import CallSite
    from tests.event.strategies import Parts, Resource

MOMENT = 1767323045.678901
SITE: CallSite = (
    "WARNING", 30, "app.orders", "/srv/app/orders.py", 12, "place", "MainThread", 7,
)  # fmt: skip
FACTS = ProcessFacts(service="shop", env="prod", version="1.2.3", host="ip-10-0-0-1")
EVERYTHING = Details(
    task="Task-3",
    trace=TraceIds("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", 1),
    exception=ExceptionFields("pkg.Err", "no", "Traceback …\npkg.Err: no"),
    stack_info="Stack …",
    attributes={"user": {"id": 7}, "http.request.method": "GET", "tags": ["a", None]},
    event_name="order.placed",
    scope={"version": "2", "schema_url": "https://example.test/1", "attributes": {"s": 1}},
    dropped_attributes=3,
)
RESOURCE = {"k8s.pod.name": "shop-1"}
LOG_DATA = '"resourceLogs":[{"resource":{"attributes":['

PLAIN: dict[str, str] = {
    "default": (
        '{"timestamp":"2026-01-02T03:04:05.678901Z","level":"WARNING","severity_number":13,'
        '"logger":"app.orders","message":"low","service":"shop","env":"prod","version":"1.2.3",'
        '"host":"ip-10-0-0-1","pid":7,"thread":"MainThread","file":"orders.py","line":12,'
        '"function":"place"}'
    ),
    "ecs": (
        '{"@timestamp":"2026-01-02T03:04:05.678Z","log.level":"warning","message":"low",'
        '"ecs.version":"8.11.0","log":{"logger":"app.orders","origin":{"file":{"name":"orders.py",'
        '"line":12},"function":"place"}},"service":{"name":"shop","environment":"prod",'
        '"version":"1.2.3"},"host":{"hostname":"ip-10-0-0-1"},"process":{"pid":7,"thread":'
        '{"name":"MainThread"}},"event":{"severity":13}}'
    ),
    "datadog": (
        '{"timestamp":"2026-01-02T03:04:05.678901Z","status":"warning","message":"low",'
        '"logger":{"name":"app.orders","thread_name":"MainThread","method_name":"place"},'
        '"service":"shop","env":"prod","version":"1.2.3","host":"ip-10-0-0-1",'
        '"ddsource":"python","ddtags":"env:prod,version:1.2.3","pid":7,"file":"orders.py",'
        '"line":12}'
    ),
    "structlog": (
        '{"event":"low","level":"warning","timestamp":"2026-01-02T03:04:05.678901Z",'
        '"logger":"app.orders","service":"shop","env":"prod","version":"1.2.3",'
        '"host":"ip-10-0-0-1","process":7,"thread_name":"MainThread","filename":"orders.py",'
        '"lineno":12,"func_name":"place"}'
    ),
    "otel": (
        '{"resourceLogs":[{"resource":{"attributes":['
        '{"key":"service.name","value":{"stringValue":"shop"}},'
        '{"key":"deployment.environment.name","value":{"stringValue":"prod"}},'
        '{"key":"service.version","value":{"stringValue":"1.2.3"}},'
        '{"key":"host.name","value":{"stringValue":"ip-10-0-0-1"}},'
        '{"key":"process.pid","value":{"intValue":"7"}}]},'
        '"scopeLogs":[{"scope":{"name":"app.orders"},"logRecords":[{'
        '"timeUnixNano":"1767323045678901000","observedTimeUnixNano":"1767323045678901000",'
        '"severityNumber":13,"severityText":"WARN","body":{"stringValue":"low"},"attributes":['
        '{"key":"thread.name","value":{"stringValue":"MainThread"}},'
        '{"key":"code.file.path","value":{"stringValue":"orders.py"}},'
        '{"key":"code.line.number","value":{"intValue":"12"}},'
        '{"key":"code.function.name","value":{"stringValue":"place"}}]}]}]}]}'
    ),
}
"""A log call with a template and nothing else."""

SCOPE = '"scope":{"version":"2","schema_url":"https://example.test/1","attributes":{"s":1}},'
REST = '"resource":{"k8s.pod.name":"shop-1"},"dropped_attributes_count":3'

FULL: dict[str, str] = {
    "default": (
        '{"timestamp":"2026-01-02T03:04:05.678901Z","level":"WARNING","severity_number":13,'
        '"logger":"app.orders","message":"low","service":"shop","env":"prod","version":"1.2.3",'
        '"host":"ip-10-0-0-1","pid":7,"thread":"MainThread","task":"Task-3","file":"orders.py",'
        '"line":12,"function":"place","event_name":"order.placed",'
        '"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331",'
        '"trace_flags":1,"exception":{"type":"pkg.Err","message":"no",'
        '"stacktrace":"Traceback …\\npkg.Err: no"},"stack_info":"Stack …",' + SCOPE +
        '"attributes":{"user":{"id":7},"http.request.method":"GET","tags":["a",null]},'
        '"dropped_attributes_count":3,"resource":{"k8s.pod.name":"shop-1"}}'
    ),
    "ecs": (
        '{"@timestamp":"2026-01-02T03:04:05.678Z","log.level":"warning","message":"low",'
        '"ecs.version":"8.11.0","log":{"logger":"app.orders","origin":{"file":{"name":"orders.py",'
        '"line":12},"function":"place"}},"service":{"name":"shop","environment":"prod",'
        '"version":"1.2.3"},"host":{"hostname":"ip-10-0-0-1"},"process":{"pid":7,"thread":'
        '{"name":"MainThread"}},"event":{"action":"order.placed","severity":13},'
        '"trace":{"id":"0af7651916cd43dd8448eb211c80319c"},"span":{"id":"b7ad6b7169203331"},'
        '"error":{"type":"pkg.Err","message":"no","stack_trace":"Traceback …\\npkg.Err: no"},'
        '"stack_info":"Stack …","task":"Task-3",' + SCOPE + REST +
        ',"user":{"id":7},"http":{"request":{"method":"GET"}},"tags":["a",null]}'
    ),
    "datadog": (
        '{"timestamp":"2026-01-02T03:04:05.678901Z","status":"warning","message":"low",'
        '"logger":{"name":"app.orders","thread_name":"MainThread","method_name":"place"},'
        '"service":"shop","env":"prod","version":"1.2.3","host":"ip-10-0-0-1",'
        '"ddsource":"python","ddtags":"env:prod,version:1.2.3",'
        '"dd":{"trace_id":"9532127138774266268","span_id":"13235353014750950193"},'
        '"error":{"kind":"pkg.Err","message":"no","stack":"Traceback …\\npkg.Err: no"},"pid":7,'
        '"file":"orders.py","line":12,"event_name":"order.placed","stack_info":"Stack …",'
        '"task":"Task-3",' + SCOPE + REST +
        ',"user":{"id":7},"http.request.method":"GET","tags":["a",null]}'
    ),
    "structlog": (
        '{"event":"low","level":"warning","timestamp":"2026-01-02T03:04:05.678901Z",'
        '"logger":"app.orders","service":"shop","env":"prod","version":"1.2.3",'
        '"host":"ip-10-0-0-1","process":7,"thread_name":"MainThread","filename":"orders.py",'
        '"lineno":12,"func_name":"place","event_name":"order.placed",'
        '"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331",'
        '"exception":"Traceback …\\npkg.Err: no","stack":"Stack …","task":"Task-3",' + SCOPE +
        REST + ',"user":{"id":7},"http.request.method":"GET","tags":["a",null]}'
    ),
    "otel": (
        '{"resourceLogs":[{"resource":{"attributes":['
        '{"key":"service.name","value":{"stringValue":"shop"}},'
        '{"key":"deployment.environment.name","value":{"stringValue":"prod"}},'
        '{"key":"service.version","value":{"stringValue":"1.2.3"}},'
        '{"key":"host.name","value":{"stringValue":"ip-10-0-0-1"}},'
        '{"key":"process.pid","value":{"intValue":"7"}},'
        '{"key":"k8s.pod.name","value":{"stringValue":"shop-1"}}]},'
        '"scopeLogs":[{"scope":{"name":"app.orders","version":"2","attributes":['
        '{"key":"s","value":{"intValue":"1"}}]},"logRecords":[{'
        '"timeUnixNano":"1767323045678901000","observedTimeUnixNano":"1767323045678901000",'
        '"severityNumber":13,"severityText":"WARN","body":{"stringValue":"low"},"attributes":['
        '{"key":"thread.name","value":{"stringValue":"MainThread"}},'
        '{"key":"asyncio.task.name","value":{"stringValue":"Task-3"}},'
        '{"key":"code.file.path","value":{"stringValue":"orders.py"}},'
        '{"key":"code.line.number","value":{"intValue":"12"}},'
        '{"key":"code.function.name","value":{"stringValue":"place"}},'
        '{"key":"code.stacktrace","value":{"stringValue":"Stack …"}},'
        '{"key":"exception.type","value":{"stringValue":"pkg.Err"}},'
        '{"key":"exception.message","value":{"stringValue":"no"}},'
        '{"key":"exception.stacktrace","value":{"stringValue":"Traceback …\\npkg.Err: no"}},'
        '{"key":"user","value":{"kvlistValue":{"values":[{"key":"id","value":{"intValue":"7"}}]}}},'
        '{"key":"http.request.method","value":{"stringValue":"GET"}},'
        '{"key":"tags","value":{"arrayValue":{"values":[{"stringValue":"a"},{}]}}}],'
        '"droppedAttributesCount":3,"flags":1,"traceId":"0af7651916cd43dd8448eb211c80319c",'
        '"spanId":"b7ad6b7169203331","eventName":"order.placed"}],'
        '"schemaUrl":"https://example.test/1"}]}]}'
    ),
}  # fmt: skip
"""An event with everything that there is."""


def event_of(schema: SchemaName, details: Details | None = None, **given: object) -> dict[str, Any]:
    """Return an event in a schema."""
    encoder = new_encoder(options_of(schema=schema, **given), FACTS)
    event: dict[str, Any] = json.loads(line_of(encoder, MOMENT, SITE, "low", details))
    return event


def with_attributes(
    schema: SchemaName, attributes: dict[Any, Any], **given: object
) -> dict[str, Any]:
    """Return an event with attributes."""
    return event_of(schema, Details(attributes=attributes), **given)


class TestGoldenLines:
    """What a consumer can rely on."""

    @pytest.mark.parametrize("schema", SCHEMAS)
    def test_a_plain_event(self, schema: SchemaName) -> None:
        """Names, values and their order, of what nearly every event has."""
        encoder = new_encoder(EventOptions(schema=schema), FACTS)
        assert line_of(encoder, MOMENT, SITE, "low").decode() == f"{PLAIN[schema]}\n"

    @pytest.mark.parametrize("schema", SCHEMAS)
    def test_an_event_with_everything(self, schema: SchemaName) -> None:
        """What few events have stands at its place."""
        encoder = new_encoder(EventOptions(schema=schema), FACTS, RESOURCE)
        assert line_of(encoder, MOMENT, SITE, "low", EVERYTHING).decode() == f"{FULL[schema]}\n"

    @pytest.mark.parametrize("schema", SCHEMAS)
    def test_an_event_with_next_to_nothing(self, schema: SchemaName) -> None:
        """What is not known is left out; an empty message is a message."""
        site: CallSite = ("", 0, "", None, None, None, None, None)
        encoder = new_encoder(EventOptions(schema=schema), ProcessFacts())
        event = json.loads(line_of(encoder, MOMENT, site, "", Details()))
        assert event == {
            "default": {
                "timestamp": "2026-01-02T03:04:05.678901Z", "severity_number": 0, "message": "",
            },
            "ecs": {
                "@timestamp": "2026-01-02T03:04:05.678Z", "message": "", "ecs.version": "8.11.0",
                "event": {"severity": 0},
            },
            "datadog": {
                "timestamp": "2026-01-02T03:04:05.678901Z", "message": "", "ddsource": "python",
            },
            "structlog": {"event": "", "timestamp": "2026-01-02T03:04:05.678901Z"},
            "otel": {"resourceLogs": [{
                "resource": {"attributes": []},
                "scopeLogs": [{"scope": {"name": ""}, "logRecords": [{
                    "timeUnixNano": "1767323045678901000",
                    "observedTimeUnixNano": "1767323045678901000",
                    "body": {"stringValue": ""},
                }]}],
            }]},
        }[schema]  # fmt: skip

    @given(PARTS, RESOURCES)
    @settings(max_examples=100)
    def test_no_name_that_is_not_the_schema_s_own(self, parts: Parts, resource: Resource) -> None:
        """Without attributes beside the fields, an event has only the names of its row."""
        for schema in SCHEMAS:
            options = EventOptions(schema=schema, extra="nested")
            line = line_of(new_encoder(options, FACTS, resource), *parts)
            event = json.loads(line, parse_constant=pytest.fail)
            assert set(SPECS[schema].names).issuperset(event)
            assert "kinesink_error" not in event

    @pytest.mark.parametrize("schema", SCHEMAS)
    def test_what_stays_longest_and_what_may_be_replaced_are_names_of_it(
        self, schema: SchemaName
    ) -> None:
        """The row of a schema does not contradict itself."""
        spec = SPECS[schema]
        assert spec.kept.union(spec.defaults).issubset(spec.names)
        assert len(set(spec.names)) == len(spec.names)

    def test_opentelemetry_s_severities_are_kept(self) -> None:
        """A number of its own, where no level of logging is."""
        site: CallSite = ("TRACE", Severity(1), *SITE[2:])
        encoder = new_encoder(EventOptions(schema="otel"), FACTS)
        record = json.loads(line_of(encoder, MOMENT, site, "x"))["resourceLogs"][0]["scopeLogs"][0]
        assert record["logRecords"][0]["severityNumber"] == 1
        assert record["logRecords"][0]["severityText"] == "TRACE"


class TestElasticCommonSchema:
    """Dots in names are levels."""

    @pytest.mark.parametrize(
        ("attributes", "beside", "nested"),
        [
            ({"a.b.c": 1, "a.b.d": 2, "a.e": 3}, {"a": {"b": {"c": 1, "d": 2}, "e": 3}}, {}),
            ({"a": 1, "a.b": 2}, {"a": 1}, {"a.b": 2}),
            ({"a.b": 2, "a": 1}, {"a": {"b": 2}}, {"a": 1}),
            ({"a.b": 1, "a.b.c": 2}, {"a": {"b": 1}}, {"a.b.c": 2}),
            ({"a": {"b": 1}, "a.c": 2}, {"a": {"b": 1, "c": 2}}, {}),
            ({"message": 1, "log.level": 2, "ecs.version": 3}, {},
             {"message": 1, "log.level": 2, "ecs.version": 3}),
            ({"message.text": 1}, {}, {"message.text": 1}),
            ({"service.node.name": "n", "event.dataset": "d"}, {}, {}),
            ({"service.name": "other", "service": 1, "log": 2, "error": "text", "trace": "t"}, {},
             {"service.name": "other", "service": 1, "log": 2, "error": "text", "trace": "t"}),
            ({"attributes": 1, "attributes.a": 2}, {}, {"attributes": 1, "attributes.a": 2}),
            ({"truncated": 1, "cut.x": 2, "resource.x": 3}, {},
             {"truncated": 1, "cut.x": 2, "resource.x": 3}),
            ({"a.b.c.d.e.f.g.h": 1, "a.b.c.d.e.f.g.h.i": 2},
             {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": 1}}}}}}}}, {"a.b.c.d.e.f.g.h.i": 2}),
            ({"set": {1}, 2: 3}, {"set": [1], "2": 3}, {}),
        ],
    )  # fmt: skip
    def test_attributes_stand_beside_the_fields_where_there_is_room(
        self, attributes: dict[Any, Any], beside: dict[str, Any], nested: dict[str, Any]
    ) -> None:
        """What is in the way of a field, or of another attribute, stays under ``attributes``."""
        event = with_attributes("ecs", attributes)
        assert event.get("attributes", {}) == nested
        found = {name: event[name] for name in event if name in beside}
        assert found == beside

    def test_a_field_s_own_object_takes_what_it_has_no_name_for(self) -> None:
        """``service.node.name`` is ECS as well."""
        event = with_attributes("ecs", {"service.node.name": "n", "event.dataset": "d"})
        assert event["service"] == {
            "name": "shop", "environment": "prod", "version": "1.2.3", "node": {"name": "n"},
        }  # fmt: skip
        assert event["event"] == {"severity": 13, "dataset": "d"}

    def test_a_constant_is_never_changed(self) -> None:
        """What an attribute adds to it is gone with the next event."""
        encoder = new_encoder(
            EventOptions(schema="ecs", static_fields={"labels": {"a": 1}, "x.y": 1}), FACTS
        )
        first = json.loads(
            line_of(encoder, 1.0, SITE, "x", Details(attributes={"labels.b": 2, "x.y": 3}))
        )
        assert first["labels"] == {"a": 1, "b": 2}
        assert (first["x.y"], first["attributes"]) == (1, {"x.y": 3})
        assert json.loads(line_of(encoder, 1.0, SITE, "x"))["labels"] == {"a": 1}

    def test_other_names_hold_for_the_outermost_level(self) -> None:
        """And attributes find the place that is taken then."""
        event = with_attributes(
            "ecs", {"text": 1, "rest": 2}, rename={"message": "text", "attributes": "rest"}
        )
        assert event["text"] == "low"
        assert event["rest"] == {"text": 1, "rest": 2}


class TestDatadog:
    """Reserved attributes."""

    def test_ids_are_the_low_64_bits_in_decimal(self) -> None:
        """As its tracer writes them."""
        details = Details(trace=TraceIds("f" * 31 + "e", "0" * 15 + "a", 0))
        assert event_of("datadog", details)["dd"] == {
            "trace_id": str(2**64 - 2), "span_id": "10",
        }  # fmt: skip

    def test_tags_are_those_that_are_known(self) -> None:
        """No tag without a value; own tags take their place."""
        encoder = new_encoder(EventOptions(schema="datadog"), ProcessFacts(version="1"))
        assert json.loads(line_of(encoder, 1.0, SITE, "x"))["ddtags"] == "version:1"
        static = {"ddsource": "shop", "ddtags": "team:a"}
        event = event_of("datadog", static_fields=static)
        assert (event["ddsource"], event["ddtags"]) == ("shop", "team:a")


class TestStructlog:
    """What its JSONRenderer would write."""

    def test_an_exception_of_dictionaries_takes_the_place_of_the_text(self) -> None:
        """As dict_tracebacks makes them."""
        frames = [{"exc_type": "Err", "frames": []}]
        details = Details(
            exception=ExceptionFields("Err", "no", "Traceback"),
            attributes={"exception": frames, "user": 7},
        )
        event = event_of("structlog", details)
        assert (event["exception"], event["user"]) == (frames, 7)
        assert "attributes" not in event
        assert event_of("structlog", Details(attributes={"exception": frames}))[
            "exception"
        ] == frames  # fmt: skip

    @pytest.mark.parametrize(
        ("exception", "expected"),
        [
            (ExceptionFields("Err", "no", None), "Err: no"),
            (ExceptionFields("Err", None, None), "Err"),
            (ExceptionFields(None, "no", None), "no"),
        ],
    )
    def test_an_exception_without_a_stack_trace_still_is_one(
        self, exception: ExceptionFields, expected: str
    ) -> None:
        """OpenTelemetry may know the type and the message only."""
        assert event_of("structlog", Details(exception=exception))["exception"] == expected

    def test_names_that_only_other_schemas_have_are_free(self) -> None:
        """An attribute called ``message`` is no field here."""
        event = with_attributes("structlog", {"message": 1, "file": 2, "event": 3, "level": 4})
        assert (event["message"], event["file"]) == (1, 2)
        assert (event["event"], event["attributes"]) == ("low", {"event": 3, "level": 4})

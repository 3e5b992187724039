"""Events by way of a dictionary: the same as spliced ones, and safe from what is not ours."""

from __future__ import annotations

import json
from collections import UserDict
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinesink.event.encoder import Encoder
from kinesink.event.parts import FIELDS, Details, TraceIds
from kinesink.event.plain_values import ExceptionFields
from kinesink.event.process_facts import ProcessFacts
from kinesink.event.redaction import REDACTED
from kinesink.event.shaped import ShapedEncoder, new_encoder
from tests.event.lines import UNLIMITED, line_of, options_of
from tests.event.strategies import MAYBE, NAMES, PARTS, RESOURCES, SCHEMAS, STATIC

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kinesink.event.options import EventOptions
    from kinesink.event.parts import CallSite
    from tests.event.strategies import Parts, Resource

Fields = dict[str, Any]

SITE: CallSite = ("INFO", 20, "app", "/srv/app.py", 12, "main", "MainThread", 7)
FACTS = ProcessFacts("shop", "prod", "1", "host")
DETAILS = Details(
    trace=TraceIds("a" * 32, "b" * 16, 0),
    exception=ExceptionFields("E", "s3cret", "Traceback s3cret"),
    stack_info="Stack s3cret",
    attributes={"user": {"id": 7, "password": "s3cret"}, "list": [{"a": 1}]},
    scope={"version": "2", "attributes": {"s": ["x"]}},
)
RESOURCE = {"pod": {"names": ["p"]}}


def as_they_are(fields: Fields) -> Fields:
    """Return the fields."""
    return fields


class Troubles:
    """What an encoder tells of the application's callables."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Exception]] = []

    def __call__(self, what: str, error: Exception) -> None:
        """Remember it."""
        self.told.append((what, error))

    def kinds(self) -> list[tuple[str, str]]:
        """Return which callable, and what it raised."""
        return [(what, type(error).__name__) for what, error in self.told]


def event_of(
    options: EventOptions, details: Details | None = DETAILS, message: str = "s3cret"
) -> tuple[Fields, Troubles]:
    """Return an event, and what was told of it."""
    encoder = new_encoder(options, FACTS, RESOURCE)
    assert isinstance(encoder, ShapedEncoder)
    encoder.on_trouble = troubles = Troubles()
    line = line_of(encoder, 1.0, SITE, message, details)
    return json.loads(line, parse_constant=pytest.fail), troubles


class TestSameAsSpliced:
    """The default schema does not depend on how it is written."""

    @given(
        PARTS, st.none() | st.sampled_from(["flat", "nested"]) | st.lists(NAMES.filter(bool)),
        STATIC, RESOURCES,
        st.sampled_from([
            None, {"message": "msg"}, {"attributes": "extra", "level": "message", "message": "m"},
            {"service": "svc", "resource": "res", "exception": "exc"},
        ]),
        st.tuples(*[MAYBE] * 4),
    )  # fmt: skip
    @settings(max_examples=300, suppress_health_check=list(HealthCheck))
    def test_any_event(  # noqa: PLR0913, PLR0917 - one argument per source of variety
        self,
        parts: Parts,
        extra: object,
        static: object,
        resource: Resource,
        rename: object,
        facts: tuple[str | None, ...],
    ) -> None:
        """A callable that changes nothing changes nothing."""
        given = {
            "extra": extra, "static_fields": static, "rename": rename,
            "max_event_bytes": UNLIMITED,
        }  # fmt: skip
        spliced = new_encoder(options_of(**given), ProcessFacts(*facts), resource)
        shaped = new_encoder(
            options_of(**given, redact=as_they_are), ProcessFacts(*facts), resource
        )
        assert (type(spliced), type(shaped)) == (Encoder, ShapedEncoder)
        assert json.loads(line_of(spliced, *parts)) == json.loads(line_of(shaped, *parts))

    def test_the_order_of_fields(self) -> None:
        """The fields come in the order of the schema."""
        event, _ = event_of(options_of(redact=as_they_are))
        assert [name for name in FIELDS if name in event and name != "attributes"] == [
            name for name in event if name != "attributes"
        ]

    def test_parts_of_other_types(self) -> None:
        """What is wrong with the parts is wrong in the same way."""
        site: Any = (None, "high", 17, b"/p", "12", ["f"], 3.5, 10**400)
        odd: Any = (7, (1, 2, "three"), (None, 5, None), b"s", None, 3.5, None, "many")
        details = Details(*odd)
        spliced = new_encoder(options_of(), FACTS)
        shaped = new_encoder(options_of(redact=as_they_are), FACTS)
        event = json.loads(line_of(spliced, 1.0, site, {"not": "text"}, details))
        assert event == json.loads(line_of(shaped, 1.0, site, {"not": "text"}, details))
        assert (event["trace_id"], event["span_id"], event["trace_flags"]) == ("1", "2", 0)
        assert event["exception"] == {"message": "5"}
        assert event.keys().isdisjoint({"pid", "line", "dropped_attributes_count"})

    @pytest.mark.parametrize(
        "number",
        [2**63, -(2**63), 10**400, 10**5000],
        ids=["2**63", "-2**63", "10**400", "10**5000"],
    )
    def test_numbers_that_readers_of_json_do_not_take(self, number: int) -> None:
        """A line or a process of that number is none."""
        site: CallSite = ("INFO", 20, "app", None, number, None, None, number)
        for redact in (None, as_they_are):
            encoder = new_encoder(options_of(redact=redact), FACTS)
            details = Details(dropped_attributes=number)
            event = json.loads(line_of(encoder, 1.0, site, "x", details))
            assert event.keys().isdisjoint({"line", "pid", "dropped_attributes_count"})

    def test_an_exception_of_which_nothing_is_known_is_left_out(self) -> None:
        """No empty object stands for it."""
        details = Details(exception=ExceptionFields(None, "", None))
        for redact in (None, as_they_are):
            encoder = new_encoder(options_of(redact=redact), FACTS)
            assert b"exception" not in line_of(encoder, 1.0, SITE, "x", details)

    def test_facts_that_utf8_cannot_write(self) -> None:
        """An environment variable can hold any bytes."""
        for redact in (None, as_they_are):
            encoder = new_encoder(options_of(redact=redact), ProcessFacts(service="s\udcff"))
            assert json.loads(line_of(encoder, 1.0, SITE, "x"))["service"] == "s?"


class TestOwnSchema:
    """A callable of the application's gets the fields and returns the event."""

    def test_it_gets_the_fields_of_the_default_schema(self) -> None:
        """All of them, as JSON has them, constants among them."""
        got: list[Fields] = []

        def schema(fields: Fields) -> Fields:
            got.append(fields)
            return {"msg": fields["message"], "rest": fields["attributes"]["rest"]}

        options = options_of(schema=schema, static_fields={"team": "a"}, rename={"msg": "m"})
        event, troubles = event_of(options, Details(attributes={"rest": {1}}), "x")
        assert event == {"m": "x", "rest": [1]}
        assert troubles.told == []
        assert got == [{
            "timestamp": "1970-01-01T00:00:01.000000Z", "level": "INFO", "severity_number": 9,
            "logger": "app", "message": "x", "service": "shop", "env": "prod", "version": "1",
            "host": "host", "pid": 7, "thread": "MainThread", "file": "app.py", "line": 12,
            "function": "main", "attributes": {"rest": [1]}, "resource": RESOURCE, "team": "a",
        }]  # fmt: skip

    @pytest.mark.parametrize(
        ("schema", "kind"),
        [
            (lambda _: 1 / 0, "ZeroDivisionError"),
            (lambda _: None, "TypeError"),
            (lambda _: "", "TypeError"),
            (lambda _: [("a", 1)], "TypeError"),
            (lambda fields: fields.clear(), "TypeError"),
            (lambda _: Unreadable(), "RuntimeError"),
        ],
    )
    def test_one_that_fails_costs_no_event(
        self, schema: Callable[[Fields], Any], kind: str
    ) -> None:
        """The event goes in the default schema, says so, and somebody is told."""
        options = options_of(schema=schema, static_fields={"team": "a"}, rename={"message": "m"})
        event, troubles = event_of(options)
        assert event["kinesink_error"] == f"schema raised {kind}"
        assert (event["m"], event["team"]) == ("s3cret", "a")
        assert event["attributes"] == DETAILS.attributes
        assert troubles.kinds() == [("schema", kind)]

    @pytest.mark.parametrize(
        ("returned", "expected"),
        [
            ({1: {2}, None: b"x", "d": float("nan")}, {"1": [2], "None": "x", "d": None}),
            ({"\ud800": object}, {"?": "<class 'object'>"}),
            (UserDict({"a": UserDict({"b": 1})}), {"a": {"b": 1}}),
            ({}, {}),
        ],
    )
    def test_whatever_mapping_it_returns_is_shipped(
        self,
        returned: Mapping[Any, Any],
        expected: Fields,
    ) -> None:
        """As plain values."""
        event, troubles = event_of(options_of(schema=lambda _: returned))
        assert (event, troubles.told) == (expected, [])

    def test_nobody_is_told_unless_somebody_wants_to_know(self) -> None:
        """The event itself says it."""
        encoder = new_encoder(options_of(schema=lambda _: 1 / 0), FACTS)
        assert b"schema raised ZeroDivisionError" in line_of(encoder, 1.0, SITE, "x")


class Unreadable(UserDict[str, Any]):
    """A mapping that raises when it is read."""

    def __iter__(self) -> NoReturn:
        raise RuntimeError


class TestOwnRedact:
    """A callable of the application's returns what may be shipped."""

    @pytest.mark.parametrize("schema", SCHEMAS)
    def test_what_it_returns_is_what_is_shipped(self, schema: str) -> None:
        """Whatever it has taken out is nowhere, in any schema."""

        def redact(fields: Fields) -> Fields:
            fields["message"] = "clean"
            fields["attributes"]["user"]["password"] = "hidden"
            return {n: v for n, v in fields.items() if n not in {"exception", "stack_info", "host"}}

        event, troubles = event_of(options_of(schema=schema, redact=redact))
        assert troubles.told == []
        written = json.dumps(event)
        assert "s3cret" not in written
        assert '"host"' not in written
        assert "clean" in written
        assert "hidden" in written

    @pytest.mark.parametrize("schema", SCHEMAS)
    @pytest.mark.parametrize(
        ("redact", "kind"),
        [
            (lambda _: 1 / 0, "ZeroDivisionError"),
            (lambda _: None, "TypeError"),
            (lambda _: "s3cret", "TypeError"),
            (lambda fields: fields["s3cret"], "KeyError"),
            (lambda fields: fields.clear() or int("s3cret"), "ValueError"),
            (lambda _: Unreadable(), "RuntimeError"),
        ],
    )
    def test_one_that_fails_ships_nothing_it_could_have_held_back(
        self, schema: str, redact: Callable[[Fields], Any], kind: str
    ) -> None:
        """Only when, who and how bad; the event says why, and somebody is told."""
        event, troubles = event_of(options_of(schema=schema, redact=redact))
        written = json.dumps(event)
        assert "s3cret" not in written
        assert f"redact raised {kind}" in written
        assert REDACTED in written
        assert "shop" in written
        assert "password" not in written
        assert troubles.kinds() == [("redact", kind)]

    def test_what_is_left_of_an_event_then(self) -> None:
        """No text that the application has written."""
        event, _ = event_of(options_of(redact=lambda _: 1 / 0))
        assert event == {
            "timestamp": "1970-01-01T00:00:01.000000Z", "level": "INFO", "severity_number": 9,
            "logger": "app", "service": "shop", "env": "prod", "version": "1", "host": "host",
            "pid": 7, "message": REDACTED, "kinesink_error": "redact raised ZeroDivisionError",
        }  # fmt: skip

    @pytest.mark.parametrize("schema", SCHEMAS)
    def test_a_schema_has_what_it_counts_on(self, schema: str) -> None:
        """A timestamp, and a message, which is empty if none may be shipped."""
        event, troubles = event_of(options_of(schema=schema, redact=lambda _: {}))
        assert troubles.told == []
        assert "1970-01-01" in json.dumps(event) or '"timeUnixNano"' in json.dumps(event)

    @pytest.mark.parametrize("schema", SCHEMAS)
    @pytest.mark.parametrize("name", ["exception", "attributes", "resource", "scope", "level"])
    @pytest.mark.parametrize("extra", [None, "flat", "nested"])
    def test_fields_of_other_types_cost_no_event(
        self, schema: str, name: str, extra: str | None
    ) -> None:
        """What a schema cannot place goes in the default schema, and says so."""
        if schema == "otel":
            extra = None
        options = options_of(
            schema=schema, extra=extra, redact=lambda fields: {**fields, name: ["other"]}
        )
        event, troubles = event_of(options)
        assert "other" in json.dumps(event)
        assert ("kinesink_error" in event) == bool(troubles.told)

    def test_both_callables_may_fail(self) -> None:
        """The event goes all the same, and still without what might be secret."""
        event, troubles = event_of(options_of(schema=lambda _: 1 / 0, redact=lambda _: 1 / 0))
        assert event["message"] == REDACTED
        assert event["kinesink_error"] == "schema raised ZeroDivisionError"
        assert [what for what, _ in troubles.told] == ["redact", "schema"]

    def test_values_without_a_form_in_json_become_plain(self) -> None:
        """Also those that the callable has put there."""
        options = options_of(
            schema="datadog", redact=lambda fields: {**fields, "attributes": {"a": {1}, 2: b"x"}}
        )
        event, troubles = event_of(options)
        assert (event["a"], event["2"], troubles.told) == ([1], "x", [])


class TestTheirDictionary:
    """What a callable gets is its own."""

    @pytest.mark.parametrize("what", ["schema", "redact"])
    def test_nothing_of_anybody_else_s_can_be_changed_by_it(self, what: str) -> None:
        """Not the caller's, not what every event has, not the next event."""

        def spoil(fields: Fields) -> object:
            before = json.loads(json.dumps(fields))
            fields["attributes"]["user"]["id"].append(8)
            fields["scope"]["attributes"]["s"].append("y")
            fields["resource"]["pod"]["names"].append("q")
            if what == "schema":
                fields["team"]["names"].append("b")
            fields.clear()
            return before

        attributes: Fields = {"user": {"id": [7]}, "other": {"a": 1}}
        scope: Fields = {"version": "2", "attributes": {"s": ["x"]}}
        resource = {"pod": {"names": ["p"]}}
        details = DETAILS._replace(attributes=attributes, scope=scope)
        static = {"team": {"names": ["a"]}}
        options = options_of(**{what: spoil}, static_fields=static)
        encoder = new_encoder(options, FACTS, resource)
        first = line_of(encoder, 1.0, SITE, "x", details)
        assert line_of(encoder, 1.0, SITE, "x", details) == first
        assert attributes == {"user": {"id": [7]}, "other": {"a": 1}}
        assert scope == {"version": "2", "attributes": {"s": ["x"]}}
        assert resource == {"pod": {"names": ["p"]}}
        assert options.static_fields == static == {"team": {"names": ["a"]}}

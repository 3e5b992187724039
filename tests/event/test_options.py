"""How events are written: what can be said, in which forms, and what is refused."""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import json
import pickle
from collections import UserDict
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from kinesink.errors import ConfigurationError
from kinesink.event.options import MAX_EVENT_BYTES, MIN_EVENT_BYTES, EventOptions
from kinesink.event.parts import FIELDS
from kinesink.event.process_facts import ProcessFacts
from kinesink.event.redaction import RedactNames
from kinesink.event.shaped import new_encoder
from tests.event.lines import line_of, options_of
from tests.event.strategies import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kinesink.event.parts import CallSite

SITE: CallSite = ("INFO", 20, "app", "/app.py", 1, "main", "MainThread", 7)


def as_they_are(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields."""
    return fields


class TextOnly:
    """A value with no form but its text."""

    def __str__(self) -> str:
        return "text only"


class Broken:
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError


class Unsteady(UserDict[str, Any]):
    """A mapping that raises when it is read."""

    def items(self) -> NoReturn:
        """Raise."""
        raise RuntimeError


class TestForms:
    """Every option as a value, as text, and as a variable."""

    @pytest.mark.parametrize(
        ("name", "text", "value"),
        [
            ("schema", "ecs", "ecs"),
            ("extra", "flat", "flat"),
            ("extra", "user, order_id,", frozenset({"user", "order_id"})),
            ("rename", "message=msg, level = lvl", {"message": "msg", "level": "lvl"}),
            ("rename", ' {"message": "a,b=c"}', {"message": "a,b=c"}),
            ("static_fields", "team=shop,tier=1", {"team": "shop", "tier": "1"}),
            ("static_fields", '{"team": "shop", "tier": 1}', {"team": "shop", "tier": 1}),
            ("static_fields", "equation=a=b", {"equation": "a=b"}),
            ("redact", "default", RedactNames(["default"])),
            ("redact", "ssn, default", RedactNames(["default", "ssn"])),
            ("oversize", "split", "split"),
            ("max_event_bytes", "64KiB", 64 * 1024),
            ("max_event_bytes", "4096", 4096),
            ("partition_key", "trace_id", "trace_id"),
        ],
    )
    def test_text_is_read(
        self, monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object
    ) -> None:
        """As a parameter and as the variable of its name, with the same result."""
        assert getattr(options_of(**{name: text}), name) == value
        monkeypatch.setenv(f"KINESINK_{name.upper()}", text)
        assert getattr(EventOptions.from_environment(), name) == value
        assert getattr(EventOptions(), name) == getattr(EventOptions, name)

    @pytest.mark.parametrize(
        ("name", "given", "value"),
        [
            ("extra", ["user", "order"], frozenset({"user", "order"})),
            ("extra", (), frozenset()),
            ("rename", {}, None),
            ("rename", "", None),
            ("redact", ["ssn"], RedactNames(["ssn"])),
            ("redact", RedactNames(["ssn"]), RedactNames(["ssn"])),
            ("redact", as_they_are, as_they_are),
            ("schema", as_they_are, as_they_are),
            ("max_event_bytes", 4096.0, 4096),
        ],
    )
    def test_values_are_read(self, name: str, given: object, value: object) -> None:
        """Whatever a program would write."""
        assert getattr(options_of(**{name: given}), name) == value

    def test_a_parameter_wins_over_its_variable_and_none_does_not(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """None means that nothing was said; so does an empty variable."""
        monkeypatch.setenv("KINESINK_SCHEMA", "ecs")
        monkeypatch.setenv("KINESINK_OVERSIZE", "")
        assert EventOptions.from_environment(schema="datadog").schema == "datadog"
        options = EventOptions.from_environment(schema=None, oversize=None)
        assert (options.schema, options.oversize) == ("ecs", "truncate")

    def test_the_default_is_the_default_schema_uncut_and_keyless(self) -> None:
        """Nothing is renamed, added, held back or left out."""
        options = EventOptions()
        assert (options.schema, options.oversize) == ("default", "truncate")
        assert options.max_event_bytes == MAX_EVENT_BYTES
        assert options.given() == []
        assert options.name_of("message") == "message"
        assert EventOptions.names() == [
            "schema", "extra", "rename", "static_fields", "redact", "oversize", "max_event_bytes",
            "sequence", "partition_key",
        ]  # fmt: skip

    def test_what_was_given_is_named(self) -> None:
        """So that what cannot be used with something else can be refused by name."""
        options = EventOptions(rename={"message": "msg"}, redact="default", static_fields={})
        assert options.given() == ["rename", "redact"]
        assert options.name_of("message") == "msg"


class TestRefusals:
    """A message names the parameter, the value, and what is allowed."""

    @pytest.mark.parametrize(
        ("given", "parameter", "said"),
        [
            ({"schema": "elastic"}, "schema", "one of 'default', 'ecs', 'otel', 'datadog', "),
            ({"schema": ["ecs"]}, "schema", "or a callable of the fields"),
            ({"extra": "nestd"}, "extra", "'nested', 'flat', or the names"),
            ({"extra": "FLAT"}, "extra", "'nested', 'flat', or the names"),
            ({"extra": 7}, "extra", "'nested', 'flat', or the names"),
            ({"extra": b"ab"}, "extra", "'nested', 'flat', or the names"),
            ({"extra": {"user": 1}}, "extra", "'nested', 'flat', or the names"),
            ({"extra": ["user", 1]}, "extra", "'nested', 'flat', or the names"),
            ({"rename": "message"}, "rename", "'message=msg'"),
            ({"rename": "{broken"}, "rename", "'message=msg'"),
            ({"rename": {"message": 1}}, "rename", "'message=msg'"),
            ({"rename": {"message": ""}}, "rename", "'message=msg'"),
            ({"rename": ["message"]}, "rename", "'message=msg'"),
            ({"static_fields": "=x"}, "static_fields", "'team=shop,tier=1'"),
            ({"static_fields": {1: "x"}}, "static_fields", "'team=shop,tier=1'"),
            ({"static_fields": "[1]"}, "static_fields", "'team=shop,tier=1'"),
            ({"redact": 7}, "redact", "'default', names"),
            ({"redact": ["ssn", None]}, "redact", "'default', names"),
            ({"oversize": "cut"}, "oversize", "one of 'truncate', 'split', 'drop'"),
            ({"max_event_bytes": MIN_EVENT_BYTES - 1}, "max_event_bytes", "2 KiB or more"),
            ({"max_event_bytes": 4096.5}, "max_event_bytes", "2 KiB or more"),
            ({"max_event_bytes": True}, "max_event_bytes", "2 KiB or more"),
            ({"max_event_bytes": "much"}, "max_event_bytes", "2 KiB or more"),
            ({"max_event_bytes": float("inf")}, "max_event_bytes", "2 KiB or more"),
            ({"max_event_bytes": None}, "max_event_bytes", "2 KiB or more"),
        ],
    )  # fmt: skip
    def test_what_cannot_work(self, given: dict[str, Any], parameter: str, said: str) -> None:
        """The first look tells what to write instead."""
        with pytest.raises(ConfigurationError) as caught:
            EventOptions(**given)
        assert caught.value.parameter == parameter
        assert f"{parameter}={given[parameter]!r}" in str(caught.value)
        assert said in str(caught.value)

    @pytest.mark.parametrize(
        ("given", "parameter", "said"),
        [
            ({"rename": {"msg": "m"}}, "rename", "has no 'msg'; its fields are timestamp, level"),
            ({"schema": "ecs", "rename": {"level": "l"}}, "rename", "'ecs' has no 'level'; its"),
            ({"rename": {"message": "level"}}, "rename", "there is a field 'level' already"),
            ({"rename": {"message": "m", "level": "m"}}, "rename", "two fields would have"),
            ({"extra": "flat", "rename": {"user": "host"}}, "rename", "a field 'host' already"),
            ({"schema": "datadog", "rename": {"dd": "status"}}, "rename", "field 'status' already"),
            ({"static_fields": {"message": 1}}, "static_fields", "'message' is a field of"),
            ({"static_fields": {"cut": 1}}, "static_fields", "'cut' is a field of the event"),
            ({"static_fields": {"m": 1}, "rename": {"message": "m"}}, "static_fields", "'m' is a"),
            ({"static_fields": {"s": 1}, "rename": {"service": "s"}}, "static_fields", "'s' is a"),
            ({"schema": "ecs", "static_fields": {"event": 1}}, "static_fields", "'event' is a"),
            ({"schema": as_they_are, "static_fields": {"message": 1}}, "static_fields", "'message"),
            ({"schema": "otel", "extra": "flat"}, "extra", "schema='otel' has attributes in one"),
            ({"schema": "otel", "rename": {"message": "m"}}, "rename", "schema='otel' has fixed"),
            ({"static_fields": {"k": "x" * 70_000}}, "static_fields", "a quarter of max"),
            ({"static_fields": {"k": "ü" * 300}, "max_event_bytes": 2048}, "static_fields", "a qu"),
            ({"rename": {"message": "x" * 600}, "max_event_bytes": 2048}, "rename", "a quarter of"),
        ],
    )  # fmt: skip
    def test_names_that_stand_twice_or_nowhere(
        self, given: dict[str, Any], parameter: str, said: str
    ) -> None:
        """No event has a name twice, and none loses a field to another."""
        with pytest.raises(ConfigurationError, match=said) as caught:
            EventOptions(**given)
        assert caught.value.parameter == parameter

    @pytest.mark.parametrize(
        "given",
        [
            {"rename": {"message": "level", "level": "message"}},
            {"extra": "flat", "rename": {"user": "usr"}},
            {"schema": "datadog", "static_fields": {"ddsource": "kinesink", "ddtags": "a:b"}},
            {"schema": "ecs", "static_fields": {"event.dataset": "shop.log"}},
            {"static_fields": dict.fromkeys(("service", "env", "version", "host"), "x")},
            {"schema": as_they_are, "rename": {"anything": "else"}},
            {"rename": dict.fromkeys(["cut"], "was_cut")},
        ],
    )  # fmt: skip
    def test_names_that_only_look_like_it(self, given: dict[str, Any]) -> None:
        """Names that change places, facts that are replaced, what a schema leaves open."""
        assert EventOptions(**given).given() == sorted(given, key=EventOptions.names().index)


class TestOwnership:
    """Options are values: nobody changes them afterwards."""

    def test_mappings_are_copied_to_the_last_leaf(self) -> None:
        """What the caller does to its own later changes no event."""
        rename, static = {"message": "msg"}, {"tags": {"names": ["a"]}}
        options = EventOptions(rename=rename, static_fields=static)
        rename["level"] = "lvl"
        static["tags"]["names"].append("b")
        assert options.rename == {"message": "msg"}
        assert options.static_fields == {"tags": {"names": ["a"]}}

    @pytest.mark.parametrize("schema", SCHEMAS)
    @pytest.mark.parametrize("how", [copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))])  # noqa: S301 - our own
    def test_options_and_encoders_travel(self, how: Callable[[Any], Any], schema: str) -> None:
        """A copy is equal, and an encoder of it writes the same."""
        options = options_of(
            schema=schema, static_fields={"team": "shop"}, redact="default,ssn",
            extra=["user"], oversize="split", max_event_bytes=5000,
        )  # fmt: skip
        assert how(options) == options
        encoder = new_encoder(options, ProcessFacts(service="s"), {"r": 1})
        assert line_of(how(encoder), 1.0, SITE, "x") == line_of(encoder, 1.0, SITE, "x")

    def test_equality_is_that_of_what_is_written(self) -> None:
        """The order of names does not count; other names do."""
        assert EventOptions(redact="a,b", extra="x,y") == EventOptions(
            redact=["b", "a"], extra=["y", "x"]
        )
        assert EventOptions(redact="a") != EventOptions(redact="b")
        assert EventOptions(redact="a") != EventOptions(redact=as_they_are)
        assert len({RedactNames(["a", "b"]), RedactNames(["b", "a"])}) == 1

    def test_names_to_redact_are_shown_as_they_were_given(self) -> None:
        """In the repr of options, and hence in errors."""
        assert "redact=default,ssn" in repr(EventOptions(redact="default,ssn"))


class TestStaticValues:
    """A constant can be of any type and never costs an event."""

    VALUES: Mapping[str, tuple[Any, Any]] = {
        "none": (None, None), "bool": (True, True), "int": (2**64, str(2**64)),
        "float": (float("nan"), None), "bytes": (b"\xff", "/w=="), "set": ({1}, [1]),
        "date": (dt.date(2026, 1, 2), "2026-01-02"), "decimal": (decimal.Decimal("1.5"), "1.5"),
        "surrogate": ("\ud800", "?"), "object": (TextOnly(), "text only"),
        "broken": (Broken(), f"<unserializable {__name__}.Broken>"), "keys": ({1: 2}, {"1": 2}),
        "cycle": ([], None), "deep": (json.loads("[" * 300 + "]" * 300), None),
        "unsteady": (Unsteady(a=1), f"<unserializable {__name__}.Unsteady>"),
    }  # fmt: skip
    VALUES["cycle"][0].append(VALUES["cycle"][0])

    @pytest.mark.parametrize("schema", SCHEMAS)
    @pytest.mark.parametrize("kind", VALUES)
    @pytest.mark.parametrize("name", ["team", "service"])
    def test_any_value_is_encoded(self, schema: str, kind: str, name: str) -> None:
        """As plain values, under a name of its own or in place of a fact."""
        value, expected = self.VALUES[kind]
        options = options_of(schema=schema, static_fields={name: value})
        for encoder in (
            new_encoder(options, ProcessFacts()),
            new_encoder(EventOptions(**{**vars(options), "redact": as_they_are}), ProcessFacts()),
        ):
            event = json.loads(line_of(encoder, 1.0, SITE, "x"), parse_constant=pytest.fail)
            assert "kinesink_error" not in event
            if schema == "default" and name == "team" and kind not in {"cycle", "deep"}:
                assert event["team"] == expected

    @pytest.mark.parametrize("schema", ["default", "datadog", "structlog"])
    def test_a_fact_can_be_replaced_or_left_out(self, schema: str) -> None:
        """A static field is instead of what the environment says; None and "" say nothing."""
        facts = ProcessFacts("shop", "prod", "1", "host")
        static = {"service": "store", "env": None, "version": 0, "host": ""}
        for redact in (None, as_they_are):
            options = options_of(schema=schema, static_fields=static, redact=redact)
            event = json.loads(line_of(new_encoder(options, facts), 1.0, SITE, "x"))
            assert (event["service"], event["version"]) == ("store", 0)
            assert event.keys().isdisjoint({"env", "host"})


def test_the_fields_are_those_that_can_be_renamed() -> None:
    """Each field of the default schema can be called something else."""
    for field in FIELDS:
        assert EventOptions(rename={field: "other"}).name_of(field) == "other"


@pytest.mark.parametrize(
    ("given", "value"), [(True, True), (False, False), ("no", False), (" TRUE ", True), ("1", True)]
)
def test_numbering_is_switched_in_words(given: object, value: object) -> None:
    """As every switch is."""
    assert EventOptions(sequence=given).sequence is value  # type: ignore[arg-type]  # text will do


@pytest.mark.parametrize("given", ["maybe", 1, None, []])
def test_what_is_no_switch_is_refused(given: object) -> None:
    """And named."""
    with pytest.raises(ConfigurationError, match="sequence"):
        EventOptions(sequence=given)  # type: ignore[arg-type]  # on purpose

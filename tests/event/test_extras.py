"""Where attributes go in the default schema, and what the line looks like then."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kinesink.event.encoder import Encoder
from kinesink.event.options import EventOptions
from kinesink.event.parts import FIELDS, Details
from kinesink.event.process_facts import ProcessFacts
from tests.event.lines import line_of, options_of

if TYPE_CHECKING:
    from kinesink.event.parts import CallSite

MOMENT = 1767323045.678901
SITE: CallSite = ("INFO", 20, "app.orders", "/srv/orders.py", 12, "place", "MainThread", 7)
FACTS = ProcessFacts(service="shop", env="prod", version="1.2.3", host="ip-10-0-0-1")
BEGIN = (
    '{"timestamp":"2026-01-02T03:04:05.678901Z","level":"INFO","severity_number":9,'
    '"logger":"app.orders","message":"placed","service":"shop","env":"prod",'
    '"version":"1.2.3","host":"ip-10-0-0-1","pid":7,"thread":"MainThread",'
    '"file":"orders.py","line":12,"function":"place"'
)
REDACTED = '"[redacted]"'
ALL = '{"user":7,"message":"mine","team":"theirs","tags":["a"],"cut":1,"usr":8}'
FLAT = '"team":"theirs","tags":["a"]'
TAKEN = '{"message":"mine","cut":1}'
TAKEN_TEAM = '{"message":"mine","team":"theirs","cut":1}'
TAKEN_USR = '{"message":"mine","cut":1,"usr":8}'
ATTRIBUTES = {"user": 7, "message": "mine", "team": "theirs", "tags": ["a"], "cut": 1, "usr": 8}


class Meddling(str):  # noqa: SLOT000 - a name with a mind of its own
    """A name that raises when it is compared."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __hash__(self) -> int:
        return hash("user")


def line(details: Details | None = None, **given: object) -> str:
    """Return the line of an event."""
    encoder = Encoder(options_of(**given), FACTS)
    return line_of(encoder, MOMENT, SITE, "placed", details).decode()


def event(attributes: dict[Any, Any], **given: object) -> dict[str, Any]:
    """Return the event, in which no name stands twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({name for name, _ in pairs}) == len(pairs)
        return dict(pairs)

    found: dict[str, Any] = json.loads(
        line(Details(attributes=attributes), **given), object_pairs_hook=once
    )
    return found


class TestGoldenLines:
    """The bytes of each option."""

    @pytest.mark.parametrize(
        ("given", "end"),
        [
            ({}, f',"attributes":{ALL}}}\n'),
            ({"extra": "nested"}, f',"attributes":{ALL}}}\n'),
            ({"extra": "flat"}, f',"user":7,{FLAT},"usr":8,"attributes":{TAKEN}}}\n'),
            (
                {"extra": "flat", "static_fields": {"team": "ours"}},
                f',"user":7,"tags":["a"],"usr":8,"attributes":{TAKEN_TEAM},"team":"ours"}}\n',
            ),
            (
                {"extra": "flat", "rename": {"user": "usr"}},
                f',"usr":7,{FLAT},"attributes":{TAKEN_USR}}}\n',
            ),
            ({"extra": ["user", "absent"]}, ',"attributes":{"user":7}}\n'),
            ({"extra": []}, "}\n"),
            ({"redact": "user"}, f',"attributes":{ALL.replace("7", REDACTED)}}}\n'),
            ({"extra": ["user", "tags"], "redact": ["user"]},
             ',"attributes":{"user":"[redacted]","tags":["a"]}}\n'),
            ({"static_fields": {"tier": 1, "zone": None}, "extra": ["user"]},
             ',"attributes":{"user":7},"tier":1,"zone":null}\n'),
        ],
    )  # fmt: skip
    def test_attributes_and_constants_end_the_line(self, given: dict[str, Any], end: str) -> None:
        """Attributes beside the fields first, then those below, then what never changes."""
        assert line(Details(attributes=ATTRIBUTES), **given) == BEGIN + end

    def test_other_names_leave_the_order_alone(self) -> None:
        """Each field stands where it would have stood."""
        names = {name: name.upper() for name in FIELDS}
        expected = BEGIN
        for name in FIELDS:
            expected = expected.replace(f'"{name}":', f'"{name.upper()}":')
        details = Details(attributes={"user": 7}, dropped_attributes=1, event_name="e")
        assert line(details, rename=names) == (
            expected + ',"EVENT_NAME":"e","ATTRIBUTES":{"user":7},"DROPPED_ATTRIBUTES_COUNT":1}\n'
        )

    def test_static_facts_stand_where_facts_stand(self) -> None:
        """Under the name that facts have, whatever their type."""
        found = line(
            static_fields={"service": "store", "host": None, "version": 2, "team": "a"},
            rename={"service": "svc"},
        )
        assert (
            found
            == BEGIN.replace('"service":"shop"', '"svc":"store"')
            .replace('"version":"1.2.3"', '"version":2')
            .replace(',"host":"ip-10-0-0-1"', "")
            + ',"team":"a"}\n'
        )

    def test_scope_and_resource_have_places_of_their_own(self) -> None:
        """The scope before the attributes, the resource at the end, under the names they have."""
        options = EventOptions(rename={"resource": "res", "scope": "lib"}, static_fields={"a": 1})
        encoder = Encoder(options, FACTS, {"k8s.pod.name": "p", "n": {1}})
        details = Details(scope={"version": "2"}, attributes={"user": 7})
        assert line_of(encoder, MOMENT, SITE, "placed", details).decode() == BEGIN + (
            ',"lib":{"version":"2"},"attributes":{"user":7},"a":1,'
            '"res":{"k8s.pod.name":"p","n":[1]}}\n'
        )


class TestFlat:
    """Nothing overwrites anything."""

    def test_no_field_and_no_mark_is_taken(self) -> None:
        """Every name of the schema is kept free, whether the event has it or not."""
        found = event(dict.fromkeys(FIELDS, "mine"), extra="flat")
        assert found["attributes"] == dict.fromkeys(FIELDS, "mine")
        assert found["message"] == "placed"

    def test_a_field_s_other_name_is_kept_free_and_its_own_stays_below(self) -> None:
        """An attribute that would take the new name, or be taken for the old one."""
        found = event({"message": 1, "msg": 2, "user": 3}, extra="flat", rename={"message": "msg"})
        assert (found["msg"], found["user"]) == ("placed", 3)
        assert found["attributes"] == {"message": 1, "msg": 2}

    def test_a_static_field_is_kept_free(self) -> None:
        """Also by the name that it has instead of a fact."""
        found = event(
            {"service": 1, "svc": 2, "team": 3}, extra="flat", rename={"service": "svc"},
            static_fields={"team": "ours", "service": "store"},
        )  # fmt: skip
        assert (found["svc"], found["team"]) == ("store", "ours")
        assert found["attributes"] == {"service": 1, "svc": 2, "team": 3}

    def test_however_many_there_are(self) -> None:
        """None is left out for being one of many."""
        many = {f"k{number}": number for number in range(5000)}
        assert many.items() <= event(many, extra="flat").items()

    def test_names_and_values_of_any_type_become_plain(self) -> None:
        """As they do under ``attributes``."""
        found = event({1: {2}, b"b": Meddling("x"), "user": 1}, extra="flat")
        assert (found["1"], found["b"], found["user"]) == ([2], "x", 1)


class TestSelected:
    """Only what is named."""

    def test_names_are_compared_as_they_would_be_shipped(self) -> None:
        """A name of the application's own making runs none of its code."""
        assert event({Meddling("user"): 1, b"order": 2, "x": 3}, extra="user,order")[
            "attributes"
        ] == {"user": 1, "order": 2}

    def test_nothing_is_left_of_an_event_without_them(self) -> None:
        """No empty object either."""
        assert "attributes" not in event({"x": 1}, extra="user")


@pytest.mark.parametrize("given", [{"extra": "flat"}, {"extra": "user"}, {"redact": "user"}])
def test_what_the_caller_gave_is_left_alone(given: dict[str, Any]) -> None:
    """Its dictionary, and all that is in it."""
    attributes = {"user": {"id": [1]}, "message": {"a": 1}}
    event(attributes, **given)
    assert attributes == {"user": {"id": [1]}, "message": {"a": 1}}

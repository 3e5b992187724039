"""What a test expects of an event, and what a failure says about those that come near."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from kinesink import KinesisFormatter
from kinesink.testing.captured_lines import events_in
from kinesink.testing.expectation import Expectation, describe, describe_all

if TYPE_CHECKING:
    from kinesink.event.options import SchemaName
    from kinesink.testing.captured_lines import Event

PAID: Event = {
    "timestamp": "2026-11-23T06:28:37.024696Z",
    "level": "INFO",
    "logger": "shop",
    "message": "order 17 paid",
    "host": "vm",
    "exception": {"type": "ValueError"},
    "attributes": {"amount": 12.5, "http.method": "GET", "customer": {"id": "c-4"}},
    "level_of_detail": None,
}
FAILED: Event = {"level": "ERROR", "logger": "shop", "message": "order 18 failed"}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"level": "INFO"},
        {"level": "info"},
        {"level": 20},
        {"level": re.compile("^IN")},
        {"message": "order 17 paid"},
        {"message": re.compile(r"order \d+ paid")},
        {"message": lambda text: text.startswith("order")},
        {"message": mock.ANY},
        {"amount": 12.5},
        {"amount": pytest.approx(12.5)},
        {"http.method": "GET"},
        {"customer": {"id": "c-4"}},
        {"customer.id": "c-4"},
        {"attributes.customer.id": "c-4"},
        {"exception.type": "ValueError"},
        {"level_of_detail": None},
        {"logger": "shop", "amount": 12.5},
    ],
)
def test_an_event_is_as_expected(fields: dict[str, object]) -> None:
    """Whatever the way of saying so."""
    assert Expectation(fields).matches(PAID)


@pytest.mark.parametrize(
    "fields",
    [
        {"level": "ERROR"},
        {"level": 30},
        {"level": None},
        {"message": "order 17"},
        {"message": re.compile("^paid")},
        {"amount": re.compile("12")},
        {"amount": "12.5"},
        {"message": lambda text: text == ""},
        {"host.name": "vm"},
        {"customer.name": "c-4"},
        {"nothing": None},
        {"nothing": mock.ANY},
        {"logger": "shop", "amount": 12},
    ],
)
def test_an_event_is_not_as_expected(fields: dict[str, object]) -> None:
    """A field that is absent is not None either, and each has to be right."""
    assert not Expectation(fields).matches(PAID)


@pytest.mark.parametrize("schema", ["default", "ecs", "datadog", "structlog"])
def test_the_usual_fields_have_one_name_in_every_schema(schema: SchemaName) -> None:
    """So that a test does not change with the schema."""
    import logging  # noqa: PLC0415 - its record alone

    record = logging.LogRecord("shop", logging.WARNING, "a.py", 1, "order %d", (17,), None)
    line = KinesisFormatter(schema=schema).format(record).encode()
    (event,) = events_in(line, "none")
    expected = {"level": "WARNING", "logger": "shop", "message": "order 17", "timestamp": mock.ANY}
    assert Expectation(expected).matches(event)
    assert not Expectation({"level": "ERROR"}).matches(event)


@pytest.mark.parametrize(("one", "other"), [("warn", "WARNING"), ("FATAL", 50), ("exception", 40)])
def test_one_level_has_several_names(one: str, other: str | int) -> None:
    """Structlog's methods have names of their own."""
    assert Expectation({"level": other}).matches({"level": one})
    assert Expectation({"level": one}).matches({"level": "CRITICAL" if other == 50 else one})


def test_the_nearest_event_comes_first_with_what_is_different() -> None:
    """Both texts stand below each other."""
    expected = Expectation({"level": "ERROR", "message": "order 17 failed"})
    assert expected.explain_nearest([PAID, FAILED]) == (
        "2 events have arrived; the nearest first:\n"
        '  {"level": "ERROR", "logger": "shop", "message": "order 18 failed"}\n'
        "    message: expected 'order 17 failed'\n"
        "             but it is 'order 18 failed'\n"
        f"  {describe(PAID)}\n"
        "    level: expected 'ERROR'\n"
        "           but it is 'INFO'\n"
        "    message: expected 'order 17 failed'\n"
        "             but it is 'order 17 paid'"
    )


def test_a_field_that_is_misspelt_is_told() -> None:
    """By the names that there are, attributes included."""
    told = Expectation({"amont": 12.5, "level": "INFO"}).explain_nearest([PAID])
    assert told.startswith("One event has arrived:\n")
    assert "    amont: expected 12.5\n           but it is (no such field)" in told
    assert told.endswith("No event has a field 'amont'; did you mean 'amount'?")
    assert "did you mean" not in Expectation({"xyz": 1}).explain_nearest([PAID])


def test_of_many_events_a_few_are_shown() -> None:
    """And none at any length."""
    many = [{"message": f"{number}" * 1000} for number in range(10, 30)]
    told = Expectation({"message": "x" * 5000}).explain_nearest(many)
    assert told.startswith("20 events have arrived; the 3 nearest:\n")
    assert len(told.splitlines()) == 1 + 3 * 3
    assert max(map(len, told.splitlines())) < 330
    assert describe_all(many).endswith("  and 17 more")
    assert len(describe_all(many[:2]).splitlines()) == 2


def test_what_tells_no_event_from_another_is_not_shown() -> None:
    """Unless there is nothing else."""
    assert '"host"' not in describe(PAID)
    assert describe({"host": "vm"}) == '{"host": "vm"}'
    assert describe({"data": b"\xff"}) == '{"data": "b\'\\\\xff\'"}'


def test_an_expectation_is_written_as_it_was_given() -> None:
    """Patterns and functions as well."""
    assert str(Expectation({})) == "an event"
    fields = {"level": "INFO", "message": re.compile("order"), "amount": float.is_integer}
    assert str(Expectation(fields)) == (
        "an event with level='INFO', message=text like 'order', amount=what is_integer is true of"
    )


@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b'{"a":1}\n', [{"a": 1}]),
        (b'{"a":1}\n{"a":2}\n', [{"a": 1}, {"a": 2}]),
        (b"plain text\n", [{"message": "plain text"}]),
        (b"[1]\n", [{"message": "[1]"}]),
        (b"\xff\n", [{"data": b"\xff\n"}]),
        (b"", [{"message": ""}]),
    ],
)
def test_whatever_was_sent_is_an_event(data: bytes, events: list[Event]) -> None:
    """A dictionary for each line."""
    assert events_in(data, None) == events


def test_a_text_of_several_lines_is_one_event_where_records_are_not_lines() -> None:
    """The framing says so, for the bytes do not."""
    assert events_in(b"one\ntwo\n", "kpl") == [{"message": "one\ntwo"}]

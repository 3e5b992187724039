"""The level of an event that is bytes already."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from kinesink.event.levels import level_in
from kinesink.event.options import EventOptions
from kinesink.event.shaped import new_encoder

if TYPE_CHECKING:
    from kinesink.event.options import SchemaName
    from kinesink.event.parts import CallSite


@pytest.mark.parametrize("schema", ["default", "ecs", "otel", "datadog", "structlog"])
@pytest.mark.parametrize(
    ("name", "number"), [("DEBUG", 10), ("INFO", 20), ("WARNING", 30), ("CRITICAL", 50)]
)
def test_every_schema_says_it_near_the_begin(schema: SchemaName, name: str, number: int) -> None:
    """Whatever each calls it."""
    site: CallSite = (name, number, "app", "/srv/app.py", 1, "f", "MainThread", 7)
    line = new_encoder(EventOptions(schema=schema)).encode(1.5, site, "message")
    assert isinstance(line, bytes)
    assert level_in(line) == name


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b'{"levelname": "WARN", "message": "x"}', "WARNING"),
        (b'{"severity":"fatal"}', "CRITICAL"),
        (b'{"level":"Notice"}', "INFO"),
        (b'{"level":"odd"}', None),
        (b'{"level":7}', None),
        (b"plain text", None),
        (b"", None),
        (b"\xff\xfe", None),
    ],
)
def test_what_others_write(line: bytes, name: str | None) -> None:
    """Where a level is not one of logging's, none is made up."""
    assert level_in(line) == name


def test_it_is_not_looked_for_in_all_of_a_line() -> None:
    """A message may be long, and say anything."""
    line = json.dumps({"message": "x" * 1000, "level": "ERROR"}).encode()
    assert level_in(line) is None

"""Where an event has what people look for."""

from __future__ import annotations

import pytest

from kinesink.event.lookup import ABSENT, NAMES, look_up


def test_names_with_dots_are_levels_or_names() -> None:
    """Names first, the longest of them first."""
    fields = {"a.b": {"c.d": 1}, "a": {"b": {"c": {"d": 2}}}, "x": {"y": 3}, "z": None}
    assert look_up(fields, "a.b.c.d") == 1
    assert look_up(fields, "x.y") == 3
    assert look_up(fields, "a.b") == {"c.d": 1}
    assert look_up(fields, "z") is None
    for absent in ("x.y.z", "x.z", "q", "a.b.c.e", ""):
        assert look_up(fields, absent) is ABSENT


def test_attributes_come_after_what_stands_beside_them() -> None:
    """For each of the names that a field has."""
    fields = {"attributes": {"amount": 1, "level": "INFO"}, "amount": 2, "status": "error"}
    assert look_up(fields, "amount") == 2
    assert look_up(fields, "level") == "INFO"
    assert look_up({"attributes": "none"}, "amount") is ABSENT


@pytest.mark.parametrize("name", NAMES)
def test_an_object_counts_where_nothing_else_is_there(name: str) -> None:
    """One may have the name below it, and a message may be one."""
    first, *_, last = NAMES[name]
    assert look_up({first: {"of": "it"}, last: "text"}, name) == "text"
    assert look_up({first: {"of": "it"}}, name) == {"of": "it"}
    assert look_up({"logger": {"name": "shop"}}, "logger") == "shop"

"""What a stream is told about events that were lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kinesink.event.losses import loss_lines
from kinesink.event.sequence import Sequence
from kinesink.shell.losses import Loss
from tests.event.lines import options_of

LOSS = Loss({"shed": 120, "expired": 3}, {"DEBUG": 120}, 1767323045.678901, 1767323046.0)


def told(loss: Loss = LOSS, numbers: Sequence | None = None, **options: object) -> dict[str, Any]:
    """Return the event that a loss becomes."""
    (line,) = loss_lines(options_of(**options), numbers, loss)
    event: dict[str, Any] = json.loads(line)
    return event


def test_it_says_how_many_by_reason_and_level_from_when_to_when() -> None:
    """As a warning of kinesink's own, in the default schema."""
    event = told()
    assert event["level"] == "WARNING"
    assert event["logger"] == "kinesink"
    assert event["message"] == "kinesink lost 123 events"
    assert event["attributes"] == {
        "lost_events": 123,
        "dropped": {"shed": 120, "expired": 3},
        "levels": {"DEBUG": 120},
        "from": "2026-01-02T03:04:05.678901Z",
        "to": "2026-01-02T03:04:06.000000Z",
    }
    assert "boot_id" not in event


def test_one_event_is_no_events() -> None:
    """Words as people write them."""
    assert told(Loss({"shed": 1}, {}, 0, 0))["message"] == "kinesink lost 1 event"


def test_it_is_numbered_like_any_event() -> None:
    """So that it is missed if it is lost itself."""
    numbers = Sequence()
    assert [told(numbers=numbers)["seq"] for _ in range(2)] == [1, 2]
    assert told(numbers=numbers)["boot_id"] == numbers.boot_id


def test_it_follows_the_options_of_the_door() -> None:
    """Names, static fields and schema are the stream's."""
    event = told(schema="ecs", static_fields={"team": "shop"})
    assert event["log.level"] == "warning"
    assert event["team"] == "shop"


def test_its_attributes_are_shipped_whatever_others_are() -> None:
    """A list of names is about what the application adds."""
    assert told(extra=["user"])["attributes"]["lost_events"] == 123


@pytest.mark.parametrize("oversize", ["truncate", "split", "drop"])
def test_it_fits_where_nothing_much_does(oversize: str) -> None:
    """It is small."""
    assert told(oversize=oversize, max_event_bytes=2048)["attributes"]["lost_events"] == 123


def test_a_forked_child_counts_anew() -> None:
    """Its numbers say that they are another process's."""
    numbers = Sequence()
    before = numbers.boot_id
    numbers.next()
    numbers.renew()
    assert numbers.boot_id != before
    assert numbers.next() == 1

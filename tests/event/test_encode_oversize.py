"""Events that are too large: shortened where it hurts least, valid all the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesink.event.encoder import Encoder
from kinesink.event.options import MAX_EVENT_BYTES, MIN_EVENT_BYTES, EventOptions
from kinesink.event.oversize import shorten
from kinesink.event.parts import Details, TraceIds
from kinesink.event.plain_values import ExceptionFields
from kinesink.event.process_facts import ProcessFacts
from tests.event.lines import UNLIMITED, limited, line_of

if TYPE_CHECKING:
    from kinesink.event.parts import CallSite

SITE: CallSite = ("INFO", 20, "app", "/app.py", 1, "main", "MainThread", 7)


def shortened(message: str, limit: int = 4096, **details: Any) -> dict[str, Any]:  # noqa: ANN401 - as Details takes them
    """Return the event that became of one that is too large."""
    whole = line_of(limited(UNLIMITED), 1.0, SITE, message, Details(**details))
    line = line_of(limited(limit), 1.0, SITE, message, Details(**details))
    assert len(whole) > limit
    assert len(line) <= limit
    assert line.endswith(b"}\n")
    event: dict[str, Any] = json.loads(line)
    assert event["truncated"] is True
    assert event["original_bytes"] == len(whole)
    return event


class TestOversize:
    """The policy."""

    def test_an_event_that_just_fits_is_left_alone(self) -> None:
        """The bound counts the whole line, newline included."""
        line = line_of(limited(UNLIMITED), 1.0, SITE, "x" * 5000)
        assert line_of(limited(len(line)), 1.0, SITE, "x" * 5000) == line
        assert shortened("x" * 5000, len(line) - 1)["message"].endswith("x…")

    def test_the_default_is_256_kib(self) -> None:
        """A quarter of what a Kinesis record holds by default."""
        assert len(line_of(Encoder(), 1.0, SITE, "x" * 300_000)) <= MAX_EVENT_BYTES == 256 * 1024

    def test_a_long_message_keeps_its_beginning(self) -> None:
        """As much stays as there is room for."""
        event = shortened("x" * 10_000)
        assert 3500 < len(event["message"]) < 4000
        assert event["message"] == "x" * (len(event["message"]) - 1) + "…"

    def test_characters_are_cut_never_bytes(self) -> None:
        """What takes several bytes, or an escape, is whole or absent."""
        assert set(shortened("😀" * 5000)["message"]) == {"😀", "…"}
        assert set(shortened('"\n\x01' * 5000)["message"]) == {'"', "\n", "\x01", "…"}

    def test_the_longest_texts_give_first(self) -> None:
        """Shorter ones stay whole; the long ones end up equally long."""
        event = shortened(
            "m" * 9000, attributes={"long": ["l" * 8000], "short": "s" * 500, "number": 1}
        )
        assert event["attributes"]["short"] == "s" * 500
        assert event["attributes"]["number"] == 1
        assert len(event["message"]) == len(event["attributes"]["long"][0])

    def test_a_stack_trace_loses_its_middle(self) -> None:
        """Where it began and what failed tell the most."""
        trace = "Traceback:\n" + "".join(f"  frame {number}\n" for number in range(2000)) + "E: no"
        event = shortened(
            "failed", exception=ExceptionFields("E", "no", trace), stack_info="S" + "." * 9000 + "T"
        )
        kept = event["exception"]["stacktrace"]
        assert kept.startswith("Traceback:\n  frame 0\n")
        assert kept.endswith("  frame 1999\nE: no")
        assert "characters cut …" in kept
        assert (event["stack_info"][0], event["stack_info"][-1]) == ("S", "T")
        assert event["exception"]["message"] == "no"

    def test_attributes_go_when_texts_are_not_enough(self) -> None:
        """The largest goes first; small ones stay."""
        event = shortened(
            "order", attributes={"small": 1, "large": list(range(3000)), "medium": list(range(100))}
        )
        assert event["message"] == "order"
        assert list(event["attributes"]) == ["small", "medium"]

    def test_a_name_can_be_what_is_too_large(self) -> None:
        """An attribute's own name counts as well."""
        assert shortened("order", attributes={"n" * 9000: 1, "small": 1})["attributes"] == {
            "small": 1
        }

    def test_the_smallest_bound_holds_for_every_field(self) -> None:
        """However long all fields are, the least event fits into the least bound."""
        long = "ü\n" * 5000
        site: CallSite = (long, 50, long, long, 10**9, long, long, 10**9)
        facts = ProcessFacts(long, long, long, long)
        details = Details(
            task=long,
            trace=TraceIds("f" * 32, "f" * 16, 255),
            exception=ExceptionFields(long, long, long),
            stack_info=long,
            attributes={long: long, "list": [long] * 50, "numbers": list(range(5000))},
        )
        line = line_of(limited(MIN_EVENT_BYTES, facts), 1.0, site, long, details)
        assert len(line) <= MIN_EVENT_BYTES
        event = json.loads(line)
        assert event["timestamp"] == "1970-01-01T00:00:01.000000Z"
        assert event["trace_id"] == "f" * 32

    @given(
        st.text(max_size=50),
        st.integers(0, 3000),
        st.dictionaries(st.text(max_size=300), st.text(max_size=300) | st.lists(st.integers())),
        st.integers(MIN_EVENT_BYTES, 6000),
    )
    @settings(max_examples=100)
    def test_any_event_fits(
        self, message: str, times: int, attributes: dict[str, Any], limit: int
    ) -> None:
        """Whatever is too large comes out valid, within the bound and said to be cut."""
        details = Details(attributes=attributes, stack_info=message * times)
        whole = line_of(limited(UNLIMITED), 1.0, SITE, message * times, details)
        line = line_of(limited(limit), 1.0, SITE, message * times, details)
        event = json.loads(line)
        assert len(line) <= limit
        assert ("truncated" in event) == (len(whole) > limit)
        assert list(event)[:3] == ["timestamp", "level", "severity_number"]

    @pytest.mark.parametrize("spare", range(12))
    def test_close_to_the_bound(self, spare: int) -> None:
        """The marks that say that something is cut take room as well."""
        line = line_of(limited(UNLIMITED), 1.0, SITE, "x" * 3000)
        assert (
            len(shorten(line, EventOptions(max_event_bytes=len(line) - spare))) <= len(line) - spare
            or spare == 0
        )

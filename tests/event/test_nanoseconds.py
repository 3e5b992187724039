"""Moments as exact as OpenTelemetry's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesink.event.encoder import Encoder
from kinesink.event.options import EventOptions
from kinesink.event.parts import Details, Nanoseconds
from kinesink.event.process_facts import ProcessFacts
from kinesink.event.shaped import ShapedEncoder, new_encoder
from tests.event.lines import line_of

if TYPE_CHECKING:
    from kinesink.event.parts import CallSite

SITE: CallSite = ("INFO", 20, "app", "/app.py", 1, "main", "MainThread", 7)
FACTS = ProcessFacts()
IN_TIME = st.integers(0, 4_102_444_800_000_000_000)

ENCODERS = (
    Encoder(EventOptions(), FACTS),
    ShapedEncoder(EventOptions(redact=lambda fields: fields), FACTS),
)


def timestamp(encoder: Encoder | ShapedEncoder, moment: Any, *parts: Any) -> str:  # noqa: ANN401 - also what is no moment
    """Return the timestamp of an event."""
    line = encoder.encode_nanoseconds(moment, SITE, *(parts or ("x",)))
    assert isinstance(line, bytes)
    found: str = json.loads(line)["timestamp"]
    return found


@pytest.mark.parametrize("encoder", ENCODERS)
class TestNanoseconds:
    """The same with both encoders."""

    @pytest.mark.parametrize(
        ("moment", "expected"),
        [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (1, "1970-01-01T00:00:00.000000001Z"),
            (1_767_323_045_678_901_234, "2026-01-02T03:04:05.678901234Z"),
            (1_767_323_045_999_999_999, "2026-01-02T03:04:05.999999999Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (-1_000_000_001, "1969-12-31T23:59:58.999999999Z"),
            (True, "1970-01-01T00:00:00.000000001Z"),
            (Nanoseconds(7), "1970-01-01T00:00:00.000000007Z"),
            (1_500_000_000.0, "1970-01-01T00:00:01.500000000Z"),
        ],
    )
    def test_nine_digits_are_kept(
        self,
        encoder: Encoder | ShapedEncoder,
        moment: object,
        expected: str,
    ) -> None:
        """Exactly those that were given, before 1970 as well."""
        assert timestamp(encoder, moment) == expected

    @pytest.mark.parametrize(
        "moment", [2**70, -(2**70), 10**400, None, "soon", float("nan"), float("inf"), object()]
    )
    def test_without_meaning_it_is_now(
        self, encoder: Encoder | ShapedEncoder, moment: object
    ) -> None:
        """What no date can show never costs the event."""
        found = timestamp(encoder, moment)
        assert int(found[:4]) >= 2024
        assert len(found) == len("2026-01-02T03:04:05.678901Z")

    @given(moment=IN_TIME)
    @settings(max_examples=100)
    def test_agrees_with_seconds_to_the_microsecond(
        self, encoder: Encoder | ShapedEncoder, moment: int
    ) -> None:
        """The same moment as a double differs by what a double cannot hold."""
        seconds = json.loads(line_of(encoder, moment / 1e9, SITE, "x"))["timestamp"]
        exact = timestamp(encoder, moment)
        assert abs(_microseconds(exact) - _microseconds(seconds)) <= 1

    @given(moments=st.lists(IN_TIME | st.integers(0, 5_000_000_000), max_size=6))
    @settings(max_examples=50)
    def test_moments_in_any_order_and_either_form(
        self, encoder: Encoder | ShapedEncoder, moments: list[int]
    ) -> None:
        """The second that is kept ready serves both forms and that second only."""
        for moment in moments:
            assert int(timestamp(encoder, moment)[-10:-1]) == moment % 1_000_000_000
            second = json.loads(line_of(encoder, moment // 10**9, SITE, "x"))["timestamp"]
            assert second[:19] == timestamp(encoder, moment)[:19]
            given_as_moment = json.loads(line_of(encoder, Nanoseconds(moment), SITE, "x"))
            assert given_as_moment["timestamp"] == timestamp(encoder, moment)

    def test_parts_that_are_amiss_leave_the_moment_alone(
        self, encoder: Encoder | ShapedEncoder
    ) -> None:
        """The slow way keeps the digits as well."""
        details = Details(attributes={"a": {1}}, task="\ud800")
        assert timestamp(encoder, 7, "\ud800", details).endswith(".000000007Z")

    def test_what_is_too_large_is_cut(self, encoder: Encoder | ShapedEncoder) -> None:
        """The bound does not depend on how the moment is given."""
        line = encoder.encode_nanoseconds(7, SITE, "x" * 300_000)
        assert isinstance(line, bytes)
        assert len(line) <= encoder.options.max_event_bytes
        assert json.loads(line)["truncated"] is True


def test_the_first_event_of_an_encoder() -> None:
    """Nothing is kept ready yet, whichever form comes first."""
    line = Encoder(EventOptions(), FACTS).encode_nanoseconds(7, SITE, "x")
    assert line == line_of(Encoder(EventOptions(), FACTS), Nanoseconds(7), SITE, "x")
    line = Encoder(EventOptions(), FACTS).encode(7.0, SITE, "x")
    assert line == line_of(Encoder(EventOptions(), FACTS), 7.0, SITE, "x")


def test_a_preset_has_what_it_can_show() -> None:
    """Milliseconds for ECS, text of nanoseconds for OTLP."""
    moment = 1_767_323_045_678_901_234
    ecs = new_encoder(EventOptions(schema="ecs"), FACTS).encode_nanoseconds(moment, SITE, "x")
    assert b'"@timestamp":"2026-01-02T03:04:05.678Z"' in bytes(ecs)  # type: ignore[arg-type]  # one line
    otel = new_encoder(EventOptions(schema="otel"), FACTS).encode_nanoseconds(moment, SITE, "x")
    assert b'"timeUnixNano":"1767323045678901234"' in bytes(otel)  # type: ignore[arg-type]  # one line


def _microseconds(timestamp: str) -> int:
    """Return microseconds since some day, of a timestamp with six or nine digits."""
    from datetime import datetime  # noqa: PLC0415 - for this alone

    date, digits = timestamp[:-1].split(".")
    seconds = datetime.fromisoformat(f"{date}+00:00").timestamp()
    return int(seconds) * 1_000_000 + int(digits[:6])

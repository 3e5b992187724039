"""The default schema, byte by byte."""

from __future__ import annotations

import json
import logging
import pickle
import subprocess
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesink.event.encoder import MAX_CALL_SITES, Encoder, severity_number
from kinesink.event.parts import Details, TraceIds
from kinesink.event.plain_values import ExceptionFields
from kinesink.event.process_facts import ProcessFacts
from tests.event.lines import line_of, options_of

if TYPE_CHECKING:
    from kinesink.event.parts import CallSite

MOMENT = 1767323045.678901
SITE: CallSite = (
    "INFO", 20, "app.orders", "/srv/app/orders.py", 12, "place", "MainThread", 7,
)  # fmt: skip
FACTS = ProcessFacts(service="shop", env="prod", version="1.2.3", host="ip-10-0-0-1")


def encoder(**parameters: object) -> Encoder:
    """Return an encoder of a known process."""
    return Encoder(options_of(**parameters), FACTS)


class TestGoldenLines:
    """What a consumer can rely on."""

    def test_a_plain_event(self) -> None:
        """Fields come in a fixed order, without spaces, and one newline ends the line."""
        assert line_of(encoder(), MOMENT, SITE, "order 7 accepted") == (
            b'{"timestamp":"2026-01-02T03:04:05.678901Z","level":"INFO","severity_number":9,'
            b'"logger":"app.orders","message":"order 7 accepted","service":"shop","env":"prod",'
            b'"version":"1.2.3","host":"ip-10-0-0-1","pid":7,"thread":"MainThread",'
            b'"file":"orders.py","line":12,"function":"place"}\n'
        )

    def test_an_event_with_everything(self) -> None:
        """What most events lack stands at its place in the order."""
        details = Details(
            task="Task-3",
            trace=TraceIds("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", 1),
            exception=ExceptionFields("pkg.Err", "no", "Traceback …\npkg.Err: no"),
            stack_info="Stack …",
            attributes={"amount": 12.5, "tags": ["a", None]},
        )
        assert line_of(encoder(), MOMENT, SITE, "no", details).decode() == (
            '{"timestamp":"2026-01-02T03:04:05.678901Z","level":"INFO","severity_number":9,'
            '"logger":"app.orders","message":"no","service":"shop","env":"prod",'
            '"version":"1.2.3","host":"ip-10-0-0-1","pid":7,"thread":"MainThread",'
            '"task":"Task-3","file":"orders.py","line":12,"function":"place",'
            '"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331",'
            '"trace_flags":1,'
            '"exception":{"type":"pkg.Err","message":"no",'
            '"stacktrace":"Traceback …\\npkg.Err: no"},'
            '"stack_info":"Stack …","attributes":{"amount":12.5,"tags":["a",null]}}\n'
        )

    def test_what_is_not_known_is_left_out(self) -> None:
        """No field is null or empty."""
        site: CallSite = ("INFO", 20, "root", None, None, None, None, None)
        line = line_of(Encoder(facts=ProcessFacts()), MOMENT, site, "", Details())
        assert line == (
            b'{"timestamp":"2026-01-02T03:04:05.678901Z","level":"INFO","severity_number":9,'
            b'"logger":"root","message":""}\n'
        )

    def test_part_of_an_exception_is_enough(self) -> None:
        """A stack trace alone still is an exception."""
        details = Details(exception=ExceptionFields(None, None, "Traceback"))
        line = line_of(encoder(), MOMENT, SITE, "no", details)
        assert json.loads(line)["exception"] == {"stacktrace": "Traceback"}

    def test_text_is_utf8_without_ascii_escapes(self) -> None:
        """Only what JSON demands is escaped."""
        line = line_of(encoder(), MOMENT, SITE, 'größe "x" \\ \n \x01 😀')
        assert 'größe \\"x\\" \\\\ \\n \\u0001 😀'.encode() in line

    def test_a_call_site_is_told_apart_by_each_of_its_parts(self) -> None:
        """The text that is kept ready never serves another call site."""
        one = encoder()
        changes = ("ERROR", 40, "other", "/srv/x.py", 13, "cancel", "Thread-1", 8)
        for index, change in enumerate(changes):
            site: Any = tuple(change if at == index else part for at, part in enumerate(SITE))
            one.encode(MOMENT, SITE, "before")
            assert one.encode(MOMENT, site, "x") == line_of(encoder(), MOMENT, site, "x")


class TestTimestamp:
    """Microseconds in UTC, as precise as the clock of logging and no more."""

    @pytest.mark.parametrize(
        ("created", "expected"),
        [
            (0.0, "1970-01-01T00:00:00.000000Z"),
            (0.5, "1970-01-01T00:00:00.500000Z"),
            (1767323045.000001, "2026-01-02T03:04:05.000001Z"),
            (1767323045.1, "2026-01-02T03:04:05.100000Z"),
            (1767323045.9999998, "2026-01-02T03:04:06.000000Z"),
            (-0.25, "1969-12-31T23:59:59.750000Z"),
            (1767323045, "2026-01-02T03:04:05.000000Z"),
        ],
    )
    def test_rounds_to_the_nearest_microsecond(self, created: float, expected: str) -> None:
        """Six digits always, also near the ends of a second."""
        assert json.loads(line_of(encoder(), created, SITE, "x"))["timestamp"] == expected

    def test_moments_in_any_order(self) -> None:
        """The second that is kept ready serves that second only."""
        one = encoder()
        moments = [MOMENT, MOMENT + 1, MOMENT, MOMENT - 86400, MOMENT + 0.3, MOMENT - 0.67]
        for moment in moments:
            assert one.encode(moment, SITE, "x") == line_of(encoder(), moment, SITE, "x")

    @given(st.integers(0, 4_102_444_800_000_000))
    @settings(max_examples=200)
    def test_agrees_with_datetime(self, microseconds: int) -> None:
        """Any moment of this century is written as datetime would."""
        seconds, rest = divmod(microseconds, 1_000_000)
        line = line_of(encoder(), seconds + rest / 1e6, SITE, "x")
        written = datetime.fromisoformat(json.loads(line)["timestamp"].replace("Z", "+00:00"))
        exact = datetime.fromtimestamp(seconds, timezone.utc).replace(microsecond=rest)
        assert abs((written - exact).total_seconds()) <= 1e-6

    @pytest.mark.parametrize("created", [float("nan"), float("inf"), 1e300, -1e15, "soon", None])
    def test_without_meaning_it_is_now(self, created: object) -> None:
        """A broken clock never costs the event."""
        year = json.loads(line_of(encoder(), created, SITE, "x"))["timestamp"][:4]
        assert int(year) >= 2024


class TestSeverityNumber:
    """OpenTelemetry's numbers."""

    @pytest.mark.parametrize(
        ("level", "expected"),
        [
            (0, 0), (5, 0), (logging.DEBUG, 5), (11, 6), (15, 8), (logging.INFO, 9), (25, 12),
            (logging.WARNING, 13), (logging.ERROR, 17), (logging.CRITICAL, 21), (53, 24), (99, 24),
        ],
    )  # fmt: skip
    def test_maps_levels(self, level: int, expected: int) -> None:
        """Standard levels map to the first of their four, those between to the next ones."""
        assert severity_number(level) == expected


class TestParts:
    """Whatever is wrong with the parts, the event goes."""

    def test_lone_surrogates_are_replaced(self) -> None:
        """T37: text that UTF-8 cannot write becomes text that it can."""
        details = Details(
            task="t\ud800",
            exception=ExceptionFields("E", "m\udfff", "s\ud800"),
            stack_info="i\ud800",
            attributes={"k\ud800": "v\ud800"},
        )
        site: CallSite = ("INFO", 20, "l\ud800", "/p\ud800", 12, "f\ud800", "t\ud800", 7)
        event = json.loads(line_of(encoder(), MOMENT, site, "m\ud800", details))
        assert event["message"] == "m?"
        assert (event["logger"], event["file"], event["function"]) == ("l?", "p?", "f?")
        assert (event["thread"], event["task"], event["stack_info"]) == ("t?", "t?", "i?")
        assert event["exception"] == {"type": "E", "message": "m?", "stacktrace": "s?"}
        assert event["attributes"] == {"k?": "v?"}

    def test_parts_of_other_types_become_text(self) -> None:
        """A record made by hand can hold anything anywhere."""
        site: Any = (None, "high", 17, b"/p", "12", ["f"], 3.5, "pid")
        message: Any = {"not": "text"}
        event = json.loads(line_of(encoder(), MOMENT, site, message))
        assert event["message"] == "{'not': 'text'}"
        assert event["severity_number"] == 0
        assert "line" not in event
        assert "pid" not in event
        assert (event["logger"], event["function"], event["thread"]) == ("17", "['f']", "3.5")

    def test_a_call_site_that_is_no_key_works_without_being_kept(self) -> None:
        """A list as a field cannot be looked up and need not be."""
        site: Any = ("INFO", 20, "l", "/p", 1, ["f"], "t", 7)
        one = encoder()
        assert one.encode(MOMENT, site, "x") == one.encode(MOMENT, site, "x")

    def test_a_long_message_is_not_cut_for_being_unclean(self) -> None:
        """Cleaning replaces characters and takes none away."""
        event = json.loads(line_of(encoder(), MOMENT, SITE, "\ud800" + "x" * 5000))
        assert event["message"] == "?" + "x" * 5000

    def test_the_number_of_call_sites_kept_ready_is_bounded(self) -> None:
        """A program that makes up loggers or threads without end uses bounded memory."""
        one = encoder()
        for line in range(MAX_CALL_SITES + 10):
            one.encode(MOMENT, (*SITE[:4], line + 1, *SITE[5:]), "x")
        assert len(one._fragments) == 10

    def test_values_that_orjson_refuses_are_made_plain(self) -> None:
        """T21, T22: one value without a JSON form costs neither the event nor its neighbours."""
        details = Details(attributes={"bad": {1, 2} - {2}, "good": 1, 3: "key"})
        event = json.loads(line_of(encoder(), MOMENT, SITE, "x", details))
        assert event["attributes"] == {"bad": [1], "good": 1, "3": "key"}

    @given(
        st.tuples(*[st.none() | st.text() | st.integers() | st.binary()] * 8),
        st.text() | st.integers() | st.none(),
        st.floats() | st.none() | st.integers(),
    )
    @settings(max_examples=200)
    def test_any_parts_give_one_line_of_json(
        self, site: object, message: object, created: object
    ) -> None:
        """Whatever the parts are, the line parses and is a single line."""
        line = line_of(encoder(), created, site, message)
        assert line.endswith(b"}\n")
        assert line.count(b"\n") == 1
        assert isinstance(json.loads(line)["message"], str)


class TestEncoderIsShared:
    """One encoder serves all threads and processes."""

    def test_survives_a_pickle(self) -> None:
        """What is kept ready stays behind; bounds and facts go along."""
        one = encoder(max_event_bytes=4096)
        one.encode(MOMENT, SITE, "x")
        other = pickle.loads(pickle.dumps(one))  # noqa: S301 - our own
        assert other.max_event_bytes == 4096
        assert other._fragments == {}
        assert other.encode(MOMENT, SITE, "x") == one.encode(MOMENT, SITE, "x")

    def test_needs_no_module_that_is_slow_to_import(self) -> None:
        """Importing the encoder does not bring in event loops or AWS."""
        code = (
            "import sys, kinesink.event.encoder\n"
            "print(sorted({'asyncio', 'anyio', 'botocore', 'httpx', 'trio'} & set(sys.modules)))"
        )
        done = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "[]"

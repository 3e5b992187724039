"""Events as they are found, chosen and shown, whatever schema and framing they came in."""

from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from rich.console import Console

from kinesink.cli.tail.events import Unreadable, events_of, find, text_of
from kinesink.cli.tail.filters import Condition, ConditionError, Filter, expression
from kinesink.cli.tail.show import json_line, pretty
from kinesink.cli.tail.since import Since, SinceError
from kinesink.cli.tail.walk import Record
from kinesink.event.schemas import SCHEMAS

if TYPE_CHECKING:
    from kinesink.cli.tail.events import Event

AT = 1_795_415_316.018
"""2026-11-23T06:28:36.018Z"""


def event(data: bytes | dict[str, Any]) -> Event:
    """Return an event as it is found in a record of its own."""
    data = data if isinstance(data, bytes) else orjson.dumps(data)
    found = events_of(Record("shard", "1", AT, data))
    assert not isinstance(found, Unreadable)
    (only,) = found
    return only


def shown(data: bytes | dict[str, Any]) -> str:
    """Return what a person sees of an event, without colours."""
    console = Console(file=io.StringIO(), width=200, highlight=False)
    with console.capture() as captured:
        console.print(pretty(event(data)), soft_wrap=True)
    return captured.get().rstrip("\n")


def line(data: bytes | dict[str, Any], *, for_terminal: bool = False) -> bytes:
    """Return what a program sees of an event."""
    return json_line(event(data), for_terminal=for_terminal)


def logged(schema: str) -> bytes:
    """Return one event in a schema, written by kinesink itself."""
    fields = {
        "timestamp": "2026-11-23T06:28:37.024696Z",
        "level": "ERROR",
        "severity_number": 17,
        "logger": "shop",
        "message": "order 17 failed",
        "host": "vm",
        "pid": 7,
        "file": "shop.py",
        "line": 5,
        "function": "pay",
        "exception": {"type": "OSError", "message": "gone", "stacktrace": "Traceback:\n  OSError"},
        "attributes": {"amount": 12.5},
        "boot_id": "0123456789abcdef",
        "seq": 3,
    }
    return orjson.dumps(SCHEMAS[schema].build(fields, 1_795_415_317_024_696_000))


class TestFraming:
    """Records are taken apart as kinesink puts them together."""

    def test_compressed_lines(self) -> None:
        """Each is an event."""
        found = events_of(Record("shard", "1", AT, gzip.compress(b'{"a":1}\n{"a":2}\n')))
        assert isinstance(found, list)
        assert [(each.data, each.fields, each.arrival) for each in found] == [
            (b'{"a":1}\n', {"a": 1}, AT),
            (b'{"a":2}\n', {"a": 2}, AT),
        ]

    def test_what_cannot_be_read_says_where_it_is(self) -> None:
        """Somebody may want to look at it by other means."""
        found = events_of(Record("shardId-000000000003", "49123", AT, b"\x1f\x8b\x08 broken"))
        assert isinstance(found, Unreadable)
        assert "record of 10 bytes cannot be read" in found.text
        assert "(shardId-000000000003, sequence number 49123)" in found.text


class TestFields:
    """What people look for is found in every schema."""

    @pytest.mark.parametrize("schema", SCHEMAS)
    def test_the_usual_ones(self, schema: str) -> None:
        """By the names of the default schema."""
        fields = event(logged(schema)).fields
        assert fields is not None
        assert str(find(fields, "timestamp")).startswith("2026-11-23T06:28:37.024")
        assert str(find(fields, "level")).upper() == "ERROR"
        assert find(fields, "logger") == "shop"
        assert find(fields, "message") == "order 17 failed"

    @pytest.mark.parametrize("schema", SCHEMAS)
    def test_an_attribute(self, schema: str) -> None:
        """Wherever the schema puts it."""
        fields = event(logged(schema)).fields
        assert fields is not None
        assert find(fields, "amount") == 12.5

    def test_what_is_null_or_not_there_is_none(self) -> None:
        """Nothing is printed for either."""
        for path in ("null", "absent"):
            assert find({"null": None}, path) is None

    @pytest.mark.parametrize("data", [b"text", b"[1]", b"7", b"\xff", b"", b'{"a":NaN}'])
    def test_what_is_no_object_has_no_fields(self, data: bytes) -> None:
        """It is an event all the same."""
        assert event(data).fields is None

    @pytest.mark.parametrize(
        "wrong",
        [
            7,
            [],
            [{"scopeLogs": [{"logRecords": [{}]}]}],
            [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "9" * 30}]}]}],
            [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "1", "attributes": 5}]}]}],
        ],
    )
    def test_what_only_looks_like_otlp_stays_as_it_is(self, wrong: object) -> None:
        """Its fields are those of its JSON."""
        assert event({"resourceLogs": wrong}).fields == {"resourceLogs": wrong}

    def test_values_of_otlp(self) -> None:
        """Numbers, lists, objects, and nothing."""
        pairs = [
            {"key": "i", "value": {"intValue": "5"}},
            {"key": "l", "value": {"arrayValue": {"values": [{"stringValue": "x"}]}}},
            {"key": "o", "value": {"kvlistValue": {"values": [{"key": "k", "value": {}}]}}},
        ]
        record = {"timeUnixNano": "1", "attributes": pairs}
        fields = event({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).fields
        assert fields is not None
        assert fields["attributes"] == {"i": 5, "l": ["x"], "o": {"k": None}}

    def test_depth_is_no_trouble(self) -> None:
        """Neither in OTLP nor when it is written."""
        value: dict[str, Any] = {}
        for _ in range(300):
            value = {"kvlistValue": {"values": [{"key": "k", "value": value}]}}
        text = '{"stringValue":"x"}'
        for _ in range(240):
            text = '{"kvlistValue":{"values":[{"key":"k","value":' + text + "}]}}"
        record = '{"timeUnixNano":"1","attributes":[{"key":"k","value":' + text + "}]}"
        data = ('{"resourceLogs":[{"scopeLogs":[{"logRecords":[' + record + "]}]}]}").encode()
        assert event(data).fields is not None
        assert text_of(value) == "…"


class TestWhere:
    """Conditions on fields."""

    @pytest.mark.parametrize(
        ("text", "holds"),
        [
            ("level=error", True),
            ("level=ERROR", True),
            ("level!=error", False),
            ("level>=WARN", True),
            ("level>error", False),
            ("level<critical", True),
            ("level=nonsense", False),
            ("message~^order [0-9]+", True),
            ("message~^failed", False),
            ("message=order 17 failed", True),
            ("message = order 17 failed", True),
            ("message!=other", True),
            ("attributes.amount=12.50", True),
            ("amount>12", True),
            ("amount<=12", False),
            ("amount=much", False),
            ("pid=7", True),
            ("pid!=8", True),
            ("exception.type=OSError", True),
            ("timestamp>2026-11-23T06", True),
            ("timestamp<2026-11-23T06", False),
            ("nothing=x", False),
            ("nothing!=x", True),
            ("nothing=null", True),
            ("nothing~.", False),
            ("nothing>0", False),
            ("flag=true", True),
            ("flag~true", True),
            ("id=1e2", False),
            ("list=[1,2]", True),
        ],
    )
    def test_a_condition_holds_or_not(self, text: str, holds: bool) -> None:  # noqa: FBT001 - a row
        """Numbers are numbers, levels have an order, times are text."""
        fields = {**orjson.loads(logged("default")), "flag": True, "id": "100", "list": [1, 2]}
        assert Condition.parse(text).holds(fields) is holds

    @pytest.mark.parametrize("text", ["", "level", "=x", "~", "message~("])
    def test_what_is_no_condition_says_why(self, text: str) -> None:
        """With an example."""
        with pytest.raises(ConditionError, match=r"is no (condition|regular expression)"):
            Condition.parse(text)

    def test_all_have_to_hold(self) -> None:
        """Conditions and expressions alike."""
        one, other = Condition.parse("a=1"), Condition.parse("b=2")
        assert Filter([one, other]).wants(event({"a": 1, "b": 2}))
        assert not Filter([one, other]).wants(event({"a": 1}))
        assert not Filter([one]).wants(event(b"a=1"))
        patterns = [expression("a"), expression("[0-9]")]
        assert Filter([], patterns).wants(event(b"a1\xff"))
        assert not Filter([], patterns).wants(event(b"ab"))
        assert Filter().wants(event(b""))


class TestJson:
    """One line of JSON for each event, whatever it is."""

    def test_an_object_is_passed_on_as_it_is(self) -> None:
        """To the last digit."""
        data = b'{"a": 1.10, "b":"\\u00e9"}'
        assert line(data + b"\n") == data + b"\n"

    def test_an_object_of_several_lines_becomes_one(self) -> None:
        """As everything is one line."""
        assert line(b'{"a":\r\n  1}') == b'{"a":   1}\n'

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"plain text\r\n", b'{"text":"plain text"}\n'),
            (b"two\nlines", b'{"text":"two\\nlines"}\n'),
            (b"[1,2]", b'{"text":"[1,2]"}\n'),
            (b"\xff\x00", b'{"base64":"/wA="}\n'),
        ],
    )
    def test_what_is_no_object_becomes_one(self, data: bytes, said: bytes) -> None:
        """So every line can be read alike."""
        assert line(data) == said

    def test_controls_are_escapes_on_a_terminal(self) -> None:
        """JSON forbids only some of them."""
        data = '{"a":"\x7f\x9b31m\u202e"}'.encode()
        assert line(data) == data + b"\n"
        assert line(data, for_terminal=True) == b'{"a":"\\u007f\\u009b31m\\u202e"}\n'
        assert orjson.loads(line(data, for_terminal=True)) == orjson.loads(data)


class TestPretty:
    """A line for people."""

    @pytest.mark.parametrize("schema", SCHEMAS)
    def test_every_schema_looks_alike(self, schema: str) -> None:
        """Without what says only where it was logged; with the traceback below."""
        text = shown(logged(schema))
        first, *rest = text.splitlines()
        assert first.startswith(
            "2026-11-23 06:28:37.024 ERROR    shop  order 17 failed  amount=12.5"
        )
        assert "OSError" in text
        assert rest == ["    Traceback:", "      OSError"]
        for left_out in ("shop.py", "vm", "0123456789abcdef", "pay"):
            assert left_out not in text

    def test_without_a_time_of_its_own_that_of_its_arrival(self) -> None:
        """And without what it does not say."""
        assert shown({"a": 1, "timestamp": 5}) == "2026-11-23 06:28:36.018  a=1"

    def test_text_is_shown_as_text(self) -> None:
        """With the time of its arrival."""
        assert shown(b"GET / 200\n") == "2026-11-23 06:28:36.018 GET / 200"

    def test_bytes_are_counted(self) -> None:
        """They would say nothing."""
        assert shown(b"\xff" * 1200) == "2026-11-23 06:28:36.018 1,200 bytes that are no text"

    def test_nothing_gives_orders_to_the_terminal(self) -> None:
        """Wherever it stands: a log is where strangers' words end up."""
        evil = "\x1b]0;owned\x07\x9b31m\r\u202e\n"
        fields: dict[str, Any] = dict.fromkeys(("timestamp", "level", "logger", "message"), evil)
        fields |= {evil: evil, "exception": {"type": evil, "message": evil, "stacktrace": evil}}
        for text in (shown(fields), shown(f"text {evil} text".encode())):
            assert not set(evil) - {"\n"} & set(text) - set("]0;owned31m")
            assert "\\x1b]0;owned\\x07\\x9b31m\\r\\u202e" in text

    def test_a_long_value_is_cut(self) -> None:
        """The message is not."""
        text = shown({"message": "m" * 500, "a": "v" * 500})
        assert "m" * 500 in text
        assert f"a={'v' * 199}…" in text

    @pytest.mark.parametrize(
        ("exception", "summary", "rows"),
        [
            ("OSError: gone", "OSError: gone", 1),
            ("Traceback:\n  x\nOSError: gone\n", "OSError: gone", 4),
            ({"kind": "OSError", "stack": "a\nb"}, "OSError", 3),
            ({"message": "gone"}, "gone", 1),
            ([{"exc_type": "OSError"}], "", 1),
        ],
    )
    def test_exceptions_of_other_writers(self, exception: object, summary: str, rows: int) -> None:
        """Text with or without a traceback, objects with other names."""
        text = shown({"message": "m", "exception": exception})
        assert len(text.splitlines()) == rows
        assert text.splitlines()[0].endswith(f"  m  {summary}" if summary else "  m")


class TestSince:
    """How far back."""

    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("90s", 910),
            ("10m", 400),
            ("0.1h", 640),
            ("1d", 0),
            ("start", 0),
            ("1970-01-01T00:10:00Z", 600),
            ("1970-01-01T00:10:00", 600),
            ("1970-01-01T01:10:00+01:00", 600),
            ("2999-01-01", 1000),
        ],
    )
    def test_times_before_now(self, text: str, moment: float) -> None:
        """Never later than now, of which the service would not hear."""
        assert Since.parse(text).moment(1000) == pytest.approx(moment)

    @pytest.mark.parametrize("text", ["", "soon", "10x", "-5m", "2026-13-01"])
    def test_what_is_no_time_says_what_is(self, text: str) -> None:
        """With examples."""
        with pytest.raises(SinceError, match=r"is no time: 90s, 10m"):
            Since.parse(text)

"""From an event dict to the parts of an event: what a processor has put there, and the rest."""

from __future__ import annotations

import enum
import logging
import sys
import time
import types
from collections import OrderedDict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from kinesink.adapters.event_dict import HAS_TASKS, exception_of, level_of, translate
from kinesink.event.current_span import SPANS
from kinesink.event.parts import Details, TraceIds
from tests.adapters.recording_sink import a_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinesink.adapters.event_dict import Parts
    from kinesink.event.plain_values import ExceptionFields

MOMENT = 1767323045.678901
"""2026-01-02T03:04:05.678901Z."""


@pytest.fixture(autouse=True)
def no_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever other tests have imported, there is no OpenTelemetry here."""
    monkeypatch.delitem(sys.modules, SPANS, raising=False)


def parts_of(event_dict: Mapping[Any, Any], method_name: str = "info") -> Parts:
    """Return what becomes of an event dict, which stays as it was."""
    before = dict(event_dict)
    parts = translate(event_dict, method_name, "app", 7)
    assert dict(event_dict) == before
    return parts


def details_of(**event_dict: object) -> Details:
    """Return what a plain event does not have."""
    return Details(*(parts_of(event_dict)[3] or ()))


def site_of(**event_dict: object) -> tuple[Any, ...]:
    """Return level, its number, logger, path, line, function, thread and process."""
    return parts_of(event_dict)[1]


def attributes_of(**event_dict: object) -> dict[Any, Any]:
    """Return what is no field."""
    return details_of(**event_dict).attributes or {}


def exception_in(**event_dict: object) -> ExceptionFields:
    """Return the exception that there is."""
    exception = details_of(**event_dict).exception
    assert exception is not None
    return exception


class TestLevels:
    """What an event is worth."""

    @pytest.mark.parametrize(
        ("method_name", "level"),
        [
            ("debug", ("DEBUG", 10)),
            ("info", ("INFO", 20)),
            ("msg", ("INFO", 20)),
            ("log", ("INFO", 20)),
            ("warn", ("WARNING", 30)),
            ("warning", ("WARNING", 30)),
            ("err", ("ERROR", 40)),
            ("error", ("ERROR", 40)),
            ("failure", ("ERROR", 40)),
            ("exception", ("ERROR", 40)),
            ("critical", ("CRITICAL", 50)),
            ("fatal", ("CRITICAL", 50)),
            ("notset", ("NOTSET", 0)),
            ("audit", ("AUDIT", 0)),
        ],
    )
    def test_is_the_methods_where_the_dict_has_none(
        self, method_name: str, level: tuple[str, int]
    ) -> None:
        """Without ``add_log_level`` the method's name is all that is known."""
        assert parts_of({"event": "x"}, method_name)[1][:2] == level

    @pytest.mark.parametrize("said", ["warning", "warn", "WARNING", "Warn"])
    def test_of_the_dict_wins(self, said: str) -> None:
        """However it is written."""
        assert site_of(event="x", level=said)[:2] == ("WARNING", 30)

    def test_of_the_applications_own_keeps_its_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its number comes from ``add_log_level_number``, or from logging."""
        assert site_of(event="x", level="notice")[:2] == ("NOTICE", 0)
        assert site_of(event="x", level="notice", level_number=25)[:2] == ("NOTICE", 25)
        monkeypatch.setitem(logging._nameToLevel, "NOTABLE", 26)
        assert site_of(event="x", level="notable")[:2] == ("NOTABLE", 26)

    def test_a_number_beside_a_known_name_says_nothing_new(self) -> None:
        """And so it is no attribute either."""
        assert site_of(event="x", level="info", level_number=20)[:2] == ("INFO", 20)
        assert attributes_of(event="x", level="info", level_number=20) == {}

    def test_may_be_of_any_type(self) -> None:
        """Nothing is refused."""

        class Level(str, enum.Enum):
            WARNING = "warning"

            def __str__(self) -> str:
                return self.value

        assert level_of(Level.WARNING) == ("WARNING", 30)
        assert level_of(["list"]) == ("['LIST']", 0)
        assert level_of(None) == ("NONE", 0)


class TestMessage:
    """What happened."""

    @pytest.mark.parametrize(
        ("event", "message"),
        [
            ("paid", "paid"),
            (None, ""),
            (17, "17"),
            ({"a": 1}, "{'a': 1}"),
            (ValueError("no"), "no"),
        ],
    )
    def test_is_the_text_of_the_event(self, event: object, message: str) -> None:
        """Nobody promised a string."""
        assert parts_of({"event": event})[2] == message

    def test_without_an_event_it_is_empty(self) -> None:
        """An event may be nothing but its values."""
        _, _, message, details = parts_of({"order": 17})
        assert message == ""
        assert Details(*(details or ())).attributes == {"order": 17}

    def test_one_without_a_text_says_so(self) -> None:
        """``__str__`` is the application's code."""

        class Broken:
            def __str__(self) -> NoReturn:
                raise RuntimeError

        assert parts_of({"event": Broken()})[2].startswith("<unserializable ")


class TestTime:
    """When it happened."""

    @pytest.mark.parametrize(
        ("timestamp", "moment"),
        [
            (MOMENT, MOMENT),
            (1767323045, 1767323045.0),
            (0, 0.0),
            ("2026-01-02T03:04:05.678901Z", MOMENT),
            ("2026-01-02T03:04:05.123456Z", 1767323045.123456),
            ("2026-01-02T03:04:05.678901+00:00", MOMENT),
            ("2026-01-02T05:04:05.678901+02:00", MOMENT),
            ("2026-01-02T03:04:05Z", 1767323045.0),
            ("2026-01-02T03:04:06.000001Z", 1767323046.000001),
        ],
    )
    def test_is_what_a_stamper_has_put_there(self, timestamp: object, moment: float) -> None:
        """Seconds, or ISO 8601 with a zone."""
        parts = parts_of({"event": "x", "timestamp": timestamp})
        assert parts[0] == pytest.approx(moment, abs=1e-7)
        assert parts[3] is None

    def test_without_a_zone_it_is_local(self) -> None:
        """As ``TimeStamper(fmt="iso", utc=False)`` has it."""
        local = datetime.fromtimestamp(MOMENT, timezone.utc).astimezone().replace(tzinfo=None)
        assert parts_of({"event": "x", "timestamp": local.isoformat()})[0] == pytest.approx(MOMENT)

    @pytest.mark.parametrize(
        "timestamp",
        [
            "03:04:05",
            "2026-01-02",
            "2026-01-02 03:04:05",
            "20260102",
            "2026-W01-5",
            "Fri Jan  2 03:04:05 2026",
            "2026-13-02T03:04:05Z",
            "0001-01-01T00:00:00.000000+23:59",
            "",
            1767323045678,
            1767323045678.9,
            10**400,
            -1,
            float("nan"),
            float("inf"),
            True,
            ["list"],
            datetime(2026, 1, 2, tzinfo=timezone.utc),
        ],
        ids=repr,
    )
    def test_that_cannot_be_read_is_an_attribute(self, timestamp: object) -> None:
        """Guessing a date or a zone would be worse than the time of the call."""
        before = time.time()
        created, _, _, details = parts_of({"event": "x", "timestamp": timestamp})
        assert before <= created <= time.time()
        assert details is not None
        (kept,) = (details[4] or {}).values()
        assert kept is timestamp

    def test_that_cannot_be_read_hides_nothing_else(self) -> None:
        """What few events have counts all the same."""
        details = details_of(event="x", timestamp="03:04:05", exc_info=ValueError("no"))
        assert details.exception is not None
        assert details.attributes == {"timestamp": "03:04:05"}

    def test_that_is_missing_is_now(self) -> None:
        """None is missing."""
        before = time.time()
        for event_dict in ({"event": "x"}, {"event": "x", "timestamp": None}):
            assert before <= parts_of(event_dict)[0] <= time.time()


class TestExceptions:
    """What went wrong, in every form."""

    def test_each_form_of_exc_info(self) -> None:
        """True and its like, the triple, the exception."""
        found: list[ExceptionFields | None] = []
        try:
            int("a dozen")
        except ValueError as error:
            found += map(exception_of, (True, 1, "yes", sys.exc_info(), error))
        assert found[0] is not None
        assert found[0].type == "ValueError"
        assert "a dozen" in (found[0].stacktrace or "")
        assert set(found) == {found[0]}

    @pytest.mark.parametrize(
        "exc_info", [None, False, 0, "", (), (None, None, None), ("a", "b"), True]
    )
    def test_none_is_none(self, exc_info: object) -> None:
        """``exception()`` outside of an except block has nothing to tell."""
        assert details_of(event="x", exc_info=exc_info).exception is None

    @pytest.mark.parametrize("in_a_tuple", [False, True])
    def test_what_refuses_to_be_looked_at_is_none(self, *, in_a_tuple: bool) -> None:
        """Not even its class can be had, nor whether it is true."""

        class Refuses:
            def __getattribute__(self, _name: str) -> object:
                raise UnicodeError

            def __bool__(self) -> bool:
                raise UnicodeError

        refuses = Refuses()
        assert exception_of((1, refuses, None) if in_a_tuple else refuses) is None

    def test_a_rendered_text_is_the_stack_trace(self) -> None:
        """As ``format_exc_info`` leaves it."""
        assert exception_in(event="x", exception="Traceback …") == (None, None, "Traceback …")

    def test_the_exception_itself_says_more_than_its_text(self) -> None:
        """Where both are there."""
        exception = exception_in(event="x", exc_info=ValueError("no"), exception="Traceback …")
        assert exception.type == "ValueError"

    def test_dictionaries_are_an_exception_and_kept(self) -> None:
        """As ``dict_tracebacks`` leaves them; they may hold the variables of each frame."""
        frame = {"filename": "/srv/app.py", "lineno": 12, "name": "place", "locals": {"a": "1"}}
        stacks = [{"exc_type": "ValueError", "exc_value": "no", "frames": [frame]}]
        exception = exception_in(event="x", exception=stacks)
        assert (exception.type, exception.message) == ("ValueError", "no")
        assert (exception.stacktrace or "").splitlines() == [
            "Traceback (most recent call last):",
            '  File "/srv/app.py", line 12, in place',
            "ValueError: no",
        ]
        assert attributes_of(event="x", exception=stacks) == {"exception": stacks}

    def test_dictionaries_of_causes_and_notes(self) -> None:
        """The last one is printed last, with what it came of before it."""
        stacks = [
            {"exc_type": "C", "exc_value": "c", "is_cause": False, "exc_notes": ["a note"]},
            {"exc_type": "B", "exc_value": "b", "is_cause": True},
            {"exc_type": "A", "exc_value": "a", "is_cause": False},
        ]
        stacktrace = exception_in(event="x", exception=stacks).stacktrace or ""
        assert [line for line in stacktrace.splitlines() if line] == [
            "Traceback (most recent call last):",
            "A: a",
            "During handling of the above exception, another exception occurred:",
            "Traceback (most recent call last):",
            "B: b",
            "The above exception was the direct cause of the following exception:",
            "Traceback (most recent call last):",
            "C: c",
            "a note",
        ]

    def test_dictionaries_of_a_group(self) -> None:
        """Its members are told below it."""
        member = [{"exc_type": "ValueError", "exc_value": "no"}]
        stacks = [{"exc_type": "ExceptionGroup", "exc_value": "two", "exceptions": [member] * 2}]
        lines = (exception_in(event="x", exception=stacks).stacktrace or "").splitlines()
        assert lines.count("  | ValueError: no") == 2

    def test_a_group_within_itself_ends(self) -> None:
        """Nothing runs without a bound."""
        group: dict[str, Any] = {"exc_type": "ExceptionGroup", "exc_value": "round"}
        group["exceptions"] = [[group]]
        lines = (exception_in(event="x", exception=[group]).stacktrace or "").splitlines()
        assert 0 < len(lines) < 100

    @pytest.mark.parametrize(
        "exception",
        [
            [],
            [{"code": 5}],
            ["text"],
            [{"exc_type": "E", "exc_value": "", "frames": 5}],
            {"a": 1},
            7,
        ],
        ids=repr,
    )
    def test_what_only_looks_like_one_is_an_attribute(self, exception: object) -> None:
        """The name may be the application's own."""
        details = details_of(event="x", exception=exception)
        assert details.exception is None
        assert details.attributes == {"exception": exception}


class TestStacks:
    """Where the log call was."""

    def test_is_what_the_renderer_has_made(self) -> None:
        """``StackInfoRenderer`` calls it ``stack``; logging, ``stack_info``."""
        assert details_of(event="x", stack="Stack …").stack_info == "Stack …"
        assert details_of(event="x", stack_info="Stack …").stack_info == "Stack …"

    @pytest.mark.parametrize("asked", [True, False, None])
    def test_one_that_was_only_asked_for_says_nothing(self, asked: object) -> None:
        """Without the renderer there is none."""
        details = details_of(event="x", stack_info=asked)
        assert (details.stack_info, details.attributes or {}) == (None, {})

    @pytest.mark.parametrize("name", ["stack", "stack_info"])
    def test_of_another_type_is_an_attribute(self, name: str) -> None:
        """Nothing is lost."""
        assert attributes_of(event="x", **{name: ["web"]}) == {name: ["web"]}

    def test_a_second_one_is_an_attribute(self) -> None:
        """There is one field for them."""
        details = details_of(event="x", stack="theirs", stack_info="ours")
        assert (details.stack_info, details.attributes) == ("ours", {"stack": "theirs"})


class TestCallSite:
    """Parameters of ``CallsiteParameterAdder``."""

    def test_are_fields(self) -> None:
        """Those that the default schema has; the others are attributes."""
        site = site_of(
            event="x", pathname="/srv/app/orders.py", filename="orders.py", lineno=12,
            func_name="place", thread_name="T", process=9, module="orders", thread=1,
        )  # fmt: skip
        assert site == ("INFO", 20, "app", "/srv/app/orders.py", 12, "place", "T", 9)
        assert attributes_of(event="x", filename="orders.py", module="orders", thread=1) == {
            "module": "orders", "thread": 1,
        }  # fmt: skip

    def test_a_file_name_that_is_not_the_paths_is_kept(self) -> None:
        """It is what the application says."""
        assert site_of(event="x", filename="orders.py")[3] == "orders.py"
        assert attributes_of(event="x", pathname="/srv/app.py", filename="upload.pdf") == {
            "filename": "upload.pdf"
        }

    @pytest.mark.parametrize(
        "name", ["pathname", "filename", "lineno", "func_name", "thread_name", "process"]
    )
    def test_of_another_type_are_attributes(self, name: str) -> None:
        """Nothing is lost."""
        assert attributes_of(event="x", **{name: 1.5}) == {name: 1.5}
        assert site_of(event="x", **{name: 1.5}) == (*site_of(event="x")[:3], *[None] * 4, 7)


class TestLogger:
    """Who says it."""

    def test_is_the_dicts_or_else_the_given_one(self) -> None:
        """``add_logger_name`` wins."""
        assert site_of(event="x")[2] == "app"
        assert site_of(event="x", logger="app.orders")[2] == "app.orders"
        assert translate({"event": "x"}, "info", None, 7)[1][2] == ""

    def test_of_another_type_is_its_text(self) -> None:
        """Nothing is lost."""
        assert site_of(event="x", logger=17)[2] == "17"


class TestRecord:
    """Inside of a ``ProcessorFormatter`` the record is there, too."""

    def test_stands_in_for_what_the_dict_does_not_say(self) -> None:
        """Time, level, logger, place, thread, process and task."""
        record = a_record("x", taskName="Task-3", levelno=25)
        event_dict = {"event": "x", "level": "notice", "_record": record, "_from_structlog": False}
        created, site, _, details = translate(event_dict, "info", None, 1)
        assert created == record.created
        assert site == (
            "NOTICE", 25, "app.orders", "/srv/app/orders.py", 12, "place", "MainThread", 7,
        )  # fmt: skip
        assert details is not None
        assert details[0] == ("Task-3" if HAS_TASKS else None)
        assert details[4] == {}

    def test_what_the_dict_says_wins(self) -> None:
        """A processor has put it there on purpose."""
        event_dict = {
            "event": "x", "_record": a_record("x"), "timestamp": 5.0, "pathname": "/p.py",
            "lineno": 1, "func_name": "f", "thread_name": "t", "logger": "l", "process": 9,
        }  # fmt: skip
        created, site, _, _ = parts_of(event_dict)
        assert created == 5.0
        assert site == ("INFO", 20, "l", "/p.py", 1, "f", "t", 9)

    def test_its_time_is_better_than_one_that_cannot_be_read(self) -> None:
        """And that is kept."""
        record = a_record("x")
        created, _, _, details = parts_of({"timestamp": "03:04:05", "_record": record})
        assert created == record.created
        assert Details(*(details or ())).attributes == {"timestamp": "03:04:05"}

    def test_what_is_no_record_is_nothing(self) -> None:
        """The name is structlog's own."""
        assert attributes_of(event="x", _record="text", _from_structlog=True) == {}


class TestAttributes:
    """Everything else."""

    def test_are_a_snapshot(self) -> None:
        """The dict may change afterwards."""
        event_dict = OrderedDict(event="x", a=1)
        details = parts_of(event_dict)[3]
        event_dict["a"] = 2
        assert details is not None
        assert details[4] == {"a": 1}

    def test_of_any_name(self) -> None:
        """Names need not be text."""
        assert Details(*(parts_of({3: "three", None: 0})[3] or ())).attributes == {
            3: "three", None: 0,
        }  # fmt: skip

    def test_the_current_span_is_a_field(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With attributes and without."""
        context = types.SimpleNamespace(trace_id=10, span_id=11, trace_flags=1, is_valid=True)
        span = types.SimpleNamespace(get_span_context=lambda: context)
        module = types.SimpleNamespace(get_current_span=lambda: span)
        monkeypatch.setitem(sys.modules, SPANS, module)
        expected = TraceIds(f"{10:032x}", f"{11:016x}", 1)
        assert details_of(event="x").trace == expected
        assert details_of(event="x", a=1).trace == expected
        assert details_of(event="x", stack="Stack …").trace == expected

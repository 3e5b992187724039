"""Events that are too large, in any schema and with any options: the law of oversize."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinesink.event.options import MIN_EVENT_BYTES, EventOptions
from kinesink.event.oversize import MOST_CHUNKS, shorten
from kinesink.event.parts import Details, TraceIds
from kinesink.event.plain_values import ExceptionFields
from kinesink.event.process_facts import ProcessFacts
from kinesink.event.shaped import new_encoder
from tests.event.lines import UNLIMITED
from tests.event.strategies import PARTS, RESOURCES, SCHEMAS, STATIC, options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinesink.event.parts import CallSite
    from tests.event.strategies import Parts, Resource

SITE: CallSite = ("INFO", 20, "app", "/app.py", 1, "main", "MainThread", 7)
FACTS = ProcessFacts("shop", "prod", "1", "host")
MARKS = ("truncated", "original_bytes", "cut")
LIMIT = 4096

#: Texts of an event, by the schema, and where the message is in it.
MESSAGE: dict[str, Any] = {
    "default": lambda event: event["message"],
    "ecs": lambda event: event["message"],
    "datadog": lambda event: event["message"],
    "structlog": lambda event: event["event"],
    "otel": lambda event: record_of(event)["body"]["stringValue"],
}


def record_of(event: dict[str, Any]) -> dict[str, Any]:
    """Return the one record of an event in OTLP's shape."""
    record: dict[str, Any] = event["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    return record


def lines_of(
    given: EventOptions,
    message: str = "order",
    *,
    facts: ProcessFacts = FACTS,
    resource: Mapping[str, Any] | None = None,
    site: CallSite = SITE,
    **details: Any,  # noqa: ANN401 - as Details takes them
) -> list[dict[str, Any]]:
    """Return the events that one becomes; each line is within the limit and valid."""
    encoder = new_encoder(given, facts, resource)
    return checked(encoder.encode(1.0, site, message, Details(**details)), given)


def checked(lines: bytes | tuple[bytes, ...], given: EventOptions) -> list[dict[str, Any]]:
    """Return the events of lines, each of which keeps the law."""
    events = []
    for line in (lines,) if isinstance(lines, bytes) else lines:
        assert len(line) <= given.max_event_bytes
        assert line.endswith(b"}\n")
        assert line.count(b"\n") == 1
        event = json.loads(line, parse_constant=pytest.fail)
        assert isinstance(event, dict)
        if given.name_of("truncated") in event:
            assert len(event[given.name_of("cut")]) in range(1, 7)
        events.append(event)
    return events


def one_of(given: EventOptions, *args: Any, **parts: Any) -> dict[str, Any]:  # noqa: ANN401 - as lines_of takes them
    """Return the one event, which says that something was cut."""
    (event,) = lines_of(given, *args, **parts)
    assert event["truncated"] is True
    assert event["original_bytes"] > given.max_event_bytes
    return event


class TestTheLaw:
    """Whatever the options, lines are whole, within the limit, and say what they lack."""

    @given(
        PARTS, st.sampled_from(SCHEMAS), st.sampled_from([None, "flat", "nested", ["user", "a"]]),
        st.sampled_from(["truncate", "split"]), STATIC, RESOURCES,
        st.integers(MIN_EVENT_BYTES, 9000),
    )  # fmt: skip
    @settings(max_examples=300, suppress_health_check=list(HealthCheck))
    def test_holds_for_any_event(  # noqa: PLR0913, PLR0917 - one argument per source of variety
        self,
        parts: Parts,
        schema: str,
        extra: object,
        oversize: str,
        static: object,
        resource: Resource,
        limit: int,
    ) -> None:
        """Any parts in any schema: what does not fit is cut, and only that says so."""
        shape = {"schema": schema, "extra": extra, "static_fields": static}
        unlimited = options(**shape, max_event_bytes=UNLIMITED)
        whole = new_encoder(unlimited, FACTS, resource).encode(*parts)
        assert isinstance(whole, bytes)
        given = options(**shape, oversize=oversize, max_event_bytes=limit)
        lines = new_encoder(given, FACTS, resource).encode(*parts)
        events = checked(lines, given)
        assert events
        if len(whole) <= limit:
            assert lines == whole
        else:
            marked = [event for event in events if event.get("truncated") or "chunk_id" in event]
            assert marked == events

    @given(PARTS, st.integers(MIN_EVENT_BYTES, 6000))
    @settings(max_examples=100, suppress_health_check=list(HealthCheck))
    def test_holds_under_other_names(self, parts: Parts, limit: int) -> None:
        """Marks and fields that are called something else are as safe."""
        rename = {
            "message": "m",
            "truncated": "was 'ü' cut",
            "cut": "\n",
            "chunk": "part",
            "split": "of",
        }
        for oversize in ("truncate", "split"):
            given = EventOptions(rename=rename, oversize=oversize, max_event_bytes=limit)
            lines = new_encoder(given, FACTS).encode(*parts)
            for event in checked(lines, given):
                assert "m" in event
                assert event.keys().isdisjoint({"message", *MARKS[::2], "chunk", "split"})


def numbers(count: int) -> list[int]:
    """Return so many numbers: bytes that are no text."""
    return list(range(count))


ADVERSARIES: dict[str, dict[str, Any]] = {
    "many small numbers": {"attributes": {f"k{n}": n for n in range(900)}},
    "numbers under one name": {"attributes": {"n": numbers(5000)}},
    "numbers nested": {"attributes": {"a": {"b": {"c": numbers(5000)}}}},
    "ten thousand attributes": {"attributes": {f"k{n}": n for n in range(10_000)}},
    "a huge name": {"attributes": {"k" * 300_000: 1}},
    "a huge name inside": {"attributes": {"a": {"k" * 300_000: {"b": "x"}}}},
    "a huge name over many texts": {
        "attributes": {"k" * 100_000: {str(n): "x" * 70 for n in range(900)}}
    },
    "a name of many dots": {"attributes": {".".join("abc" * 2000): 1}},
    "deep": {"attributes": {"deep": json.loads("[" * 200 + "]" * 200), "n": numbers(3000)}},
    "escapes": {"attributes": {"text": "\x01" * 30_000}},
    "four bytes a character": {"attributes": {"text": "😀" * 30_000}},
    "numbers within the fields": {
        "attributes": {
            "error.n": numbers(3000), "log.n": numbers(3000), "event.n": numbers(3000),
            "trace.n": numbers(3000), "error": numbers(3000), "dd": numbers(3000),
        },
    },
    "a list of frames": {"attributes": {"exception": [{"frames": [{"n": 1}] * 900}]}},
    "a scope": {"scope": {"version": "v" * 9000, "attributes": {"n": numbers(3000)}}},
    "a schema of a scope": {"scope": {"schema_url": "u" * 9000}},
    "everything": {
        "task": "t" * 9000, "trace": TraceIds("f" * 32, "f" * 16, 255), "event_name": "e" * 9000,
        "exception": ExceptionFields("T" * 9000, "M" * 9000, "S\n" * 9000),
        "stack_info": "s" * 9000, "attributes": {"n": numbers(5000), "text": "x" * 9000},
        "scope": {"version": "v" * 9000, "attributes": {"n": numbers(3000)}},
        "dropped_attributes": 2**31,
    },
}  # fmt: skip


class TestAdversaries:
    """Shapes that leave no room for what should stay."""

    @pytest.mark.parametrize("oversize", ["truncate", "split"])
    @pytest.mark.parametrize("extra", [None, "flat", "nested"])
    @pytest.mark.parametrize("schema", SCHEMAS)
    @pytest.mark.parametrize("name", ADVERSARIES)
    def test_stay_within_the_limit(
        self, schema: str, extra: str | None, oversize: str, name: str
    ) -> None:
        """The least limit holds, and what an event is about survives."""
        for limit in (MIN_EVENT_BYTES, LIMIT):
            given = options(schema=schema, extra=extra, oversize=oversize, max_event_bytes=limit)
            for event in lines_of(given, "order", **ADVERSARIES[name]):
                # In OTLP a long name is cut as plain values are, and may fit then.
                is_cut = "truncated" in event or "chunk" in event
                assert is_cut or (schema == "otel" and "name" in name)
                assert MESSAGE[schema](event) == "order"

    @pytest.mark.parametrize("oversize", ["truncate", "split"])
    @pytest.mark.parametrize("schema", SCHEMAS)
    def test_a_huge_resource_goes_before_small_attributes(self, schema: str, oversize: str) -> None:
        """What is too large goes, and not what stands beside it."""
        given = options(schema=schema, oversize=oversize, max_event_bytes=LIMIT)
        event = one_of(given, resource={"n": numbers(9000)}, attributes={"user": 7})
        assert "user" in json.dumps(event)

    @pytest.mark.parametrize("schema", SCHEMAS)
    def test_long_facts_are_cut_like_any_text(self, schema: str) -> None:
        """An environment can say anything, in any length."""
        given = options(schema=schema, max_event_bytes=LIMIT)
        event = one_of(given, facts=ProcessFacts(*["x" * 9000] * 4))
        assert MESSAGE[schema](event) == "order"

    @pytest.mark.parametrize(
        "event",
        [
            {"data": numbers(5000)},
            {"data": {"inner": numbers(5000)}, "attributes": numbers(5000)},
            {"attributes": ["x" * 100] * 100, "n": numbers(5000)},
            {"k" * 9000: 1},
            {str(number): number for number in range(5000)},
            {number: number for number in range(5000)},
            {"cut": "x" * 9000},
            {"chunk": "x" * 9000},
            {"truncated": numbers(5000), "text": "x" * 9000},
            {"resourceLogs": "x" * 9000},
            {"exception": ["x" * 70] * 900, "message": numbers(900)},
            {"a": [["x" * 5000, numbers(2000)], "y" * 5000]},
        ],
        ids=lambda event: str(event)[:20],
    )
    @pytest.mark.parametrize("oversize", ["truncate", "split"])
    def test_strange_mappings_of_a_callable_fit(self, event: dict[Any, Any], oversize: str) -> None:
        """A schema of the application's own may return anything that is a mapping."""
        given = options(schema=lambda _: event, oversize=oversize, max_event_bytes=MIN_EVENT_BYTES)
        for found in lines_of(given):
            assert "truncated" in found or "chunk" in found

    @pytest.mark.parametrize("schema", SCHEMAS)
    def test_strange_fields_of_a_redact_callable_fit(self, schema: str) -> None:
        """So may what holds things back."""
        strange = {"exception": numbers(900), "attributes": numbers(900), "message": numbers(900)}
        given = options(
            schema=schema, redact=lambda fields: fields | strange, max_event_bytes=MIN_EVENT_BYTES
        )
        assert one_of(given)

    def test_static_fields_and_names_near_their_bound_leave_room(self) -> None:
        """A quarter of the limit for constants and one for names: what remains is enough."""
        given = options(
            schema="default", max_event_bytes=MIN_EVENT_BYTES, static_fields={"s": "ü" * 240},
            rename={name: name + "n" * 110 for name in ("message", "cut", "chunk")},
        )  # fmt: skip
        for oversize in ("truncate", "split"):
            event, *_ = lines_of(
                EventOptions(**{**vars(given), "oversize": oversize}), "order" * 900,
                attributes={"n": numbers(900)},
            )  # fmt: skip
            assert event["message" + "n" * 110].startswith("order")


class TestTruncate:
    """What is cut, and what for."""

    def test_texts_stay_whole_where_something_else_is_too_large(self) -> None:
        """A message is not cut for the sake of numbers that go all the same."""
        given = EventOptions(max_event_bytes=LIMIT)
        event = one_of(given, "m" * 2000, attributes={"n": numbers(5000), "text": "t" * 500})
        assert event["message"] == "m" * 2000
        assert event["attributes"] == {"text": "t" * 500}
        assert event["cut"] == ["attributes.n"]

    def test_texts_are_cut_as_much_as_is_needed_after_that(self) -> None:
        """What was taken out makes room for the texts."""
        given = EventOptions(max_event_bytes=LIMIT)
        event = one_of(given, "m" * 9000, attributes={"n": numbers(5000)})
        assert len(event["message"]) > LIMIT - 500
        assert event["cut"] == ["message", "attributes.n"]

    def test_what_is_not_the_schema_s_own_goes_before_it(self) -> None:
        """Flat attributes are taken out, the fields beside them stay."""
        given = EventOptions(max_event_bytes=LIMIT, extra="flat")
        event = one_of(given, attributes={f"k{number}": number for number in range(900)})
        assert (event["file"], event["thread"]) == ("app.py", "MainThread")
        assert "k0" in event

    def test_an_exception_of_frames_goes_before_the_event_s_own_fields(self) -> None:
        """A list where a text should be is what is too large."""
        given = EventOptions(schema="structlog", max_event_bytes=LIMIT)
        frames = [{"frames": [{"lineno": number} for number in range(900)]}]
        event = one_of(given, attributes={"exception": frames, "user": 7})
        assert (event["user"], event["filename"]) == (7, "app.py")
        assert event["cut"] == ["exception"]

    def test_the_names_of_what_was_cut_are_bounded(self) -> None:
        """At most six, of which the last tells that there are more; each is short."""
        given = EventOptions(max_event_bytes=LIMIT)
        long = {f"{'name' * 30}{number}": "x" * 900 for number in range(9)}
        event = one_of(given, attributes=long)
        assert len(event["cut"]) == 6
        assert event["cut"][-1] == "…"
        assert all(len(json.dumps(name, ensure_ascii=False).encode()) < 40 for name in event["cut"])

    def test_marks_are_renamed_like_fields(self) -> None:
        """Whoever calls a mark something else finds it there."""
        rename = {"truncated": "was_cut", "original_bytes": "size", "cut": "what"}
        given = EventOptions(max_event_bytes=LIMIT, rename=rename)
        (event,) = lines_of(given, "x" * 9000)
        assert (event["was_cut"], event["what"]) == (True, ["message"])
        assert event["size"] > 9000

    def test_otlp_lists_lose_the_largest_and_keep_the_others(self) -> None:
        """Attributes in a list go by their position."""
        given = EventOptions(schema="otel", max_event_bytes=LIMIT)
        attributes = {"a": 1, "large": numbers(900), "b": 2, "larger": numbers(999), "c": 3}
        record = record_of(one_of(given, attributes=attributes))
        names = [pair["key"] for pair in record["attributes"]]
        assert [name for name in names if len(name) == 1] == ["a", "b", "c"]
        assert not {"large", "larger"}.intersection(names)


class TestDrop:
    """Nothing is shipped."""

    @pytest.mark.parametrize("schema", SCHEMAS)
    def test_an_event_that_is_too_large_becomes_no_line(self, schema: str) -> None:
        """No line at all; what fits is not touched."""
        given = options(schema=schema, oversize="drop", max_event_bytes=LIMIT)
        encoder = new_encoder(given, FACTS)
        assert encoder.encode(1.0, SITE, "x" * LIMIT) == ()
        assert encoder.encode_nanoseconds(1, SITE, "x" * LIMIT) == ()
        assert isinstance(encoder.encode(1.0, SITE, "x"), bytes)


class TestSplit:
    """Several events of one."""

    @given(
        text=st.builds(
            lambda text, times: (text * times)[:100_000],
            st.text(min_size=1, max_size=5) | st.sampled_from(["😀", "\x01", '"\n']),
            st.integers(1500, 20_000),
        ),
        schema=st.sampled_from(SCHEMAS),
        long=st.booleans(),
    )
    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    def test_the_parts_are_the_whole(self, text: str, schema: str, *, long: bool) -> None:
        """Joined in order they are the text that was, and each says which one it is."""
        given = options(
            schema=schema, oversize="split", max_event_bytes=LIMIT * 4 if long else LIMIT
        )
        events = lines_of(given, text, attributes={"user": 7})
        if "chunk_id" not in events[0]:
            assert len(json.dumps(text, ensure_ascii=False).encode()) <= given.max_event_bytes
            return
        assert len({event["chunk_id"] for event in events}) == 1
        assert [event["chunk"] for event in events] == list(range(1, len(events) + 1))
        assert {event["chunks"] for event in events} == {len(events)}
        joined = "".join(MESSAGE[schema](event) for event in events)
        if "truncated" in events[0]:
            assert joined[-1] == "…"
            assert text.startswith(joined[:-1])
            assert len(events) >= MOST_CHUNKS - 2
        else:
            assert joined == text
        assert len(events) <= MOST_CHUNKS
        assert all("user" in json.dumps(event) for event in events)

    def test_the_field_is_named(self) -> None:
        """By its path, whatever holds it."""
        given = EventOptions(oversize="split", max_event_bytes=LIMIT)
        events = lines_of(given, attributes={"body": {"html": "<p>" * 4000}})
        assert {event["split"] for event in events} == {"attributes.body.html"}
        assert "".join(event["attributes"]["body"]["html"] for event in events) == "<p>" * 4000
        assert {event["message"] for event in events} == {"order"}

    def test_a_text_of_more_than_the_most_parts_is_cut_and_says_so(self) -> None:
        """There is an end to the parts of one event."""
        given = EventOptions(oversize="split", max_event_bytes=MIN_EVENT_BYTES)
        events = lines_of(given, "x" * 900_000)
        assert len(events) == MOST_CHUNKS
        assert all(event["truncated"] and event["cut"] == ["message"] for event in events)
        joined = "".join(event["message"] for event in events)
        assert joined == "x" * (len(joined) - 1) + "…"

    def test_other_fields_that_take_too_much_are_shortened(self) -> None:
        """The parts stay few; each says what it lacks besides."""
        given = EventOptions(oversize="split", max_event_bytes=LIMIT)
        events = lines_of(given, "m" * 9000, attributes={"n": numbers(3000), "user": 7})
        assert len(events) < 8
        assert "".join(event["message"] for event in events) == "m" * 9000
        for event in events:
            assert event["attributes"] == {"user": 7}
            assert event["cut"] == ["attributes.n"]

    def test_several_texts_that_are_too_large_together_are_shortened(self) -> None:
        """Parts of one of them would not help."""
        given = EventOptions(oversize="split", max_event_bytes=LIMIT)
        event = one_of(given, attributes={str(number): "x" * 1500 for number in range(9)})
        assert "chunk_id" not in event

    def test_a_text_in_what_has_to_go_is_shortened_with_it(self) -> None:
        """What stands beside it there leaves no room for it."""
        given = EventOptions(oversize="split", max_event_bytes=LIMIT)
        event = one_of(given, attributes={"both": ["x" * 3000, numbers(3000)]})
        assert event["cut"] == ["attributes.both"]

    def test_an_event_without_a_text_is_shortened(self) -> None:
        """A callable's event may have none."""
        given = EventOptions(
            schema=lambda _: {"n": numbers(5000)}, oversize="split", max_event_bytes=LIMIT
        )
        assert one_of(given).keys() == set(MARKS)

    def test_marks_of_parts_are_renamed_like_fields(self) -> None:
        """Also by names that take more bytes than characters."""
        rename = {"chunk_id": "ü" * 40, "chunk": "ß" * 40, "chunks": "parts", "split": "\n" * 20}
        given = EventOptions(oversize="split", rename=rename, max_event_bytes=LIMIT)
        events = lines_of(given, "x" * 9000)
        assert {event["\n" * 20] for event in events} == {"message"}
        assert [event["ß" * 40] for event in events] == [1, 2, 3][: len(events)]


class TestShorten:
    """The one event that an adapter may ask for."""

    @pytest.mark.parametrize("spare", range(1, 40))
    def test_close_to_the_limit(self, spare: int) -> None:
        """However few bytes too many there are."""
        line = new_encoder(EventOptions(), FACTS).encode(
            1.0, SITE, "x" * 1900, Details(attributes={"n": numbers(200), "m": numbers(9)})
        )
        assert isinstance(line, bytes)
        given = EventOptions(max_event_bytes=len(line) - spare)
        assert checked(shorten(line, given), given)[0]["truncated"] is True

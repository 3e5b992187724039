"""One way into the stream for every library: sharing, life, waiting, trouble, parameters."""

from __future__ import annotations

import gc
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from kinesink import Config, ConfigurationError, DropReason, KinesisHandler, Statistics
from kinesink.adapters.door import Door
from kinesink.shell import origin
from kinesink.shell import registry as sinks
from tests.adapters.recording_sink import RecordingSink, a_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.adapters.conftest import Registry


def a_door(**parameters: object) -> Door:
    """Return a door to one stream."""
    return Door("app-logs", None, parameters)


def in_a_producers_thread(call: Callable[[], object]) -> object:
    """Return what a call returns on behalf of a producer."""
    with ThreadPoolExecutor(1, initializer=origin.mark_thread) as thread:
        result = thread.submit(call).result()
        thread.submit(origin.unmark_thread).result()
    return result


class TestSharing:
    """One sink for everything of one configuration."""

    def test_doors_and_handlers_of_one_configuration_share_it(self, registry: Registry) -> None:
        """Whatever they say of how events are written."""
        one, two = a_door(schema="ecs"), a_door(partition_key="logger")
        handler = KinesisHandler("app-logs")
        one.hand_over(b"one\n")
        two.hand_over(b"two\n", "key")
        handler.handle(a_record())
        assert len(registry.sink.lines) == 3
        assert registry.held == [registry.sink] * 3

    def test_another_stream_is_another_sink(self, registry: Registry) -> None:
        """Nothing of one gets into the other."""
        for name in ("one", "two"):
            Door(name, None, {}).hand_over(name.encode())
        assert [sink.lines for sink in registry.sinks.values()] == [[b"one"], [b"two"]]

    def test_a_given_sink_is_used_and_left_open(self, registry: Registry) -> None:
        """Whoever made it closes it."""
        sink = RecordingSink()
        door = Door(None, sink, {"schema": "ecs"})
        door.hand_over(b"one\n")
        door.close()
        door.hand_over(b"two\n")
        assert sink.lines == [b"one\n", b"two\n"]
        assert sink.flushes == [None]
        assert registry.sinks == {}


class TestLife:
    """Taking the sink and giving it back."""

    def test_nothing_is_taken_before_the_first_event(self, registry: Registry) -> None:
        """Asking, flushing and closing take nothing."""
        door = a_door()
        assert door.flush()
        assert door.close()
        assert door.statistics() == Statistics()
        assert registry.sinks == {}

    async def test_there_is_nothing_to_wait_for_before_the_first_event(
        self, registry: Registry
    ) -> None:
        """Not even in an event loop."""
        assert await a_door().aflush()
        assert registry.sinks == {}

    async def test_awaiting_is_the_sinks_affair(self) -> None:
        """It has the way that blocks no loop."""
        door = Door(None, RecordingSink(), {})
        assert await door.aflush(1)

    def test_an_event_after_close_takes_it_again(self, registry: Registry) -> None:
        """And closing again gives it back again."""
        door = a_door()
        for _ in range(2):
            door.hand_over(b"x\n")
            assert registry.held == [registry.sink]
            door.close()
            assert registry.held == []
        assert door.statistics().accepted == 2

    def test_collected_without_close_it_holds_nothing(self) -> None:
        """The registry keeps no door alive."""
        door = a_door(region_name="eu-west-1")
        sink = door.take()
        assert list(sink.holders) == [door]
        del door
        gc.collect()
        assert list(sink.holders) == []
        assert sinks.acquire(sink.config, self) is sink
        sinks.release(sink, self)

    def test_what_was_refused_takes_no_sink_that_was_given_back(self, registry: Registry) -> None:
        """It counts in the account of the last one."""
        door = a_door()
        door.hand_over(b"x\n")
        door.close()
        door.refuse(DropReason.TOO_LARGE)
        assert registry.held == []

    def test_what_was_refused_first_counts_as_well(self, registry: Registry) -> None:
        """There has to be an account for it."""
        a_door().refuse(DropReason.TOO_LARGE)
        assert registry.held == [registry.sink]


class TestHandingOver:
    """One line, several, none."""

    def test_each_line_is_an_event_with_the_same_key(self) -> None:
        """Parts of one event go together."""
        sink = RecordingSink()
        Door(None, sink, {}).hand_over((b"1\n", b"2\n"), "key")
        assert sink.lines == [b"1\n", b"2\n"]
        assert sink.partition_keys == ["key", "key"]

    def test_no_line_is_an_event_that_was_dropped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As too large, which is the only reason."""
        sink = RecordingSink()
        refused: list[DropReason] = []
        monkeypatch.setattr(sink, "refuse", lambda reason, _: refused.append(reason))
        Door(None, sink, {}).hand_over(())
        assert (sink.lines, refused) == ([], [DropReason.TOO_LARGE])


class TestWaiting:
    """Where waiting could never end nobody waits."""

    def test_elsewhere_it_takes_as_long_as_it_may(self) -> None:
        """And tells whether anything is left."""
        sink = RecordingSink()
        door = Door(None, sink, {})
        assert door.flush(0.5) is True
        sink.flushed = False
        assert door.close() is False
        assert sink.flushes == [0.5, None]

    def test_on_behalf_of_a_producer(self) -> None:
        """It would wait for itself; nor does an event loop of its own."""
        sink = RecordingSink()
        assert in_a_producers_thread(Door(None, sink, {}).flush) is False
        assert sink.flushes == [0]

    def test_under_the_lock_of_logging(self) -> None:
        """T1: the sending thread may need it."""
        sink = RecordingSink()
        with logging._lock:  # type: ignore[attr-defined]  # private, hence not in the stubs
            assert Door(None, sink, {}).flush() is False
        assert sink.flushes == [0]


class TestOrigin:
    """What the producer's own work logs."""

    def test_is_told_and_counted(self) -> None:
        """In the account of the sink that there is."""
        sink = RecordingSink()
        door = Door(None, sink, {})
        assert in_a_producers_thread(door.is_own) is True
        assert door.is_own() is False
        assert sink.own == 1

    def test_takes_no_sink(self, registry: Registry) -> None:
        """A producer of another door is no reason."""
        assert in_a_producers_thread(a_door().is_own) is True
        assert registry.sinks == {}


class TestTrouble:
    """Errors in the application's own code."""

    def test_is_told_with_what_it_was(self) -> None:
        """By the sink, which has the application's ``on_error``."""
        sink = RecordingSink()
        Door(None, sink, {}).trouble("schema", ValueError("no"))
        said = "schema raised ValueError: no; the event was shipped as far as possible"
        assert sink.reports == [("schema", said)]

    def test_an_error_without_a_text_is_told_as_well(self) -> None:
        """Its ``repr`` and ``str`` are the application's code."""

        class Broken(Exception):  # noqa: N818 - it is one
            def __str__(self) -> NoReturn:
                raise RuntimeError

            __repr__ = __str__

        sink = RecordingSink()
        Door(None, sink, {}).trouble("schema", Broken())
        ((kind, text),) = sink.reports
        assert kind == "schema"
        assert "Broken" in text

    def test_a_schema_of_the_applications_that_fails_is_told(self) -> None:
        """The event is shipped in the default schema."""

        def fail(_: dict[str, Any]) -> NoReturn:
            raise RuntimeError

        sink = RecordingSink()
        KinesisHandler(sink=sink, schema=fail).handle(a_record())
        assert sink.event["message"] == "order 7 accepted"
        assert [kind for kind, _ in sink.reports] == ["schema"]


class TestParameters:
    """Those of Config and those of EventOptions, in one place."""

    def test_reach_what_they_are_about(self) -> None:
        """And all together make another door like it."""
        door = a_door(linger="1s", extra="flat")
        assert door.config == Config(stream_name="app-logs", linger=1)
        assert door.options.extra == "flat"
        assert door.arguments == {
            "stream_name": "app-logs", "sink": None, "linger": "1s", "extra": "flat",
        }  # fmt: skip

    @pytest.mark.parametrize("given", [None, RecordingSink()], ids=["stream", "sink"])
    @pytest.mark.parametrize(
        ("parameter", "near"),
        [("schemas", "schema"), ("redacted", "redact"), ("lingers", "linger"), ("extras", "extra")],
    )
    def test_an_unknown_one_names_near_ones(
        self, given: RecordingSink | None, parameter: str, near: str
    ) -> None:
        """Of both kinds, and never its value, which may be a secret."""
        with pytest.raises(ConfigurationError, match=f"did you mean .*{near}") as refused:
            Door(None if given else "app-logs", given, {parameter: "hush"})
        assert "hush" not in str(refused.value)

    def test_one_like_no_other_names_them_all(self) -> None:
        """At least those of the sink."""
        with pytest.raises(ConfigurationError, match=r"parameters are .*linger"):
            a_door(zzz=1)

    @pytest.mark.parametrize(("stream_name", "parameters"), [("s", {}), (None, {"linger": 1})])
    def test_a_given_sink_excludes_a_configuration(
        self, stream_name: str | None, parameters: dict[str, Any]
    ) -> None:
        """Two configurations of one sink would leave open which counts."""
        with pytest.raises(ConfigurationError, match="sink"):
            Door(stream_name, RecordingSink(), parameters)

    def test_shows_where_it_leads(self) -> None:
        """The stream, or the sink that was given."""
        assert repr(a_door()) == "app-logs"
        assert "RecordingSink" in repr(Door(None, RecordingSink(), {}))

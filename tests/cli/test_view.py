"""What a person sees: lines in a pipe, a table on a terminal."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from rich.console import Console

from kinesink import Statistics
from kinesink.cli.observation import Observation, Seen
from kinesink.cli.view import LiveTable, Moment, line, table, view_on

if TYPE_CHECKING:
    import pytest
    from rich.console import RenderableType

BEFORE = Moment(
    at=1.0,
    logged=1000,
    account=Statistics(accepted=1000, delivered=800, pending=200, requests=8),
    seen=Seen(800, 8, {"shard-0": 800, "shard-1": 0}, {50: 800}),
)
NOW = Moment(
    at=2.0,
    logged=3000,
    account=Statistics(
        accepted=3000, delivered=2700, pending=300, requests=18, retried=100, throttled=1
    ),
    seen=Seen(2600, 26, {"shard-0": 1300, "shard-1": 1300}, {50: 1000, 60: 1580, 200: 20}),
)


def event(number: int, *, level: str = "INFO") -> dict[str, Any]:
    """Return as much of an event as an observation looks at."""
    return {"level": level, "attributes": {"sequence": number}}


def rendered(what: RenderableType) -> str:
    """Return what a terminal without colours would show."""
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as captured:
        console.print(what)
    return captured.get()


class TestSeen:
    """The counts of a consumer."""

    def test_latency_is_that_of_the_share_asked_for(self) -> None:
        """Half of the events arrived within the middle, 99 of 100 within the slow end."""
        seen = Seen(latencies={10: 50, 20: 49, 500: 1})
        assert (seen.latency(0.5), seen.latency(0.99), seen.latency(1)) == (10, 20, 500)

    def test_without_events_there_is_no_latency(self) -> None:
        """And no number that looks like one."""
        assert Seen().latency(0.5) is None

    def test_since_takes_off_what_was_before(self) -> None:
        """Each count for itself."""
        assert NOW.seen.since(BEFORE.seen) == Seen(
            1800, 18, {"shard-0": 500, "shard-1": 1300}, {50: 200, 60: 1580, 200: 20}
        )

    def test_a_shard_is_there_before_its_first_event(self) -> None:
        """A shard that gets nothing is worth seeing."""
        observation = Observation()
        observation.begin(["shard-0"])
        assert observation.seen() == Seen(shards={"shard-0": 0})

    def test_an_observation_counts(self) -> None:
        """Events, aggregates, shards, latencies in milliseconds, and copies."""
        observation = Observation()
        observation.add("shard-0", [(event(0), 0.0104), (event(1), -0.0004)], aggregated=True)
        observation.add("shard-0", [(event(1), 0.02)], aggregated=False)
        assert observation.seen() == Seen(3, 1, {"shard-0": 3}, {10: 1, 0: 1, 20: 1})
        assert observation.times() == {0: 1, 1: 2}

    def test_samples_are_some_of_each_level_in_order(self) -> None:
        """The rare ones are not crowded out."""
        observation = Observation()
        events = [event(number) for number in (3, 1, 2)] + [event(0, level="ERROR")]
        observation.add("shard-0", [(each, 0.0) for each in events], aggregated=True)
        assert [each["attributes"]["sequence"] for each in observation.samples()] == [0, 1, 3]


def test_a_line_tells_one_second() -> None:
    """Rates and counts since the line before, the spread in all."""
    assert " ".join(line(BEFORE, NOW).split()) == (
        "2.0 s logged 2,000/s arrived 1,800/s aggregates 18 requests 10 retried 100 "
        "latency p50 60 ms, p99 200 ms shards 50% 50%"
    )


def test_the_first_line_may_come_before_any_event() -> None:
    """A connection takes its time."""
    now = Moment(at=1.0, logged=5, seen=Seen(shards={"shard-0": 0}))
    assert "latency - shards 0%" in " ".join(line(Moment(), now).split())


def test_the_table_tells_rates_totals_and_the_spread() -> None:
    """One row for each thing that is counted, a bar for each shard."""
    rows = [" ".join(row.split()) for row in rendered(table(BEFORE, NOW)).splitlines()]
    assert rows[0] == "2.0 s latency from log call to stream: p50 60 ms, p99 200 ms"
    assert "logged 2,000 3,000 events, by several threads" in rows
    assert "aggregates 18 26 Kinesis records, 100 events in each" in rows
    assert "pending 300 events now" in rows
    bar = "━" * 32
    assert rows[-2:] == [f"shard-0 {bar} 1,300 50%", f"shard-1 {bar} 1,300 50%"]


def test_the_table_may_come_before_any_event() -> None:
    """No bar, no division by nothing."""
    now = Moment(seen=Seen(shards={"shard-0": 0}))
    assert "shard-0" in rendered(table(Moment(), now))
    assert "━" not in rendered(table(Moment(), now))


def test_a_pipe_gets_a_line_each_second_and_one_at_the_end() -> None:
    """However often it is told, and never a line broken in two."""
    console = Console(file=io.StringIO(), width=40)
    with console.capture() as captured, view_on(console) as view:
        for tenths in range(24):
            view.show(Moment(at=tenths / 10))
        view.show_end(Moment(at=2.4))
    assert [row.split()[0] for row in captured.get().splitlines()] == ["1.0", "2.0", "2.4"]


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot draw in place."""
    monkeypatch.setenv("TERM", "dumb")
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with view_on(console) as view:
        view.show_end(NOW)
    assert not isinstance(view, LiveTable)


def test_a_terminal_gets_a_table_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the rates of the last second, whatever came before."""
    monkeypatch.setenv("TERM", "xterm")
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, no_color=True)
    with view_on(console) as view:
        for moment in (Moment(), Moment(at=0.5), BEFORE, NOW):
            view.show(moment)
        view.show_end(Moment(at=9.0, logged=3000))
    assert isinstance(view, LiveTable)
    assert "2,000" in screen.getvalue()
    assert "2.0 s" in screen.getvalue()

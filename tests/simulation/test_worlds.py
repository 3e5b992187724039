"""Scenarios made by hand: what the simulated stream does, and what a run makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from kinesink.core import retry_policy
from kinesink.core.options import PipelineOptions
from kinesink.core.records import Chunk, PutRecordsEntry
from kinesink.testing.limits import ShardLimits
from kinesink.testing.simulation import faults, run
from kinesink.testing.simulation.clock import VirtualClock
from kinesink.testing.simulation.faults import Episode
from kinesink.testing.simulation.memory import find, holdings
from kinesink.testing.simulation.scenario import Change, draw_scenario
from kinesink.testing.simulation.trace import Trace
from kinesink.testing.simulation.violation import Violation
from kinesink.testing.simulation.world import World

if TYPE_CHECKING:
    from kinesink.testing.simulation.run import Outcome
    from kinesink.testing.simulation.scenario import Scenario

START = 1000.0


QUIET = replace(
    draw_scenario(1),
    start=START,
    calm=START + 10.0,
    shards=2,
    limits=None,
    max_record_kib=1024,
    auto=False,
    lines=False,
    packs=False,
    latency=0.02,
    lag=0.0,
    options=(PipelineOptions(),),
    events=100,
    pattern="steady",
    sizes=(100,),
    keyed=0.5,
    waited_for=0.1,
    poison=0.0,
    episodes=(),
    changes=(),
)
"""A scenario without faults and changes."""


def play(monkeypatch: pytest.MonkeyPatch, scenario: Scenario = QUIET) -> tuple[Outcome, list[str]]:
    """Run a scenario; return the outcome and the story."""
    story: list[str] = []
    monkeypatch.setattr(run, "draw_scenario", lambda _: scenario)
    return run.run_seed(1, story.append), story


def world_of(scenario: Scenario = QUIET) -> World:
    """Return the world of a scenario, before anything has happened."""
    return World(scenario, Trace(START))


def test_without_faults_everything_arrives_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred events and a probe."""
    outcome, story = play(monkeypatch)
    assert outcome.failure is None
    assert outcome.events == outcome.delivered == 101
    assert not any("fails" in line for line in story)


def test_a_call_whose_answer_is_lost_is_not_written_to_a_stream_that_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What cannot be written leaves no copy, and is sent again when the stream is back."""
    episode = Episode("lose", START, START + 5.0, 1.0, code="ConnectionReset", written=True)
    changes = (Change(START, "recreate", 0.0),)
    outcome, story = play(monkeypatch, replace(QUIET, episodes=(episode,), changes=changes))
    assert outcome.failure is None
    assert any("the stream is created anew" in line for line in story)


def test_a_stream_is_not_deleted_twice_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second deletion finds nothing."""
    changes = (Change(START + 1, "recreate", 0.5), Change(START + 2, "recreate", 0.0))
    outcome, story = play(monkeypatch, replace(QUIET, changes=changes))
    assert outcome.failure is None
    assert sum("created anew" in line for line in story) == 1


def test_a_backlog_may_take_as_long_as_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten megabytes through a tenth of a shard are not a standstill."""
    limits = ShardLimits(100.0, 104_857.0)
    heavy = replace(QUIET, shards=1, limits=limits, events=1500, sizes=(7000,), keyed=0.0)
    outcome, _ = play(monkeypatch, heavy)
    assert outcome.failure is None
    assert outcome.virtual_seconds > 95.0
    monkeypatch.setattr(run, "_time_to_rest", lambda _: 85.0)
    outcome, _ = play(monkeypatch, heavy)
    assert "progress: " in str(outcome.failure)


def test_events_behind_some_that_are_too_large_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event that is refused makes room for the next, also where nothing is sent."""
    scenario = replace(
        QUIET,
        max_record_kib=16,
        sizes=(100, 20_000, 20_000, 20_000),
        pattern="bursts",
        options=(PipelineOptions(framing="none", request_max_entries=1),),
    )
    outcome, _ = play(monkeypatch, scenario)
    assert outcome.failure is None


def test_a_run_that_does_not_come_to_rest_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a last turn."""
    monkeypatch.setattr(run, "_MOST_TURNS", 20)
    outcome, _ = play(monkeypatch)
    assert "progress: the simulation does not come to rest" in str(outcome.failure)


def test_a_failure_tells_where_and_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seed, the step, the time, the invariant, the last happenings, the command."""
    monkeypatch.setattr(run, "_MOST_TURNS", 20)
    lines = str(play(monkeypatch)[0].failure).splitlines()
    assert lines[0].startswith("seed 1 fails at step ")
    assert " s: progress: " in lines[0]
    assert len(lines) > 8
    assert lines[-1].strip() == "again: python -m kinesink.testing.simulate --seed 1 --trace"


def test_a_probe_that_does_not_arrive_is_found() -> None:
    """When all is well again, an event arrives soon."""
    world = world_of()
    (member,) = world.members
    record = member.traffic.waited_for(10, START)
    with pytest.raises(Violation, match=r"progress: .* has not arrived"):
        run._check_probe(member, record)


def test_contents_that_are_kept_after_their_end_are_found() -> None:
    """An idle pipeline holds none."""
    world = world_of()
    (member,) = world.members
    run._check_rest(member, world)
    member.pipeline.add([Chunk([b"x"], START)], START)
    with pytest.raises(Violation, match="memory: 1 contents are kept"):
        run._check_rest(member, world)


def test_an_event_that_outlives_its_time_is_found() -> None:
    """Also while it is pending, and nobody tells anything of it."""
    world = world_of()
    (member,) = world.members
    member.add(member.traffic.batch(1, START))
    run._check_memory(member, world)
    world.clock.sleep(601.0)
    with pytest.raises(Violation, match=r"time to live: .* is still pending"):
        run._check_memory(member, world)


def test_an_event_that_has_lost_its_key_is_found() -> None:
    """Consumers see the key and the explicit hash key that it was given."""
    world = world_of(replace(QUIET, keyed=1.0))
    (member,) = world.members
    (record,) = member.traffic.batch(1, START)
    (data,) = record.each()
    with pytest.raises(Violation, match=r"delivery: .* has become one of key 'other'"):
        world.put(member, PutRecordsEntry(data, "other"))


def test_machines_may_be_suspended(monkeypatch: pytest.MonkeyPatch) -> None:
    """After ten minutes everything is late; nothing is lost in silence."""
    changes = (Change(START + 5.0, "sleep", 0.999),)
    options = (PipelineOptions(time_to_live=30.0),)
    outcome, _ = play(monkeypatch, replace(QUIET, changes=changes, options=options))
    assert outcome.failure is None
    assert outcome.virtual_seconds > 650.0


def test_data_that_nobody_sent_is_found() -> None:
    """What lands is what was added."""
    world = world_of()
    with pytest.raises(Violation, match="delivery: nobody sent b'who'"):
        world.put(world.members[0], PutRecordsEntry(b"who", "k"))


def test_a_stream_of_many_shards_is_split_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one of a single shard is not merged."""
    changes = (Change(START + 1, "split", 0.5), Change(START + 2, "switch", 0.5))
    assert play(monkeypatch, replace(QUIET, shards=40, changes=changes))[0].failure is None
    changes = (Change(START + 1, "merge", 0.5), Change(START, "switch", 0.5))
    assert play(monkeypatch, replace(QUIET, shards=1, changes=changes))[0].failure is None


def test_every_code_of_the_policy_is_among_the_faults() -> None:
    """A code that is added to the policy is simulated as well."""
    simulated = {code for codes in faults._REFUSALS.values() for code in codes}
    simulated.update(faults._LOST, {retry_policy.WRONG_RECORD_COUNT})
    for codes, _ in retry_policy._REQUEST_KINDS:
        assert codes <= simulated


def test_the_clock_does_what_is_due_in_the_order_of_its_arrangement() -> None:
    """Also what was arranged for the past, which happens now."""
    clock, done = VirtualClock(10.0), list[str]()
    clock.at(12.0, lambda: done.append("second"))
    clock.at(5.0, lambda: done.append("first"))
    clock.at(12.0, lambda: done.append("third"))
    clock.run(11.0)
    assert (clock.now, done) == (11.0, ["first"])
    clock.run(20.0)
    assert (clock.now, done) == (20.0, ["first", "second", "third"])


def test_the_trace_tells_the_same_thing_once() -> None:
    """The last lines are for what differs."""
    trace = Trace(0.0)
    for _ in range(3):
        trace.note(1.0, "%d of %s", 2, "these")
    trace.note(1.0, "another")
    assert [line.split("  ")[-1] for line in trace.lines()] == ["2 of these (3 times)", "another"]


def test_what_is_held_is_found_wherever_it_is() -> None:
    """In lists, dicts, slots and attributes; each object once."""
    chunk = Chunk([b"a", b"b"], 0.0)
    held = holdings({"shardId-1": [chunk, (chunk, {"other": "shardId-2"})], "x": len})
    assert held.contents == [chunk]
    assert held.shard_ids == {"shardId-1", "shardId-2"}
    assert held.items == 2 + 2 + 2 + 1 + 2
    assert find([chunk], Chunk) is chunk

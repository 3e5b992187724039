"""Fleets of producers on shards with the limits of the service."""

from __future__ import annotations

import pytest

from kinesink.core.options import PipelineOptions
from kinesink.testing.simulation.fleet import FleetPlan, simulate_fleet


@pytest.mark.parametrize("keyed", [False, True])
def test_a_fleet_uses_what_its_shards_take(*, keyed: bool) -> None:
    """Saturated producers leave little of the shards' capacity unused, and share it."""
    plan = FleetPlan(
        producers=3, shards=2, warm_up=60.0, seconds=5.0, keyed=keyed, event_bytes=2000
    )
    report = simulate_fleet(plan)
    assert 0.85 < report.utilisation < 1.1
    assert 0.7 < report.fairness <= 1.0
    assert report.least <= 1.0 <= report.most
    assert report.idlest_shard <= report.utilisation <= report.busiest_shard
    assert report.pending_bytes > 0


def test_reckless_producers_are_throttled() -> None:
    """Without pacing most entries are refused: the measure can fail."""
    reckless = PipelineOptions(shard_rate_limit=float("inf"))
    plan = FleetPlan(
        producers=8, shards=1, warm_up=3.0, seconds=3.0, event_bytes=2000, options=reckless
    )
    assert simulate_fleet(plan).throttled > 0.5


def test_producers_that_have_little_to_say_leave_the_shards_idle() -> None:
    """At a rate, that rate arrives."""
    report = simulate_fleet(FleetPlan(producers=2, shards=4, warm_up=2.0, seconds=5.0, rate=100.0))
    assert report.events_per_second == pytest.approx(200.0, rel=0.1)
    assert report.utilisation < 0.05
    assert report.throttled == 0.0


def test_a_fleet_that_sends_nothing_has_used_nothing() -> None:
    """An empty window divides by no zero."""
    report = simulate_fleet(FleetPlan(producers=2, shards=2, warm_up=0.1, seconds=0.1, rate=0.0))
    assert report.utilisation == 0.0
    assert "utilisation 0.0%" in str(report)


@pytest.mark.slow
def test_ten_thousand_shards_cost_one_producer_little() -> None:
    """The cost of an event does not follow the number of shards, and all get some."""
    plan = FleetPlan(producers=1, shards=10_000, warm_up=2.0, seconds=2.0, rate=20_000.0)
    report = simulate_fleet(plan)
    assert report.events_per_second == pytest.approx(20_000.0, rel=0.1)
    assert report.throttled == 0.0


def test_the_same_seed_is_the_same_fleet() -> None:
    """A report can be had again."""
    plan = FleetPlan(producers=2, shards=2, warm_up=2.0, seconds=1.0, event_bytes=2000)
    assert simulate_fleet(plan) == simulate_fleet(plan)

"""Processes that share shards find their rates: most of it used, little refused, all served."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from kinesink.core.options import PipelineOptions
from kinesink.testing.simulation.fleet import FleetPlan, simulate_fleet

#: Large events, so that a minute of a fleet takes a second; an entry is one of them, as
#: large as an aggregated record.
PLAN: Final = FleetPlan(warm_up=60.0, seconds=60.0, event_bytes=40_000)


@pytest.mark.parametrize(("producers", "shards"), [(3, 1), (10, 2), (16, 1)])
def test_a_fleet_uses_its_shards_with_few_throttles(producers: int, shards: int) -> None:
    """At least 95 % used, at most 3 % of the entries refused, nobody starved."""
    report = simulate_fleet(replace(PLAN, producers=producers, shards=shards))

    assert report.utilisation >= 0.95
    assert 0.0 < report.throttled <= 0.03
    assert report.fairness >= 0.6
    assert report.least >= 0.1


@pytest.mark.parametrize("latency", [0.005, 0.3])
def test_latency_does_not_unsettle_a_fleet(latency: float) -> None:
    """Answers from next door, or from another continent."""
    report = simulate_fleet(replace(PLAN, producers=4, shards=2, latency=latency))

    assert report.utilisation >= 0.95
    assert report.throttled <= 0.03


@pytest.mark.parametrize("shards", [1, 4])
def test_a_lone_process_uses_its_shards_and_is_not_throttled(shards: int) -> None:
    """Its ceiling is what a shard takes."""
    plan = replace(PLAN, producers=1, shards=shards, warm_up=10.0, seconds=20.0)
    report = simulate_fleet(plan)

    assert report.utilisation == pytest.approx(1.0, abs=0.03)
    assert report.throttled == 0.0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("shards", "rate"), [(4, 2000.0), (1, 500.0), (20, 300.0)])
def test_throttles_for_other_reasons_cost_seconds(shards: int, rate: float, seed: int) -> None:
    """Bursts of them every few seconds, at a rate far below what the shards take."""
    plan = FleetPlan(
        producers=1, shards=shards, rate=rate, warm_up=0.0, seconds=120.0, storm=0.4, seed=seed
    )
    report = simulate_fleet(plan)

    assert report.throttled > 0.0
    assert report.pending_bytes <= 3.0 * rate * plan.event_bytes
    assert report.events_per_second >= 0.97 * rate


def test_single_records_settle_at_the_record_limit() -> None:
    """A thousand records a second, of which few are refused."""
    options = PipelineOptions(framing="none")
    plan = FleetPlan(producers=3, shards=1, warm_up=20.0, seconds=5.0, options=options)
    report = simulate_fleet(plan)

    assert report.utilisation >= 0.9
    assert report.throttled <= 0.03

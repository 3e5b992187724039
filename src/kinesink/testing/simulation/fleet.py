"""Many producers on one stream: how well they share what its shards take.

Law: the shards have the limits of the service, and nothing but the producers' own pace
keeps a fleet within them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kinesink.core.limits import SHARD_BYTES_PER_SECOND, SHARD_RECORDS_PER_SECOND
from kinesink.core.options import PipelineOptions
from kinesink.testing.limits import ShardLimits
from kinesink.testing.simulation.clock import VirtualClock
from kinesink.testing.simulation.fleet_member import FleetMember, FleetPlace, Tally
from kinesink.testing.simulation.kinesis import Kinesis

if TYPE_CHECKING:
    from kinesink.core.hash_key import HashKeyRange

__all__ = ["FleetPlan", "FleetReport", "simulate_fleet"]

_START: Final = 1000.0


@dataclass(frozen=True)
class FleetPlan:
    """What is simulated."""

    producers: int = 50
    shards: int = 20
    warm_up: float = 60.0
    """Seconds before anything is measured."""
    seconds: float = 30.0
    """How long is measured then."""
    keyed: bool = False
    """Give each event a key; each shard has the same number of keys."""
    rate: float | None = None
    """Events per second and producer; None for more than the shards take."""
    latency: float = 0.02
    """A round trip in seconds; each takes from half to one and a half times as long."""
    event_bytes: int = 200
    storm: float = 0.0
    """Part of the entries that is throttled in storms, whatever their rate."""
    storm_seconds: float = 2.0
    """How long a storm lasts."""
    storm_interval: float = 12.0
    """Seconds of which the last are a storm, again and again from the start on."""
    seed: int = 1
    options: PipelineOptions = field(default_factory=PipelineOptions)

    def storms(self, now: float) -> bool:
        """Tell whether there is a storm."""
        return (now - _START) % self.storm_interval >= self.storm_interval - self.storm_seconds


@dataclass(frozen=True)
class FleetReport:
    """What came of it, over the window that was measured."""

    utilisation: float
    """Used part of the scarcest thing the shards have, records or bytes."""
    throttled: float
    """Part of the entries that was refused for rate."""
    events_per_second: float
    fairness: float
    """Jain's index of the producers' bytes: 1 if all got the same, 1/n if one got all."""
    least: float
    """Bytes of the producer that got the least, as a part of a fair share."""
    most: float
    """Bytes of the producer that got the most, as a multiple of a fair share."""
    idlest_shard: float
    """Used part of the idlest shard."""
    busiest_shard: float
    """Used part of the busiest shard."""
    entries_per_request: float
    pending_bytes: int
    """What waits in all producers at the end."""

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"utilisation {self.utilisation:.1%} (shards {self.idlest_shard:.1%} to "
            f"{self.busiest_shard:.1%}), throttled entries {self.throttled:.2%}, "
            f"{self.events_per_second:,.0f} events/s, {self.entries_per_request:.1f} entries "
            f"per request, fairness {self.fairness:.3f} (producers {self.least:.2f} to "
            f"{self.most:.2f} of a fair share), {self.pending_bytes / 2**20:.1f} MiB waiting"
        )


def simulate_fleet(plan: FleetPlan) -> FleetReport:
    """Let a fleet run, and return what its shards took in the measured window."""
    draw = random.Random(plan.seed)  # noqa: S311 - a simulation guards nothing
    clock = VirtualClock(_START)
    kinesis = Kinesis(plan.shards, ShardLimits(), _START)
    tally = Tally(plan.producers)
    shards = kinesis.stream.open_shards if plan.keyed else []
    keys = {shard.shard_id: _keys_of(shard.hash_key_range) for shard in shards}
    members = [
        FleetMember(FleetPlace(number, plan, clock, kinesis, tally, draw, keys))
        for number in range(plan.producers)
    ]
    for member in members:
        # Processes do not start at one instant.
        clock.at(_START + draw.random(), member.begin)
    clock.run(_START + plan.warm_up)
    tally.reset()
    events = -sum(member.pipeline.ledger.delivered for member in members)
    clock.run(_START + plan.warm_up + plan.seconds)
    events += sum(member.pipeline.ledger.delivered for member in members)
    return _report(plan, tally, events, sum(m.pipeline.ledger.pending_bytes for m in members))


def _report(plan: FleetPlan, tally: Tally, events: int, pending_bytes: int) -> FleetReport:
    used = [
        max(records / SHARD_RECORDS_PER_SECOND, size / SHARD_BYTES_PER_SECOND) / plan.seconds
        for records, size in tally.shards.values()
    ]
    used += [0.0] * (plan.shards - len(used))
    shares = tally.producers
    total = max(1, sum(shares))
    return FleetReport(
        utilisation=sum(used) / plan.shards,
        throttled=tally.refused / max(1, tally.entries),
        events_per_second=events / plan.seconds,
        fairness=total * total / (len(shares) * max(1, sum(size * size for size in shares))),
        least=min(shares) * len(shares) / total,
        most=max(shares) * len(shares) / total,
        idlest_shard=min(used),
        busiest_shard=max(used),
        entries_per_request=tally.entries / max(1, tally.requests),
        pending_bytes=pending_bytes,
    )


def _keys_of(hash_keys: HashKeyRange) -> list[int]:
    """Return a few hash keys of a shard, the first and the last among them."""
    start, end = hash_keys
    return [start + (end - start) * part // 7 for part in range(8)]

"""What a seed stands for: the stream, the producers, what goes wrong and what is changed.

Law: a scenario is drawn as a whole before anything happens, from the seed alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from kinesink.core.limits import KIB
from kinesink.core.options import PipelineOptions
from kinesink.testing.limits import ShardLimits
from kinesink.testing.simulation.dice import Dice
from kinesink.testing.simulation.faults import draw_episodes

if TYPE_CHECKING:
    from kinesink.core.options import Framing, RecordDistribution
    from kinesink.testing.simulation.faults import Episode

__all__ = ["Change", "Scenario", "draw_scenario"]

_HOUR: Final = 3600.0


class Change(NamedTuple):
    """Something that is done to the stream, or to a producer, at a time."""

    at: float
    what: str
    draw: float
    """From 0 to 1; says where, or how much."""


@dataclass(frozen=True)
class Scenario:
    """Everything that is decided before the run."""

    seed: int
    start: float
    calm: float
    """When faults and changes end."""
    shards: int
    limits: ShardLimits | None
    max_record_kib: int
    auto: bool
    """Whether the stream places records itself at the start."""
    lines: bool
    packs: bool
    """Whether lines are compressed; what by, the simulation decides."""
    oversize_fails_entry: bool
    latency: float
    """Of a round trip, about, in seconds."""
    lag: float
    """Seconds by which a producer may come late to its work."""
    options: tuple[PipelineOptions, ...]
    """Of each producer."""
    events: int
    """How many each producer has, about."""
    pattern: str
    """How they arrive: steady, bursts or quiet."""
    sizes: tuple[int, ...]
    keyed: float
    waited_for: float
    poison: float
    """Parts of the events that have a key, that somebody waits for, that are refused."""
    episodes: tuple[Episode, ...]
    changes: tuple[Change, ...]

    def __str__(self) -> str:
        """Say it in a few words, for the trace."""
        return (
            f"{len(self.options)} producers, {self.shards} shards, {self.calm - self.start:.0f} s "
            f"of trouble, about {self.events} events each ({self.pattern}, sizes {self.sizes}), "
            f"{'AUTO, ' if self.auto else ''}{len(self.episodes)} episodes of faults, "
            f"{len(self.changes)} changes"
        )


def draw_scenario(seed: int) -> Scenario:
    """Return the scenario of a seed."""
    dice = Dice(seed, 0)
    start = 1000.0 + dice.between(0.0, 1e6)
    duration, events = _extent(dice)
    calm = start + duration
    producers = dice.pick((1, 1, 1, 1, 1, 2, 2, 3, 4, 5))
    shards = dice.pick((1, 1, 2, 2, 3, 4, 5, 8, 16))
    lines = dice.chance(0.25)
    packs = lines and dice.chance(0.5)
    auto_allowed = dice.chance(0.35)
    auto = auto_allowed and dice.chance(0.5)
    kib = dice.pick((16, 16, 32, 64, 1024))
    sizes = _sizes(dice, kib * KIB)
    limited = dice.pick((None, 1.0, 0.3, 0.1))
    troubled = dice.chance(0.9)
    return Scenario(
        seed=seed,
        start=start,
        calm=calm,
        shards=shards,
        limits=None if limited is None else ShardLimits(1000 * limited, 1024 * KIB * limited),
        max_record_kib=kib,
        auto=auto,
        lines=lines,
        packs=packs,
        oversize_fails_entry=dice.chance(0.5),
        latency=dice.pick((0.002, 0.02, 0.02, 0.1)),
        lag=dice.pick((0.0, 0.0, 0.02)),
        options=tuple(
            _options(dice, lines=lines, packs=packs, auto=auto_allowed) for _ in range(producers)
        ),
        events=max(10, events // producers),
        pattern=dice.pick(("steady", "bursts", "quiet")),
        sizes=sizes,
        keyed=dice.pick((0.0, 0.1, 0.5, 1.0)),
        waited_for=dice.pick((0.0, 0.05, 0.5)),
        poison=dice.pick((0.0, 0.0, 0.0, 0.01)),
        episodes=tuple(
            draw_episodes(dice, dice.whole(1, 12) if troubled else 0, start, calm)
        ),
        changes=tuple(_changes(dice, start, calm, auto_allowed=auto_allowed)),
    )  # fmt: skip


def _extent(dice: Dice) -> tuple[float, int]:
    """Return the seconds of trouble and the number of events."""
    luck = dice.draw()
    if luck < 0.02:  # noqa: PLR2004 - one in fifty is long
        return dice.between(1.0, 6.0) * _HOUR, dice.whole(1000, 3000)
    if luck < 0.06:  # noqa: PLR2004 - some are longer
        return dice.between(60.0, 900.0), dice.whole(200, 1500)
    if luck < 0.1:  # noqa: PLR2004 - and some are more than the shards take
        return dice.between(1.0, 20.0), dice.whole(1000, 2500)
    return dice.between(0.5, 60.0), dice.whole(5, 250)


def _sizes(dice: Dice, record_max: int) -> tuple[int, ...]:
    """Return sizes of events to draw from: ordinary ones, and those around limits."""
    ordinary = (10, 50, 200, 200, 400)
    luck = dice.draw()
    if luck < 0.4:  # noqa: PLR2004 - many streams have nothing but log lines
        return ordinary
    if luck < 0.5:  # noqa: PLR2004 - or nothing but long ones
        return (2000, 4000, 7000)
    around = (record_max - 40, record_max - 1, record_max, record_max + 1)
    large = around if record_max <= 64 * KIB else around[:1]
    extremes = (0, 1, 900, 1000, 4900, 5000, 5100, record_max // 3, *large)
    return ordinary * dice.pick((1, 4)) + extremes


def _options(dice: Dice, *, lines: bool, packs: bool, auto: bool) -> PipelineOptions:
    framing: Framing = "lines" if lines else dice.pick(("kpl", "kpl", "kpl", "none"))
    told: RecordDistribution = dice.pick(("detect", "detect", "user_partition_key"))
    if auto:
        # Told that keys are honoured where they are not, a producer can know no better.
        told = dice.pick(("detect", "detect", "auto"))
    return PipelineOptions(
        linger=dice.pick((0.0, 0.01, 0.1, 0.1, 1.0)),
        time_to_live=dice.pick((2.0, 10.0, 30.0, 600.0, 600.0, math.inf)),
        framing=framing,
        compression="gzip" if packs else None,
        aggregate_max_bytes=dice.pick((1000, 5000, 51_200, 51_200)),
        aggregate_max_events=dice.pick((None, None, 1, 2, 20)),
        request_max_entries=dice.pick((1, 5, 20, 500, 500)),
        request_max_bytes=dice.pick((20_000, 60_000, 5 * KIB * KIB)),
        request_max_bytes_per_shard=dice.pick((10_000, 256 * KIB)),
        record_max_bytes=dice.pick((None, None, 12_000)),
        record_distribution=told,
        shard_rate_limit=dice.pick((1.0, 1.0, 1.0, 0.2, math.inf)),
        fail_if_throttled=dice.chance(0.1),
        request_timeout=dice.pick((0.5, 6.0, 6.0, 30.0)),
        max_requests_in_flight=dice.pick((1, 2, 8, 8)),
    )


def _changes(dice: Dice, start: float, end: float, *, auto_allowed: bool) -> list[Change]:
    kinds = ["split", "merge", "scale", "record limit", "flush", "flush"]
    if auto_allowed:
        kinds += ["switch", "switch"]
    if dice.chance(0.1):
        kinds.append("recreate")
    if dice.chance(0.1):
        kinds.append("abandon")
    if dice.chance(0.1):
        kinds.append("sleep")
    how_many = dice.pick((0, 0, 1, 2, 4, 10))
    return [
        Change(dice.between(start, end), dice.pick(kinds), dice.draw()) for _ in range(how_many)
    ]

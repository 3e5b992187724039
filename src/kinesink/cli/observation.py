"""What a consumer has seen: counts, latencies, and a few events to look at."""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kinesink.cli.workload import SEQUENCE

Event = Mapping[str, Any]
"""One event in the default schema, as its JSON says."""

_SAMPLES_PER_LEVEL: Final = 2


@dataclass(frozen=True)
class Seen:
    """What was seen up to one moment."""

    events: int = 0
    aggregates: int = 0
    """Kinesis records that held several events."""
    shards: Mapping[str, int] = field(default_factory=dict)
    """Events by shard."""
    latencies: Mapping[int, int] = field(default_factory=dict)
    """Events by the milliseconds from the log call to the arrival in the stream."""

    def since(self, before: "Seen") -> "Seen":
        """Return what was seen after ``before``."""
        return Seen(
            self.events - before.events,
            self.aggregates - before.aggregates,
            {shard: count - before.shards.get(shard, 0) for shard, count in self.shards.items()},
            # A Counter's difference leaves out what did not grow.
            Counter(self.latencies) - Counter(before.latencies),
        )

    def latency(self, share: float) -> int | None:
        """Return the milliseconds within which this share of the events arrived; None: no event."""
        left = share * sum(self.latencies.values())
        for milliseconds in sorted(self.latencies):
            left -= self.latencies[milliseconds]
            if left <= 0:
                return milliseconds
        return None


class Observation:
    """Collects what one thread sees; any thread may ask for what was seen so far."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shards: Counter[str] = Counter()
        self._aggregates = 0
        self._latencies: Counter[int] = Counter()
        self._times: Counter[int] = Counter()
        self._samples: dict[str, list[Event]] = {}

    def begin(self, shards: Iterable[str]) -> None:
        """Take note of the shards there are: one that gets nothing is worth seeing."""
        with self._lock:
            self._shards.update(dict.fromkeys(shards, 0))

    def add(self, shard: str, events: list[tuple[Event, float]], *, aggregated: bool) -> None:
        """Take the events of one Kinesis record, each with its latency in seconds."""
        with self._lock:
            self._aggregates += aggregated
            self._shards[shard] += len(events)
            for event, latency in events:
                # Arrivals are told in milliseconds, so one may seem to precede its event.
                self._latencies[max(0, round(latency * 1000))] += 1
                self._times[event["attributes"][SEQUENCE]] += 1
                samples = self._samples.setdefault(event["level"], [])
                if len(samples) < _SAMPLES_PER_LEVEL:
                    samples.append(event)

    def seen(self) -> Seen:
        """Return what was seen so far."""
        with self._lock:
            return Seen(
                self._shards.total(), self._aggregates, dict(self._shards), dict(self._latencies)
            )

    def times(self) -> Mapping[int, int]:
        """Return how often the event of each number was seen."""
        with self._lock:
            return dict(self._times)

    def samples(self) -> list[Event]:
        """Return a few events of each level, in the order of their numbers."""
        with self._lock:
            events = [event for events in self._samples.values() for event in events]
        return sorted(events, key=lambda event: int(event["attributes"][SEQUENCE]))

"""What the stream holds in the end, event by event and copy by copy."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.torture.chaos import STREAM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink.testing import FakeKinesis
    from tests.torture.chaos import Endpoint

IN_THE_AIR: Final = 3.0
"""Seconds before the server is killed in which an answer may not have been read."""


class Copy(NamedTuple):
    """One copy of an event, as a consumer sees it."""

    arrival: float
    """In seconds since the epoch."""
    was_told: bool
    """Whether the answer to its writer left at once, whole and unmistakable."""
    in_young_shard: bool
    """Whether it came in an aggregated record that a shard took which a reshard had made."""


class Evidence:
    """All copies of all events."""

    def __init__(self, fake: FakeKinesis, endpoint: Endpoint) -> None:
        young = {shard.shard_id for shard in fake.shards(STREAM) if shard.parent_shard_id}
        records = fake.user_records(STREAM)
        #: What was written, line by line.
        self.lines = [record.data for record in records]
        #: The copies of each event, by the name of the thread and its number there, in order.
        self.copies: dict[str, dict[int, list[Copy]]] = defaultdict(lambda: defaultdict(list))
        for record in records:
            name, number = json.loads(record.data)["message"].split()[:2]
            told = record.sequence_number in endpoint.told and not any(
                0 <= kill - record.arrival <= IN_THE_AIR for kill in endpoint.kills
            )
            aggregated = record.sub_sequence_number is not None
            copy = Copy(record.arrival, told, aggregated and record.shard_id in young)
            self.copies[name][int(number)].append(copy)

    def missing(self, name: str, count: int) -> set[int]:
        """Return which of the first so many events of a thread are not there."""
        return set(range(1, count + 1)) - self.copies[name].keys()

    def superfluous(self, process: str) -> int:
        """Return how many copies beyond the first there are of a process's events."""
        return sum(
            len(copies) - 1
            for name, events in self.copies.items()
            if name.rpartition("-")[0] == process
            for copies in events.values()
        )

    def unexplained(self, deaths: list[float]) -> Iterator[str]:
        """Yield each event of which a copy was written though its writer had been told of one.

        That is right in two cases: an aggregated record was in a shard that a reshard had made,
        and of which the writer did not know yet; or the writer died before it removed the event
        from disk.

        :param deaths: when processes with a spool were killed, in seconds since the epoch.
        """
        for name, events in self.copies.items():
            mortal = deaths if name.startswith("worker") else []
            for number, copies in events.items():
                told = [copy for copy in copies if copy.was_told]
                for one, other in pairwise(told):
                    died = any(one.arrival <= death <= other.arrival for death in mortal)
                    if not (died or one.in_young_shard):
                        yield f"{name} {number}: {one}, {other}"

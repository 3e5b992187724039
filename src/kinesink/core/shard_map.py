"""Which shard owns a hash key.

Law: the map in use is replaced as a whole or not at all. While a listing is under
way, or fails, the last known map goes on serving; a listing that does not cover
the hash keys without gap or overlap has raced a reshard and is read again.
"""

from __future__ import annotations

from bisect import bisect_left
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from kinesink.core.hash_key import HashKeyRange
from kinesink.core.limits import MAX_HASH_KEY
from kinesink.core.refresh import Refresh
from kinesink.core.retry_policy import Backoff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinesink.core.records import ShardDescription, ShardId

#: Seconds between two listings without evidence: finds merges and on-demand growth.
LISTING_PERIOD: Final = 420.0

#: Shortest times between two listings that answers ask for, in seconds. A stream takes
#: 1,000 calls/s (API reference of ListShards) from all its producers; listings that show
#: nothing new are asked for less and less.
_SPACING: Final = Backoff(0.25, 2.0)

#: Waits until a listing with a gap or an overlap is read again: one that raced a reshard
#: is whole a second later, one that stays so is not asked for all the time.
_TORN: Final = Backoff(1.0, 30.0)

#: Seconds the range of a closed shard stays known at least, for answers still under way;
#: otherwise so many times as long as a call may take.
CLOSED_SHARD_TIME_TO_LIVE: Final = 60.0
_ANSWERS_KEPT: Final = 2.0


class State(str, Enum):
    """What the map can be asked."""

    INVALID = "invalid"
    """No map was ever known; nothing can be predicted."""
    UPDATING = "updating"
    """A listing is under way; the last known map, if any, serves."""
    READY = "ready"
    """The map serves and no listing is under way."""


class Shard(NamedTuple):
    """An open shard."""

    shard_id: ShardId
    range: HashKeyRange


class ShardMap:
    """The open shards by hash key range, and the closed ones for a while."""

    def __init__(self, *, answers_take: float = 0.0) -> None:
        """Begin with nothing known.

        :param answers_take: longest time between a request and its answer, in seconds.
        """
        self.refresh = Refresh(period=LISTING_PERIOD)
        self._closed_time_to_live = max(CLOSED_SHARD_TIME_TO_LIVE, _ANSWERS_KEPT * answers_take)
        #: Listings in a row that left a gap or an overlap.
        self._torn = 0
        #: Listings in a row that showed nothing new.
        self._same = 0
        #: Counts the maps that were known; 0 while there is none.
        self.generation = 0
        #: Whether the hash keys are covered without gap and overlap.
        self.whole = False
        #: The open shards in the order of their ranges.
        self.shards: list[Shard] = []
        self._ends: list[int] = []
        self._ranges: dict[ShardId, HashKeyRange] = {}
        self._closed: dict[ShardId, tuple[HashKeyRange, float]] = {}

    @property
    def known(self) -> bool:
        """Whether there is a map to predict with."""
        return bool(self.shards)

    @property
    def spacing(self) -> float:
        """Shortest time between two listings that answers ask for, in seconds."""
        return _SPACING.delay(self._same + 1, 1.0)

    @property
    def state(self) -> State:
        """The state the map is in."""
        if self.refresh.under_way:
            return State.UPDATING
        return State.READY if self.known else State.INVALID

    def predict(self, hash_key: int) -> ShardId | None:
        """Return the shard that owns ``hash_key``; None in a hole or without a map.

        Costs one bisection, whatever the number of shards.
        """
        position = bisect_left(self._ends, hash_key)
        if position == len(self._ends):
            return None
        shard = self.shards[position]
        return shard.shard_id if shard.range.start <= hash_key else None

    def range_of(self, shard_id: ShardId) -> HashKeyRange | None:
        """Return the range of an open shard or of one that closed a while ago."""
        found = self._ranges.get(shard_id)
        if found is None and shard_id in self._closed:
            found = self._closed[shard_id][0]
        return found

    def owns(self, shard_id: ShardId, low: int, high: int) -> bool:
        """Tell whether the shard is open and owns all hash keys from ``low`` to ``high``."""
        hash_keys = self._ranges.get(shard_id)
        return hash_keys is not None and hash_keys.encloses(low, high)

    def forget(self, now: float) -> dict[ShardId, HashKeyRange]:
        """Know nothing any more, closed shards included, and ask again; return what is gone.

        For a stream that was deleted: another one under its name has shards of the same
        ids with other ranges, by which an answer must not be judged.
        """
        gone = self._replace([], now, whole=False)
        self._closed.clear()
        self.refresh.need(now, now)
        return gone

    def listed(
        self, descriptions: Sequence[ShardDescription], now: float, jitter: float
    ) -> dict[ShardId, HashKeyRange]:
        """Take a listing of the open shards; return those that are gone, and their ranges.

        A listing that does not cover all hash keys replaces no map that does, and is
        read again soon. Thrown away, it counts as a failed one: the map that goes on
        serving is no newer for it.
        """
        self.purge(now)
        ordered = sorted(descriptions, key=lambda shard: (shard.end, shard.start))
        whole = _covers_everything(ordered)
        if not whole and (self.whole or not ordered):
            self.refresh.failed(now, jitter)
            return {}
        self.refresh.answered(now, jitter)
        self._torn = 0 if whole else self._torn + 1
        if self._torn:
            delay = _TORN.delay(self._torn, 1.0)
            self.refresh.due_at = min(self.refresh.due_at, now + delay)
        return self._replace(ordered, now, whole=whole)

    def purge(self, now: float) -> None:
        """Forget the closed shards whose answers cannot be under way any more."""
        gone = [
            shard_id
            for shard_id, (_, closed_at) in self._closed.items()
            if now - closed_at >= self._closed_time_to_live
        ]
        for shard_id in gone:
            del self._closed[shard_id]

    def deadline(self) -> float:
        """Return when a listing is due."""
        return self.refresh.deadline()

    def overlapping(self, hash_keys: HashKeyRange) -> Sequence[Shard]:
        """Return the open shards that own some of ``hash_keys``."""
        first = bisect_left(self._ends, hash_keys.start)
        last = bisect_left(self._ends, hash_keys.end)
        return self.shards[first : last + 1]

    def _replace(
        self, ordered: list[ShardDescription], now: float, *, whole: bool
    ) -> dict[ShardId, HashKeyRange]:
        ranges = {shard.shard_id: HashKeyRange(shard.start, shard.end) for shard in ordered}
        # A shard id with another range belongs to a stream that was created anew.
        gone = {s: r for s, r in self._ranges.items() if ranges.get(s) != r}
        for shard_id, hash_keys in gone.items():
            if shard_id not in ranges:
                self._closed[shard_id] = (hash_keys, now)
        for shard_id in ranges:
            self._closed.pop(shard_id, None)
        self._same += 1
        if ranges != self._ranges:
            self.generation += 1
            self._same = 0
        self._ranges = ranges
        self.shards = [Shard(shard.shard_id, ranges[shard.shard_id]) for shard in ordered]
        self._ends = [shard.end for shard in ordered]
        self.whole = whole
        return gone


def _covers_everything(ordered: Sequence[ShardDescription]) -> bool:
    expected = 0
    for shard in ordered:
        if shard.start != expected:
            return False
        expected = shard.end + 1
    return expected == MAX_HASH_KEY + 1

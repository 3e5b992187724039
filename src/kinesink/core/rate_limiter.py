"""Which entries may go now, and keyless ones where: the entries that wait for a shard.

Law: nothing goes to a shard before the shard's pace lets it; neither flush nor
shutdown is an exception. Where keyed and keyless entries compete for a shard, the
older one goes first, so that neither kind can keep the other waiting for good.
"""

from __future__ import annotations

import math
from collections import deque
from heapq import heappop, heappush
from itertools import chain
from typing import TYPE_CHECKING, Final

from kinesink.core.pace import LONGEST_BEAT, LONGEST_LOOK, Quiet, ShardPace

__all__ = ["RateLimiter", "ShardPace"]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from kinesink.core.entry import Entry
    from kinesink.core.options import PipelineOptions
    from kinesink.core.records import ShardId
    from kinesink.core.shard_map import Shard

#: Waits for tokens end on a common beat, so that shards that run at their rate share
#: requests instead of each sending alone: at most 20 ms, as the KPL's collector.
_BEAT_PER_LINGER: Final = 0.2

#: Shards looked at, at most, to place one keyless entry; more would make the cost of an
#: event grow with the stream, fewer would find no room where there is some.
_CANDIDATES: Final = 16

#: More than a stream has; the place of the first shard is drawn among so many.
_MANY_SHARDS: Final = 2**32


class RateLimiter:
    """The entries that wait for their shard, and the pace of each shard."""

    def __init__(self, options: PipelineOptions, *, jitter: float = 0.0) -> None:
        """Begin with nothing waiting.

        :param jitter: a number from 0 to 1 that says which shard gets the first keyless
            entry; drawn, so that processes that start together do not all begin with
            the same one.
        """
        self._ceiling = options.shard_rate_limit
        self._first_bytes = options.aggregate_max_bytes
        self._beat = min(LONGEST_BEAT, options.linger * _BEAT_PER_LINGER)
        self._paces: dict[ShardId, ShardPace] = {}
        #: Entries for no shard in particular: without a map, or on a stream that
        #: places records as it likes. Only backoff holds them.
        self._anywhere = ShardPace(None, ceiling=math.inf, first_bytes=0, now=0.0, quiet=Quiet())
        #: What the paces of the shards have in common.
        self._quiet = Quiet()
        self._schedule: list[tuple[float, int, ShardPace]] = []
        self._serial = 0
        #: Keyless entries, first in line on the left.
        self.keyless: deque[Entry] = deque()
        self._look_at_keyless = -math.inf
        #: Whether no shard would take the first of them when it was last looked at.
        self._crowded = False
        self._shards: Sequence[Shard] = ()
        #: A hash key of each shard that keyless entries can be placed on.
        self._hash_keys: dict[ShardId | None, int] = {}
        self._next_shard = int(jitter * _MANY_SHARDS)
        #: Entries that wait.
        self.waiting = 0

    def use_shards(self, shards: Sequence[Shard]) -> None:
        """Place keyless entries on ``shards`` from now on; none means anywhere."""
        self._shards = shards
        self._hash_keys = {shard.shard_id: shard.range.midpoint for shard in shards}
        self._next_shard %= max(1, len(shards))
        self._look_at_keyless = -math.inf

    def pace_of(self, shard_id: ShardId | None, now: float) -> ShardPace:
        """Return the pace of a shard, making it at first sight."""
        if shard_id is None:
            return self._anywhere
        pace = self._paces.get(shard_id)
        if pace is None:
            pace = self._paces[shard_id] = ShardPace(
                shard_id,
                ceiling=self._ceiling,
                first_bytes=self._first_bytes,
                now=now,
                quiet=self._quiet,
            )
        return pace

    def in_line(self, shard_id: ShardId) -> int:
        """Return how many keyed entries wait for a shard."""
        pace = self._paces.get(shard_id)
        return len(pace.queue) if pace is not None else 0

    def add(self, entry: Entry, now: float, *, first: bool = False) -> None:
        """Let an entry wait for its turn; ``first`` puts it before all others."""
        self.waiting += 1
        if entry.keyless:
            queue = self.keyless
            if first:
                self._look_at_keyless = -math.inf
        else:
            pace = self.pace_of(entry.predicted, now)
            queue = pace.queue
            if first or not queue:
                self._schedule_at(pace, now)
        if first:
            queue.appendleft(entry)
        else:
            queue.append(entry)

    def ready_paces(self, now: float) -> Iterator[ShardPace]:
        """Yield the paces whose entries may be due; each is off the schedule then."""
        while self._schedule and self._schedule[0][0] <= now:
            due_at, _, pace = heappop(self._schedule)
            if due_at == pace.due_at:
                pace.due_at = math.inf
                if pace.queue:
                    yield pace

    def put_back(self, pace: ShardPace, now: float, wait: float) -> None:
        """Look at a pace again after ``wait`` seconds, on the beat; 0 is at once."""
        if pace.queue:
            wait = min(wait, LONGEST_LOOK)
            self._schedule_at(pace, self._on_the_beat(now + wait) if wait else now)

    def yields(self, pace: ShardPace) -> bool:
        """Tell whether the first keyed entry of a pace lets the first keyless one go before.

        That is when the keyless one is older and found no room elsewhere.
        """
        return (
            self._crowded
            and bool(self.keyless)
            and self.keyless[0].oldest < pace.queue[0].oldest
            and pace.shard_id in self._hash_keys
        )

    def take_for(self, pace: ShardPace) -> Entry:
        """Take the first keyless entry out of the limiter's hands, bound to the pace's shard."""
        entry = self.take(self.keyless)
        entry.bind(pace.shard_id, self._hash_keys[pace.shard_id])
        return entry

    def place_keyless(
        self, size: int, now: float, grants: Callable[[ShardId, int], bool]
    ) -> ShardPace | None:
        """Return the pace of a shard for a keyless entry now, or None if it must wait.

        It is the next shard in turn that has room and is neither throttled nor in use by
        waiting keyed entries. So a slow shard gets what it can take, and at most that.

        :param grants: tells whether the request has room for ``size`` bytes more of a
            shard; always, while it is empty.
        """
        count = len(self._shards)
        passed: list[ShardPace] = []
        next_look = math.inf
        for turn in range(min(count, _CANDIDATES)):
            position = (self._next_shard + turn) % count
            shard_id = self._shards[position].shard_id
            pace = self.pace_of(shard_id, now)
            if pace.queue:
                next_look = min(next_look, max(now, pace.due_at))
                continue
            wait = pace.wait(size, now)
            if wait:
                passed.append(pace)
            elif grants(shard_id, size):
                for each in passed:
                    each.release()
                self._next_shard = (position + 1) % count
                self._crowded = False
                return pace
            next_look = min(next_look, now + wait)
        self._crowded = True
        self._next_shard = (self._next_shard + _CANDIDATES) % count
        if next_look > now:
            self._look_at_keyless = self._on_the_beat(min(next_look, now + LONGEST_LOOK))
        return None

    @property
    def keyless_at(self) -> float:
        """When to look at the keyless entries next."""
        return self._look_at_keyless if self._shards else self._anywhere.blocked_until

    @property
    def has_shards(self) -> bool:
        """Whether keyless entries are placed on shards."""
        return bool(self._shards)

    def throttled(
        self, shard_id: ShardId | None, sent_at: float, now: float, jitter: float
    ) -> None:
        """Slow the shard down that refused an entry sent at ``sent_at``."""
        pace = self._anywhere if shard_id is None else self._paces.get(shard_id)
        if pace is not None:
            pace.throttled(sent_at, now, jitter)

    def all_throttled(self, sent_at: float, now: float, jitter: float) -> None:
        """Slow every shard of the stream down."""
        for pace in self._paces.values():
            pace.throttled(sent_at, now, jitter)

    def taken(self, shard_id: ShardId | None, sent_at: float) -> None:
        """Take note that the shard accepted an entry."""
        pace = self._anywhere if shard_id is None else self._paces.get(shard_id)
        if pace is not None:
            pace.taken(sent_at)

    def bequeath(self, gone: ShardId, heirs: Iterable[Shard], now: float) -> None:
        """Forget a shard that is gone.

        Its heirs go on at its rate, and grow as it would have.
        """
        pace = self._paces.pop(gone, None)
        if pace is None:
            return
        for heir in heirs:
            shared = heir.shard_id in self._paces
            self.pace_of(heir.shard_id, now).inherit(pace, shared=shared)

    def take(self, queue: deque[Entry]) -> Entry:
        """Take the first entry of a queue out of the limiter's hands."""
        self.waiting -= 1
        return queue.popleft()

    def queued(self) -> Iterator[Entry]:
        """Yield every entry that waits, each shard's in their order."""
        return chain.from_iterable(self._queues())

    def withdraw(self, goes: Callable[[Entry], bool]) -> list[Entry]:
        """Take out every entry of which ``goes`` is true."""
        out: list[Entry] = []
        for queue in self._queues():
            if any(map(goes, queue)):
                entries = list(queue)
                queue.clear()
                for entry in entries:
                    (out if goes(entry) else queue).append(entry)
        for pace in self._paces.values():
            if not pace.queue:
                pace.release()
        self.waiting -= len(out)
        return out

    def oldest(self) -> float:
        """Return the arrival of the oldest event that waits; infinite without any."""
        return min((entry.oldest for entry in self.queued()), default=math.inf)

    def deadline(self, now: float) -> float:
        """Return when the next entry may go."""
        scheduled = self._schedule[0][0] if self._schedule else math.inf
        keyless = max(now, self.keyless_at) if self.keyless else math.inf
        return min(scheduled, keyless)

    def _queues(self) -> Iterator[deque[Entry]]:
        yield self.keyless
        yield self._anywhere.queue
        for pace in self._paces.values():
            yield pace.queue

    def _schedule_at(self, pace: ShardPace, at: float) -> None:
        if at < pace.due_at:
            pace.due_at = at
            self._serial += 1
            heappush(self._schedule, (at, self._serial, pace))

    def _on_the_beat(self, at: float) -> float:
        return max(at, math.ceil(at / self._beat) * self._beat) if self._beat else at

"""How fast one shard may be written to: two token buckets and a rate that learns.

Law: over any window of W seconds a shard sees at most one bucket plus rate times W,
in records and in bytes, the rate being the highest of the window; an entry larger
than a bucket waits until the bucket is full and then goes into debt.

A fleet shares the shards, and nobody tells a process how many there are: the rate
follows from what is refused. Beyond what a shard takes, the refused share of the
entries is the excess, so a fleet is at its best where about one in a hundred is
refused; the rules keep it near that, from one process to hundreds.

*Growth.* While tokens are what holds entries back, a rate doubles each second until
the first throttle. Afterwards it grows by ``rate * (quiet / 150)**2`` a second,
``quiet`` being the seconds since anything of the stream was throttled: nearly flat
where throttles come regularly, fast when capacity has become free. Two things bend
that. A process that sent little has learned little in
the same time, so ``quiet`` counts in part below 128 accepted entries; without it the
throttled share would be inverse to the share of the shard. And a small rate grows
faster than a large one, by the square root, which evens out the rates of a fleet.

*Cuts.* The refused share of the entries since the last cut is the excess; six times as
much is cut off, which stops it for a while, and three tenths at most, but for the first
cut. A row of refusals may be an outage as well, so only the first few of a row cut, and
the growing backoff does the rest.

*Return.* What refuses for a while may have other reasons than the rate: a fault, a key of
KMS over its limit, a burst of somebody else's. So a shard's pace remembers at which rate
the shard took everything, and doubles towards most of it as soon as nothing is refused;
towards all of it, the longer that lasts. A fleet in balance is cut by a few hundredths and
so never far from there. A refusal amid such a return says that less is to be had now;
refusals far below it, or before it began, say nothing about it.

*One clock for all shards of a stream.* A hundred processes that share a shard hear
from it every few seconds each: too rarely to tell free capacity from luck. From all
shards together they hear often enough. A shard that refuses everything stops this
clock once, not at each refusal, so the others go on.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final

from kinesink.core.limits import SHARD_BYTES_PER_SECOND, SHARD_RECORDS_PER_SECOND
from kinesink.core.retry_policy import ENTRY_BACKOFF, Kind

if TYPE_CHECKING:
    from kinesink.core.entry import Entry
    from kinesink.core.records import ShardId

# Rates are fractions of what a shard takes per second; all numbers were tuned on
# simulated fleets of 1 to 200 processes.

#: Enough for a thousand events a second from the start on, and a lone process is at
#: full speed within two seconds.
_START_RATE: Final = 0.25

#: A record per second, so that a thousand processes can share a shard.
_FLOOR_RATE: Final = 0.001

#: Growth before the first throttle of the stream: doubling, as a share of the rate.
_FIRST_GROWTH: Final = math.log(2.0)

#: Growth of a shard that was never throttled on a stream that was: one shard may be
#: hot, but as likely all of them are full.
_UNTRIED_GROWTH: Final = 0.1

#: So many quiet seconds until the growth is the whole rate per second, at a rate of
#: :data:`_COMMON_RATE`. Shorter means more throttles, longer that capacity which has
#: become free is taken up later.
_QUIET_SECONDS: Final = 150.0
_COMMON_RATE: Final = 0.02

#: Quiet counts in full after so many accepted entries: as many as lie between two
#: throttles at somewhat less than one in a hundred.
_TELLING_ENTRIES: Final = 128

#: The growth per second is at most the quiet time by this, so that those who notice
#: first that capacity is free do not take all of it.
_CATCH_UP_SECONDS: Final = 1000.0

#: Cuts, in excesses; and the deepest.
_CUT_PER_EXCESS: Final = 6.0
_DEEPEST_CUT: Final = 0.3

#: The deepest first cut of a rate: where little was accepted before it, the rate was a
#: guess. Fleets that start as one, or are joined by as many again, settle twice as fast.
_DEEPEST_FIRST_CUT: Final = 0.75

#: Throttles in a row that cut: to a quarter at most, of which a minute recovers.
_CUTS_IN_A_ROW: Final = 4

#: A rate is known to be taken after so many seconds without a throttle of its shard and of
#: the stream, for of many shards in a fleet each is heard of rarely. A fleet that starts as
#: one hears of its first throttles sooner.
_KNOWN_SECONDS: Final = 4.0

#: Throttles of a stream are one storm if they are no further apart, in seconds.
_STORM_GAP: Final = 2.0

#: The way back to the known rate begins after so many seconds without a throttle, leads to
#: this part of it at first, and to the whole after 30 quiet seconds.
_RETURN_AFTER: Final = 1.0
_RETURN_SHARE: Final = 0.7
_WHOLE_RETURN_SECONDS: Final = 100.0

#: A return that is refused after so many seconds without a throttle, at half of the known
#: rate or more, was too fast: less is known then, by this factor at most.
_REFUSED_RETURN: Final = 2.0
_REFUSED_SHARE: Final = 0.5
_DISPROVED: Final = 0.7

#: What is known fades with every row of throttles, for shards that are shared by ever more.
_FADING: Final = 0.98

#: A throttle cuts the rate at most this often, in seconds.
_CUT_INTERVAL: Final = 0.2

#: A bucket holds what the rate gives in this many seconds.
_BUCKET_SECONDS: Final = 1.0

#: What is in the bucket at the start, in seconds of the rate; a full one would let
#: each process of a fleet burst at once.
_START_SECONDS: Final = 0.1

#: Waits for tokens end on a common beat of the limiter, of so many seconds at most.
LONGEST_BEAT: Final = 0.02

#: Nobody sleeps longer on a wait for tokens, in seconds: the rate may have grown.
LONGEST_LOOK: Final = 1.0

#: Waits below this many seconds are rounding errors of the token arithmetic, or too
#: short to move a clock that has run for months.
_ROUNDING: Final = 1e-6


class Quiet:
    """What all shards of a stream have in common: how long nothing was throttled."""

    __slots__ = ("accepted", "before", "since")

    def __init__(self) -> None:
        #: Entries accepted since the last throttle.
        self.accepted = 0
        #: When that was; minus infinity before the first.
        self.since = -math.inf
        #: How many seconds without a throttle the last storm has ended.
        self.before = math.inf

    def disturb(self, now: float) -> None:
        """Take note of a throttle."""
        if now - self.since > _STORM_GAP:
            self.before = now - self.since
        self.accepted = 0
        self.since = now

    def seconds(self, now: float) -> float:
        """Return how long nothing was throttled, in part where little was accepted."""
        return (now - self.since) * min(1.0, self.accepted / _TELLING_ENTRIES)

    def growth(self, rate: float, now: float) -> float:
        """Return by what share of itself ``rate`` grows per second."""
        quiet = self.seconds(now)
        growth = (quiet / _QUIET_SECONDS) ** 2 * math.sqrt(_COMMON_RATE / rate)
        return min(growth, quiet / _CATCH_UP_SECONDS, _FIRST_GROWTH)


class ShardPace:
    """The pace of one shard: its buckets, its rate and the keyed entries that wait."""

    __slots__ = (
        "_accepted", "_ceiling", "_cut_at", "_held_until", "_known", "_quiet", "_refused",
        "_throttled_at", "_updated_at", "_well_since", "blocked_until", "byte_tokens", "due_at",
        "queue", "rate", "record_tokens", "shard_id", "throttles",
    )  # fmt: skip

    def __init__(
        self,
        shard_id: ShardId | None,
        *,
        ceiling: float,
        first_bytes: int,
        now: float,
        quiet: Quiet,
    ) -> None:
        self.shard_id = shard_id
        self._ceiling = ceiling
        self._quiet = quiet
        #: Fraction of what a shard takes per second.
        self.rate = ceiling if math.isinf(ceiling) else min(_START_RATE, ceiling)
        self.record_tokens = max(1.0, self._records_per_second * _START_SECONDS)
        self.byte_tokens = max(first_bytes, self._bytes_per_second * _START_SECONDS)
        #: Entries of this shard, first in line on the left.
        self.queue: deque[Entry] = deque()
        #: When the limiter looks at the queue next.
        self.due_at = math.inf
        #: Backoff after a throttle, in seconds on the monotonic clock.
        self.blocked_until = -math.inf
        #: Throttles in a row.
        self.throttles = 0
        #: Until when an entry is held back for want of tokens, as far as is known.
        self._held_until = -math.inf
        #: Entries accepted and refused since the last cut.
        self._accepted = 0
        self._refused = 0
        self._throttled_at = -math.inf
        self._cut_at = -math.inf
        #: The rate that the shard is known to take, 0 for none; and since when it has taken
        #: everything, as far as is known.
        self._known = 0.0
        self._well_since = now
        self._updated_at = now

    @property
    def _records_per_second(self) -> float:
        return self.rate * SHARD_RECORDS_PER_SECOND

    @property
    def _bytes_per_second(self) -> float:
        return self.rate * SHARD_BYTES_PER_SECOND

    def wait(self, size: int, now: float) -> float:
        """Return how long an entry of ``size`` bytes must wait, in seconds; 0 to go."""
        wait = self.blocked_until - now
        if not math.isinf(self.rate):
            self._refill(now)
            bytes_per_second = self.rate * SHARD_BYTES_PER_SECOND
            bucket = bytes_per_second * _BUCKET_SECONDS
            for_tokens = max(
                (min(size, bucket) - self.byte_tokens) / bytes_per_second,
                (1.0 - self.record_tokens) / self._records_per_second,
            )
            # A rate that grew while a large entry waits for a full bucket would make the
            # bucket grow as well, and the wait longer.
            filling = size > bucket and self.byte_tokens >= 0
            if for_tokens > _ROUNDING and not filling:
                self._held_until = now + min(max(for_tokens, LONGEST_BEAT), LONGEST_LOOK)
            else:
                self._held_until = -math.inf
            wait = max(wait, for_tokens)
        return wait if wait > _ROUNDING else 0.0

    def spend(self, size: int) -> None:
        """Take the tokens of one entry; the buckets may go into debt."""
        self.byte_tokens -= size
        self.record_tokens -= 1

    def release(self) -> None:
        """Take note that nobody waits for tokens, so that the rate has no reason to grow."""
        self._held_until = -math.inf

    def throttled(self, sent_at: float, now: float, jitter: float) -> None:
        """Back off and cut the rate, but once for what was sent before the last throttle."""
        self._refused += 1
        if sent_at <= self._throttled_at:
            return
        self._throttled_at = now
        self.throttles += 1
        self.blocked_until = now + ENTRY_BACKOFF[Kind.THROTTLED].delay(self.throttles, jitter)
        if math.isinf(self.rate):
            return
        self._refill(now)
        if self.throttles == 1:
            self._quiet.disturb(now)
        self._learn(now)
        if self.throttles <= _CUTS_IN_A_ROW and now - self._cut_at >= _CUT_INTERVAL:
            self._cut()
            self._cut_at = now

    def taken(self, sent_at: float) -> None:
        """Take note that Kinesis accepted an entry."""
        self._accepted += 1
        self._quiet.accepted += 1
        if sent_at > self._throttled_at:
            self.throttles = 0

    def inherit(self, parent: ShardPace, *, shared: bool) -> None:
        """Go on as the pace of a shard that is gone; ``shared`` with another parent.

        A merged shard takes no more than each of its parents did: the lower rate counts.
        The backoff ends with the shard, for what comes after it has room of its own.
        """
        self.rate = min(self.rate, parent.rate) if shared else parent.rate
        self._known = min(self._known, parent._known) if shared else parent._known
        self._accepted = min(self._accepted, parent._accepted) if shared else parent._accepted
        self._cut_at = max(self._cut_at, parent._cut_at)

    def _learn(self, now: float) -> None:
        """Learn from a throttle at which rate there was none, and for how long."""
        well, self._well_since = now - self._well_since, now
        if min(well, self._quiet.before) >= _KNOWN_SECONDS:
            self._known = max(self.rate, self._known * _FADING)
        elif well >= _REFUSED_RETURN and self.rate >= self._known * _REFUSED_SHARE:
            self._known = min(self._known, max(self.rate, self._known * _DISPROVED))

    def _cut(self) -> None:
        deepest = _DEEPEST_FIRST_CUT if math.isinf(self._cut_at) else _DEEPEST_CUT
        excess = self._refused / (self._accepted + self._refused)
        cut = min(deepest, _CUT_PER_EXCESS * excess)
        self.rate = max(self.rate * (1 - cut), min(_FLOOR_RATE, self._ceiling))
        self._accepted = self._refused = 0

    def _refill(self, now: float) -> None:
        updated_at, self._updated_at = self._updated_at, now
        rate, elapsed = self.rate, now - updated_at
        seconds = rate * SHARD_BYTES_PER_SECOND
        self.byte_tokens = min(self.byte_tokens + elapsed * seconds, seconds * _BUCKET_SECONDS)
        seconds = rate * SHARD_RECORDS_PER_SECOND
        self.record_tokens = min(
            self.record_tokens + elapsed * seconds, max(1.0, seconds * _BUCKET_SECONDS)
        )
        held = min(now, self._held_until) - updated_at
        if held > 0 and rate < self._ceiling:
            self.rate = min(self._ceiling, self._grown(held, now))

    def _grown(self, held: float, now: float) -> float:
        """Return the rate after it was what held entries back for ``held`` seconds."""
        if math.isinf(self._quiet.since):
            growth = _FIRST_GROWTH
        else:
            if now - self._well_since >= _RETURN_AFTER and self.rate < (back := self._back(now)):
                return min(back, self.rate * math.exp(_FIRST_GROWTH * held))
            growth = self._quiet.growth(self.rate, now)
            if math.isinf(self._cut_at):
                growth = max(growth, _UNTRIED_GROWTH)
        return self.rate * math.exp(growth * held)

    def _back(self, now: float) -> float:
        """Return the rate to which it returns at once."""
        share = _RETURN_SHARE + self._quiet.seconds(now) / _WHOLE_RETURN_SECONDS
        return self._known * min(1.0, share)

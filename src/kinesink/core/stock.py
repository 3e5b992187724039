"""Where every pending event of a stream is, and how it ends.

Law: a pending event is in exactly one place - with the router, in line for a shard, in
a call, in backoff or under an answer not yet judged - until it is delivered or dropped,
which is counted once. Wherever it is, it expires when its time to live ends.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Final, NamedTuple

from kinesink.core.attempts import AttemptLog
from kinesink.core.calls import Calls
from kinesink.core.ledger import Ledger, data_bytes
from kinesink.core.rate_limiter import RateLimiter
from kinesink.core.records import Chunk, DropReason, Failure, arrival_of, is_waited_for
from kinesink.core.retry_policy import READ_TIMEOUT
from kinesink.core.router import Router
from kinesink.core.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kinesink.core.calls import Remainder
    from kinesink.core.effects import Effect
    from kinesink.core.entry import Entry
    from kinesink.core.lines import Compress
    from kinesink.core.options import PipelineOptions
    from kinesink.core.records import Content

# Looking for what has expired costs about a microsecond per entry. Up to so many
# entries it happens on time to the instant; beyond, at most a twentieth of a core goes
# into it, and events may expire that much late.
_PROMPT_SWEEP_ENTRIES: Final = 2000
_SWEEP_SECONDS_PER_ENTRY: Final = 20e-6

#: What is written down of a call that outlives an event it carries.
_NO_ANSWER: Final = Failure(READ_TIMEOUT, "no answer before the time to live ended")


class Unqueued(NamedTuple):
    """What was taken out of line."""

    entries: list[Entry]
    contents: list[Content]


class Stock:
    """The places where events wait, and the account of them."""

    def __init__(  # noqa: PLR0913 - what the pipeline was given, passed on
        self,
        options: PipelineOptions,
        effects: list[Effect],
        *,
        now: float,
        jitter: float,
        wall_offset: float,
        compressor: Compress | None,
    ) -> None:
        self.ledger = Ledger()
        self.log = AttemptLog(effects)
        self.router = Router(options, now, compressor)
        self.limiter = RateLimiter(options, jitter=jitter)
        self.calls = Calls(options)
        self.waiting = Waiting()
        #: Where entries wait to be sent, those that were sent before first.
        self._lines = (self.calls, self.waiting, self.limiter)
        self._wall_offset = wall_offset
        self._time_to_live = options.time_to_live
        #: No pending event has arrived before.
        self._oldest = math.inf
        self._next_sweep = -math.inf

    # -- in and around ---------------------------------------------------------

    def add(self, contents: Iterable[Content], now: float) -> None:
        """Take events in."""
        arrived = list(contents)
        self.ledger.arrived(arrived)
        self._oldest = min(self._oldest, min(map(arrival_of, arrived), default=math.inf))
        self.admit(arrived, now)

    def admit(self, contents: Iterable[Content], now: float) -> None:
        """Let the router have events."""
        self.refuse(self.router.admit(contents, now), now)

    def again(self, entry: Entry, now: float, *, alone: bool = False) -> None:
        """Route the user records of an entry anew; ``alone`` so that they share nothing."""
        self.ledger.retried += entry.events
        if alone and self.router.shares:
            self.refuse(self.router.admit_alone(entry.contents), now)
        else:
            self.admit(entry.contents, now)

    def queue_again(self, entry: Entry, now: float) -> None:
        """Put an entry back in line if it still suits the stream, else take it apart."""
        if self.router.suits(entry):
            self.ledger.retried += entry.events
            self.limiter.add(entry, now, first=True)
        else:
            self.again(entry, now)

    def queue_remainder(self, of: Remainder, now: float) -> None:
        """Put back what is left of an entry; less than all of it is encoded anew."""
        if of.left is of.entry:
            self.queue_again(of.entry, now)
        elif of.left is not None:
            self.again(of.left, now)

    def unqueue(self) -> Unqueued:
        """Take out everything that was routed and waits to be sent, oldest first."""
        return Unqueued(self.limiter.withdraw(_any), self.router.dissolve())

    def requeue(self, waiting: Unqueued, now: float, *, keep: bool) -> None:
        """Route what was taken out by what is known now.

        :param keep: put entries that suit the stream back as they are.
        """
        contents: list[Content] = []
        for entry in waiting.entries:
            if keep and self.router.suits(entry):
                self.limiter.add(entry, now)
            else:
                contents += entry.contents
        self.admit([*contents, *waiting.contents], now)

    def withdraw_oldest(self, size: int, now: float, *, event_overhead: int) -> list[Content]:
        """Take out the oldest of what waits; the account is the caller's business.

        See :meth:`Pipeline.move_out_oldest` for what it costs.
        """
        entries = [entry for place in self._lines for entry in place.queued()]
        queued = (content for entry in entries for content in entry.contents)
        nobody_s = [
            content
            for content in chain(queued, self.router.contents())
            if not is_waited_for(content)
        ]
        nobody_s.sort(key=arrival_of)
        out, cut = _first(nobody_s, size, event_overhead)
        going = set(out)
        # An entry around what was cut holds less than it says.
        touched = going if cut is None else {*going, cut}
        company = self.router.withdraw(going, touched)
        opened = {entry for entry in entries if not touched.isdisjoint(entry.contents)}
        for entry in self._withdraw(opened.__contains__):
            company += [content for content in entry.contents if content not in going]
        self.admit(company, now)
        return out

    def adopt(self, now: float) -> None:
        """Apply what has become known of the stream; what was routed otherwise is routed again."""
        if self.apply_facts():
            self.requeue(self.unqueue(), now, keep=False)

    def apply_facts(self) -> bool:
        """Let routing follow what is known; return whether it has changed."""
        changed = self.router.adopt()
        self.limiter.use_shards(self.router.placeable())
        return changed

    # -- the end of events -----------------------------------------------------

    def drop(self, contents: Sequence[Content], reason: DropReason, error: str, now: float) -> None:
        """Give events up."""
        if contents:
            self.ledger.gave_up(contents, reason)
            self.log.dropped(contents, reason, error, at=now + self._wall_offset)

    def reject(self, entry: Entry, left: Entry, reason: DropReason, error: str, now: float) -> None:
        """Give up what is left of an entry that can never go; of several events, the culprit."""
        if entry.shared:
            self.again(left, now, alone=True)
        else:
            self.drop(left.contents, reason, error, now)

    def fail_waited_for(self, reason: DropReason, error: str, now: float) -> None:
        """Give up every record in line that somebody waits for."""
        waiting = self.unqueue()
        ticketed = [entry for entry in waiting.entries if entry.ticketed]
        contents = [c for entry in ticketed for c in entry.contents] + waiting.contents
        self.drop([content for content in contents if is_waited_for(content)], reason, error, now)
        others = [entry for entry in waiting.entries if not entry.ticketed]
        left = [content for content in contents if not is_waited_for(content)]
        self.requeue(Unqueued(others, left), now, keep=True)

    def refuse(self, too_large: list[Content], now: float) -> None:
        """Give up what the stream can never take."""
        error = f"larger than a record of the stream, {self.router.record_max_bytes} bytes"
        self.drop(too_large, DropReason.TOO_LARGE, error, now)

    def abandon(self, reason: DropReason, error: str, now: float) -> None:
        """Give up all that is pending, calls under way included."""
        contents = self.calls.abandon()
        contents += [content for entry in self._withdraw(_any) for content in entry.contents]
        contents += self.waiting.expire(math.inf)
        contents += self.router.dissolve()
        self.drop(contents, reason, error, now)

    @property
    def expiry_at(self) -> float:
        """When to look for what has expired; infinite while nothing is pending."""
        if not self.ledger.pending:
            return math.inf
        return max(self._oldest + self._time_to_live, self._next_sweep)

    def expire(self, now: float) -> None:
        """Give up what is older than the time to live; its company is routed again.

        Look what is left with :meth:`look_for_oldest` once that has happened.
        """
        # By the sum that made the deadline: the difference may round the other way.
        oldest_allowed = max(now - self._time_to_live, self._oldest)
        self._next_sweep = max(now + self._sweep_delay(), math.nextafter(now, math.inf))
        expired, company = self.router.expire(oldest_allowed)
        for entry in self._withdraw(lambda entry: entry.oldest <= oldest_allowed):
            for content in entry.contents:
                (expired if content.arrival <= oldest_allowed else company).append(content)
        for sent_at, gone in self.calls.expire(oldest_allowed):
            started, duration = sent_at + self._wall_offset, now - sent_at
            self.log.unanswered(gone, _NO_ANSWER, started=started, duration=duration)
            expired += gone
        expired += self.waiting.expire(oldest_allowed)
        self.drop(expired, DropReason.EXPIRED, "the time to live has ended", now)
        self.admit(company, now)

    def look_for_oldest(self) -> float:
        """Find out when the next event expires; return the arrival of the oldest."""
        places = (self.router, self.limiter, self.calls, self.waiting)
        self._oldest = min(place.oldest() for place in places)
        return self._oldest

    def _sweep_delay(self) -> float:
        entries = self.limiter.waiting + len(self.waiting) + self.calls.entries
        excess = entries + self.router.held - _PROMPT_SWEEP_ENTRIES
        return max(0.0, excess * _SWEEP_SECONDS_PER_ENTRY)

    def _withdraw(self, goes: Callable[[Entry], bool]) -> list[Entry]:
        """Take out the entries to be sent of which ``goes`` is true."""
        return [entry for place in self._lines for entry in place.withdraw(goes)]


def _any(_: Entry) -> bool:
    return True


def _first(
    contents: Iterable[Content], size: int, event_overhead: int
) -> tuple[list[Content], Chunk | None]:
    """Return the first contents of ``size`` bytes; the last chunk is cut where that is enough.

    :returns: them, and what was cut: it is less by its part in them.
    """
    first: list[Content] = []
    for content in contents:
        if size <= 0:
            break
        if isinstance(content, Chunk):
            ends = list(accumulate(len(datum) + event_overhead for datum in content.data))
            enough = bisect_left(ends, size) + 1
            if enough < len(content):
                return [*first, content.cut(enough)], content
        first.append(content)
        size -= data_bytes(content) + event_overhead * len(content)
    return first, None

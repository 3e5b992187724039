"""The whole way of an event through the core, for one stream.

Law: every call says ``now``; nothing waits, and nothing happens that is not asked
for by :meth:`Pipeline.effects`. After ``effects(now)``, ``deadline(now) > now``.

The surface is a handful of verbs: ``add``, ``effects``, ``request_done``,
``shards_listed``, ``stream_described``, ``flush``, ``abandon``, ``deadline``.
"""

from __future__ import annotations

import math
from collections import deque
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final, NamedTuple

from kinesink.core.attempts import AttemptLog
from kinesink.core.collector import Collector, PutRecordsRequest
from kinesink.core.effects import DescribeStream, Effect, ListShards, Report, SendRequest
from kinesink.core.ledger import Ledger
from kinesink.core.rate_limiter import RateLimiter
from kinesink.core.records import Answered, DropReason, EntryResult, Failure, UserRecord
from kinesink.core.retry_policy import (
    ENTRY_BACKOFF,
    FAILURES_BEFORE_PROBING,
    WRONG_RECORD_COUNT,
    Kind,
    advice,
    can_resend_at_once,
    classify_request,
    request_delay,
)
from kinesink.core.router import Router
from kinesink.core.verdict import Action, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kinesink.core.entry import Entry
    from kinesink.core.options import PipelineOptions
    from kinesink.core.records import Content, ShardDescription, StreamSummary

#: Longest wait of a verdict for the shard map, in seconds; then the records travel
#: again, each alone, which is right whatever the map.
VERDICT_PATIENCE: Final = 10.0

#: Seconds until the shards are listed again when a listing did not know a shard that
#: has answered; listings may lag behind a reshard.
_RELIST_DELAY: Final = 1.0

#: Requests' worth of entries that is routed ahead while each event is an entry.
_AHEAD_REQUESTS: Final = 2

#: Failures that somebody must know of at the first; others may pass by themselves.
_TELL_AT_ONCE: Final = frozenset({Kind.PERMANENT, Kind.CREDENTIALS, Kind.CLOCK})


class _Unjudged(NamedTuple):
    """An answer that waits for the shard map."""

    entry: Entry
    result: EntryResult
    sent_at: float
    since: float


class Pipeline:
    """Routes, aggregates, paces, retries and accounts for the events of one stream.

    Not thread-safe: one task owns it.
    """

    def __init__(
        self,
        options: PipelineOptions,
        *,
        stream_name: str,
        now: float,
        jitter: Callable[[], float],
        wall_offset: float = 0.0,
    ) -> None:
        """Begin with nothing known of the stream; the first effects ask for it.

        :param now: seconds on the monotonic clock of all later calls.
        :param jitter: returns a number from 0 to 1, evenly distributed.
        :param wall_offset: seconds to add to the clock for the time since the epoch.
        """
        self.stream_name = stream_name
        self.ledger = Ledger()
        #: The last failure of a whole call, in words; None before the first.
        self.last_error: str | None = None
        self._options = options
        self._jitter = jitter
        self._wall_offset = wall_offset
        self._router = Router(options, now)
        self._limiter = RateLimiter(options)
        self._collector = Collector(options)
        self._in_flight: set[PutRecordsRequest] = set()
        #: Halves of refused requests and repetitions, to be sent before anything else.
        self._urgent: deque[PutRecordsRequest] = deque()
        #: Entries in backoff: when they are due, a tie breaker, the entry.
        self._retries: list[tuple[float, int, Entry]] = []
        self._serial = 0
        self._unjudged: deque[_Unjudged] = deque()
        self._effects: list[Effect] = []
        self._log = AttemptLog(self._effects)
        self._blocked_until = -math.inf
        self._failures = 0
        self._failed_at = -math.inf
        self._ever_succeeded = False
        self._expiry_at = math.inf

    @property
    def record_max_bytes(self) -> int:
        """Largest record (data and partition key) of the stream, in bytes."""
        return self._router.record_max_bytes

    # -- what comes in ---------------------------------------------------------

    def add(self, contents: Iterable[Content], now: float) -> None:
        """Take events in; their ``arrival`` is on the same clock as ``now``."""
        arrived = list(contents)
        for content in arrived:
            self.ledger.arrived(content)
            self._expires(content.arrival)
        self._admit(arrived, now)

    def flush(self) -> int:
        """Let nothing that is pending linger; return the epoch it belongs to."""
        epoch = self.ledger.close_epoch()
        self._router.hurry(epoch)
        return epoch

    def abandon(self, reason: DropReason, error: str, now: float) -> None:
        """Give up all that is pending, calls under way included."""
        contents = self._router.dissolve()
        for request in self._in_flight:
            for entry in request.entries:
                contents += entry.contents
        self._in_flight.clear()
        for entry in self._withdraw(math.inf):
            contents += entry.contents
        self._drop(contents, reason, error, now)

    # -- what came of the effects ----------------------------------------------

    def request_done(
        self, request: PutRecordsRequest, outcome: Answered | Failure, now: float
    ) -> None:
        """Take the outcome of a :class:`SendRequest`."""
        if request not in self._in_flight:
            return
        self._in_flight.discard(request)
        self._expires(request.oldest)
        if isinstance(outcome, Answered) and len(outcome.results) != len(request.entries):
            outcome = Failure(
                WRONG_RECORD_COUNT,
                f"{len(outcome.results)} results for {len(request.entries)} entries",
            )
        started, duration = request.sent_at + self._wall_offset, now - request.sent_at
        if isinstance(outcome, Failure):
            for entry in request.entries:
                self._log.failed(entry, outcome, started=started, duration=duration)
            self._request_failed(request, outcome, now)
            return
        self._failures = 0
        self._ever_succeeded = True
        for entry, result in zip(request.entries, outcome.results, strict=True):
            self._log.attempted(entry, result, started=started, duration=duration)
            self._settle(_Unjudged(entry, result, request.sent_at, now), now)

    def shards_listed(self, listing: Sequence[ShardDescription] | Failure, now: float) -> None:
        """Take the outcome of a :class:`ListShards`."""
        if isinstance(listing, Failure):
            self._router.shard_map.refresh.failed(now, self._jitter())
            self._report(
                listing,
                "without a listing of the shards events travel un-aggregated or by the last "
                "known one",
            )
        else:
            self.ledger.refreshes += 1
            self._use_listing(listing, now)
        waiting, self._unjudged = self._unjudged, deque()
        for unjudged in waiting:
            self._settle(unjudged, now, again=True)

    def stream_described(self, summary: StreamSummary | Failure, now: float) -> None:
        """Take the outcome of a :class:`DescribeStream`."""
        facts = self._router.facts
        if isinstance(summary, Failure):
            facts.refresh.failed(now, self._jitter())
            self._report(
                summary,
                "without a description of the stream it is taken to honour partition keys, "
                "and to take records of up to 1 MiB",
            )
        elif facts.described(summary, now, self._jitter()):
            self._router.shard_map.refresh.need(now, now)
        self._adopt(now)

    # -- what goes out ---------------------------------------------------------

    def effects(self, now: float) -> list[Effect]:
        """Return what must be done now."""
        if now >= self._expiry_at:
            self._expire(now)
        while self._unjudged and now >= self._unjudged[0].since + VERDICT_PATIENCE:
            self._again(self._unjudged.popleft().entry, now, alone=True)
        if self._router.shard_map.refresh.ask(now):
            self._effects.append(ListShards())
        if self._router.facts.refresh.ask(now):
            self._effects.append(DescribeStream())
        while self._retries and self._retries[0][0] <= now:
            self._queue_again(heappop(self._retries)[2], now)
        while self._advance(now) and self._router.holds:
            pass
        effects = list(self._effects)
        self._effects.clear()
        return effects

    def deadline(self, now: float) -> float:
        """Return when :meth:`effects` next has something to do."""
        deadlines = [self._router.deadline(now)]
        if self.ledger.pending:
            deadlines.append(self._expiry_at)
        if self._retries:
            deadlines.append(self._retries[0][0])
        if self._unjudged:
            deadlines.append(self._unjudged[0].since + VERDICT_PATIENCE)
        if self._limiter.waiting or self._urgent or self._router.holds:
            if now < self._blocked_until:
                deadlines.append(self._blocked_until)
            elif self._may_send(now):
                deadlines.append(self._limiter.deadline(now))
        return min(deadlines)

    # -- sending ---------------------------------------------------------------

    def _advance(self, now: float) -> bool:
        """Move events as far as they may go; return whether any was sent."""
        room = _AHEAD_REQUESTS * self._options.request_max_entries - self._limiter.waiting
        blocked = now < self._blocked_until
        self._refuse(self._router.route_held(now, room=0 if blocked else room), now)
        for entry in self._router.take(now):
            self._limiter.add(entry, now)
        sent = False
        while self._may_send(now):
            request = self._next_request(now)
            if request is None:
                break
            self._send(request, now)
            sent = True
        return sent

    def _may_send(self, now: float) -> bool:
        probing = self._failures >= FAILURES_BEFORE_PROBING
        most = 1 if probing else self._options.max_requests_in_flight
        return now >= self._blocked_until and len(self._in_flight) < most

    def _next_request(self, now: float) -> PutRecordsRequest | None:
        if self._urgent:
            return self._urgent.popleft()
        return self._collector.form(self._limiter, now)

    def _send(self, request: PutRecordsRequest, now: float) -> None:
        request.sent_at = now
        self._in_flight.add(request)
        self.ledger.requests += 1
        self.ledger.entries += len(request.wire)
        self.ledger.sent_bytes += request.size
        left = request.oldest + self._options.time_to_live - now
        self._effects.append(SendRequest(request, min(self._options.request_timeout, left)))

    # -- what is known of the stream -------------------------------------------

    def _adopt(self, now: float) -> None:
        """Apply what has become known; what was routed otherwise is routed again."""
        changed = self._router.adopt()
        self._limiter.use_shards(self._router.placeable())
        if changed:
            self._reroute(now)

    def _use_listing(self, listing: Sequence[ShardDescription], now: float) -> None:
        shard_map = self._router.shard_map
        generation = shard_map.generation
        gone = shard_map.listed(listing, now, self._jitter())
        if not shard_map.whole:
            self._effects.append(
                Report(
                    "IncompleteListing",
                    f"stream {self.stream_name!r}: {len(listing)} shards leave hash keys "
                    "without an owner; events for them travel un-aggregated",
                )
            )
        if generation == shard_map.generation:
            return
        contents = self._unqueue()
        for shard_id, hash_keys in gone.items():
            self._limiter.bequeath(shard_id, shard_map.overlapping(hash_keys), now)
        self._router.adopt()
        self._limiter.use_shards(self._router.placeable())
        self._admit(contents, now)

    def _reroute(self, now: float) -> None:
        self._admit(self._unqueue(), now)

    def _unqueue(self) -> list[Content]:
        """Take apart everything that was routed and waits to be sent."""
        contents = self._router.dissolve()
        for entry in self._limiter.withdraw(math.inf):
            contents += entry.contents
        return contents

    # -- judging ---------------------------------------------------------------

    def _settle(self, answer: _Unjudged, now: float, *, again: bool = False) -> None:
        """Carry out the verdict on one entry; ``again`` when it was judged before."""
        entry, result, sent_at = answer.entry, answer.result, answer.sent_at
        router = self._router
        verdict = judge(
            entry,
            result,
            sent_at=sent_at,
            shard_map=router.shard_map,
            distribution=router.facts.distribution,
        )
        if verdict.wrong_shard:
            self.ledger.wrong_shard += not again
            router.shard_map.refresh.need(sent_at, now)
        if verdict.stream_places:
            router.facts.prove_auto(sent_at, now)
            self._adopt(now)
        error = f"{result.error_code}: {result.error_message}"
        match verdict.action:
            case Action.DELIVER:
                self._limiter.taken(entry.predicted, sent_at)
                self.ledger.took(entry)
                self._log.delivered(entry, result)
            case Action.HOLD:
                self._unjudged.append(answer)
                router.shard_map.refresh.need(now, now, after=_RELIST_DELAY if again else 0.0)
            case Action.REROUTE:
                self._again(entry, now)
            case Action.SEND_ALONE:
                self._again(entry, now, alone=True)
            case Action.SLOW_DOWN:
                self._slow_down(entry, error, sent_at, now)
            case Action.RETRY:
                self._retry_later(entry, now)
            case Action.REJECT:
                self._drop(entry.contents, DropReason.REJECTED, error, now)
                router.facts.refresh.need(sent_at, now)

    def _slow_down(self, entry: Entry, error: str, sent_at: float, now: float) -> None:
        self.ledger.throttled += 1
        if self._options.fail_if_throttled:
            self._drop(entry.contents, DropReason.THROTTLED, error, now)
            return
        self._limiter.throttled(entry.predicted, sent_at, now, self._jitter())
        self._queue_again(entry, now)

    def _retry_later(self, entry: Entry, now: float) -> None:
        entry.failures += 1
        self._serial += 1
        due = now + ENTRY_BACKOFF[Kind.TRANSIENT].delay(entry.failures, self._jitter())
        heappush(self._retries, (due, self._serial, entry))

    def _queue_again(self, entry: Entry, now: float) -> None:
        """Put an entry back in line if it still suits the stream, else take it apart."""
        if self._router.suits(entry):
            self.ledger.retried += entry.events
            self._limiter.add(entry, now, first=True)
        else:
            self._again(entry, now)

    def _again(self, entry: Entry, now: float, *, alone: bool = False) -> None:
        """Route the user records of an entry anew."""
        self.ledger.retried += entry.events
        if alone:
            self._refuse(self._router.admit_alone(entry.contents), now)
        else:
            self._admit(entry.contents, now)

    # -- whole requests --------------------------------------------------------

    def _request_failed(self, request: PutRecordsRequest, failure: Failure, now: float) -> None:
        kind = classify_request(failure.code, failure.message)
        if can_resend_at_once(failure.code, kind) and not request.resent:
            request.resent = True
            self._urgent.append(request)
            return
        if kind is Kind.BAD_ENTRY:
            if len(request.entries) > 1:
                self._urgent.extend(request.halves())
                return
            if self._ever_succeeded:
                self._report(failure, "one record is given up, its neighbours are sent")
                error = f"{failure.code}: {failure.message}"
                self._drop(request.entries[0].contents, DropReason.REJECTED, error, now)
                return
            # Nothing ever worked and a sound record fails: it is not the record.
            kind = Kind.PERMANENT
        self._back_off(kind, failure, request, now)
        if kind in _TELL_AT_ONCE or self._failures >= FAILURES_BEFORE_PROBING:
            self._report(failure, "events are kept and tried again")
        for entry in reversed(request.entries):
            self._keep_or_fail(entry, kind, failure, now)

    def _back_off(
        self, kind: Kind, failure: Failure, request: PutRecordsRequest, now: float
    ) -> None:
        # Calls that were under way together fail together: that is one failure.
        if request.sent_at >= self._failed_at:
            self._failures += 1
            self._failed_at = now
        delay = request_delay(kind, self._failures, self._jitter(), retry_after=failure.retry_after)
        self._blocked_until = max(self._blocked_until, now + delay)
        if kind is Kind.THROTTLED:
            self.ledger.throttled += len(request.entries)
            self._limiter.all_throttled(request.sent_at, now, self._jitter())

    def _keep_or_fail(self, entry: Entry, kind: Kind, failure: Failure, now: float) -> None:
        error = f"{failure.code}: {failure.message}"
        if kind is Kind.THROTTLED and self._options.fail_if_throttled:
            self._drop(entry.contents, DropReason.THROTTLED, error, now)
        elif kind is Kind.PERMANENT and entry.ticketed:
            # Who waits for a result learns at once; what nobody waits for is kept.
            waited_for = [content for content in entry.contents if _is_waited_for(content)]
            self._drop(waited_for, DropReason.REJECTED, error, now)
            self._admit((c for c in entry.contents if not _is_waited_for(c)), now)
        else:
            self._queue_again(entry, now)

    # -- the end of events -----------------------------------------------------

    def _admit(self, contents: Iterable[Content], now: float) -> None:
        self._refuse(self._router.admit(contents, now), now)

    def _refuse(self, too_large: list[Content], now: float) -> None:
        if too_large:
            error = f"larger than a record of the stream, {self.record_max_bytes} bytes"
            self._drop(too_large, DropReason.TOO_LARGE, error, now)

    def _drop(
        self, contents: Sequence[Content], reason: DropReason, error: str, now: float
    ) -> None:
        if contents:
            self.ledger.gave_up(contents, reason)
            self._log.dropped(contents, reason, error, at=now + self._wall_offset)

    def _expires(self, arrival: float) -> None:
        self._expiry_at = min(self._expiry_at, arrival + self._options.time_to_live)

    def _withdraw(self, oldest_allowed: float) -> list[Entry]:
        """Take out the entries with an event from ``oldest_allowed`` or before."""
        entries = self._limiter.withdraw(oldest_allowed)
        retries, self._retries = self._retries, []
        for retry in retries:
            if retry[2].oldest <= oldest_allowed:
                entries.append(retry[2])
            else:
                self._retries.append(retry)
        heapify(self._retries)
        unjudged, self._unjudged = self._unjudged, deque()
        for answer in unjudged:
            if answer.entry.oldest <= oldest_allowed:
                entries.append(answer.entry)
            else:
                self._unjudged.append(answer)
        urgent, self._urgent = self._urgent, deque()
        for request in urgent:
            if request.oldest <= oldest_allowed:
                entries += request.entries
            else:
                self._urgent.append(request)
        return entries

    def _expire(self, now: float) -> None:
        """Give up what is older than the time to live; its company is routed again."""
        oldest_allowed = now - self._options.time_to_live
        expired = self._router.expire(oldest_allowed, now)
        for entry in self._withdraw(oldest_allowed):
            expired += [c for c in entry.contents if c.arrival <= oldest_allowed]
            self._admit((c for c in entry.contents if c.arrival > oldest_allowed), now)
        self._drop(expired, DropReason.EXPIRED, "the time to live has ended", now)
        oldest = min(
            self._router.oldest(),
            self._limiter.oldest(),
            min((entry.oldest for _, _, entry in self._retries), default=math.inf),
            min((answer.entry.oldest for answer in self._unjudged), default=math.inf),
            min((request.oldest for request in self._urgent), default=math.inf),
        )
        self._expiry_at = oldest + self._options.time_to_live

    def _report(self, failure: Failure, consequence: str) -> None:
        self.last_error = f"{failure.code}: {failure.message}"
        parts = (self.last_error, advice(failure.code), consequence)
        text = "; ".join(part for part in parts if part)
        self._effects.append(Report(failure.code, f"stream {self.stream_name!r}: {text}"))


def _is_waited_for(content: Content) -> bool:
    return isinstance(content, UserRecord) and content.ticket is not None

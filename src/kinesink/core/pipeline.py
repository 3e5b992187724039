"""The whole way of an event through the core, for one stream.

Law: every call says ``now``; nothing waits, and nothing happens that is not asked
for by :meth:`Pipeline.effects`. After ``effects(now)``, ``deadline(now) > now``.

The surface is a handful of verbs: ``add``, ``effects``, ``request_done``,
``shards_listed``, ``stream_described``, ``flush``, ``move_out_oldest``, ``drop_oldest``,
``abandon``, ``deadline``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinesink.core.answers import Answers
from kinesink.core.collector import Collector
from kinesink.core.effects import DescribeStream, ListShards, SendRequest
from kinesink.core.failed_calls import FailedCalls
from kinesink.core.records import Answered, DropReason, Failure
from kinesink.core.reports import Reports
from kinesink.core.retry_policy import (
    OWN_ERROR,
    STREAM_NOT_FOUND,
    WRONG_RECORD_COUNT,
    can_resend_at_once,
    classify_request,
)
from kinesink.core.stock import Stock
from kinesink.core.waiting import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kinesink.core.collector import PutRecordsRequest
    from kinesink.core.effects import Effect
    from kinesink.core.hash_key import HashKeyRange
    from kinesink.core.lines import Compress
    from kinesink.core.options import PipelineOptions
    from kinesink.core.records import Content, ShardDescription, ShardId, StreamSummary
    from kinesink.core.refresh import Refresh
    from kinesink.core.reports import Operation

#: Requests' worth of entries that is routed ahead while each event is an entry.
_AHEAD_REQUESTS: Final = 2


class Pipeline:
    """Routes, aggregates, paces, retries and accounts for the events of one stream.

    Not thread-safe: one task owns it.
    """

    def __init__(  # noqa: PLR0913 - what surrounds a stream, all of it by keyword
        self,
        options: PipelineOptions,
        *,
        stream_name: str,
        now: float,
        jitter: Callable[[], float],
        wall_offset: float = 0.0,
        compressor: Compress | None = None,
        rest: Callable[[], object] = lambda: None,
    ) -> None:
        """Begin with nothing known of the stream; the first effects ask for it.

        :param now: seconds on the monotonic clock of all later calls.
        :param jitter: returns a number from 0 to 1, evenly distributed.
        :param wall_offset: seconds to add to the clock for the time since the epoch.
        :param compressor: compresses lines; what ``options.compression`` names.
        :param rest: called between two pieces of work, for whoever must not be held up for
            long; must not come back here.
        """
        self.stream_name = stream_name
        self._options = options
        self._jitter = jitter
        self._wall_offset = wall_offset
        self._effects: list[Effect] = []
        self._reports = Reports(self._effects, stream_name)
        self._collector = Collector(options, jitter=jitter(), rest=rest)
        stock = Stock(
            options,
            self._effects,
            now=now,
            jitter=jitter(),
            wall_offset=wall_offset,
            compressor=compressor,
        )
        self.ledger = stock.ledger
        self._stock, self._log, self._router = stock, stock.log, stock.router
        self._limiter, self._calls, self._waiting = stock.limiter, stock.calls, stock.waiting
        self._failed_calls = FailedCalls(options, stock, self._reports, jitter)
        self._answers = Answers(options, stock, jitter)

    @property
    def record_max_bytes(self) -> int:
        """Largest record (data and partition key) of the stream, in bytes."""
        return self._router.record_max_bytes

    @property
    def last_error(self) -> str | None:
        """The last failure of a whole call, in words; None before the first."""
        return self._reports.last_error

    def oldest(self) -> float:
        """Return the arrival of the oldest pending event; infinite without any.

        Costs a look at every entry.
        """
        return self._stock.look_for_oldest()

    # -- what comes in ---------------------------------------------------------

    def add(self, contents: Iterable[Content], now: float) -> None:
        """Take events in; their ``arrival`` is on the same clock as ``now``."""
        self._stock.add(contents, now)

    def flush(self) -> int:
        """Let nothing that is pending linger; return the epoch it belongs to."""
        epoch = self.ledger.close_epoch()
        self._router.hurry(epoch)
        return epoch

    def move_out_oldest(self, size: int, now: float, *, event_overhead: int) -> list[Content]:
        """Take the oldest events out that wait, until they make up ``size`` bytes.

        They are no longer accepted here: whoever holds them answers for them, and may add
        them again. Left alone are events of calls under way or of answers not yet judged,
        which may have been written, and those whose result somebody waits for. So less than
        ``size`` may be found, also nothing; more than one event more never is.

        It looks at all that waits, whatever ``size`` is, for some nanoseconds per event.
        Taken a few per cent of that at a time, an event costs a few microseconds.

        :param event_overhead: what an event counts for beside its data, in bytes.
        :returns: the events, oldest arrival first.
        """
        out = self._stock.withdraw_oldest(size, now, event_overhead=event_overhead)
        self.ledger.moved_out(out)
        return out

    def drop_oldest(
        self, size: int, reason: DropReason, error: str, now: float, *, event_overhead: int
    ) -> int:
        """Give the oldest events up that wait: those of :meth:`move_out_oldest`.

        :returns: how many.
        """
        out = self._stock.withdraw_oldest(size, now, event_overhead=event_overhead)
        self._stock.drop(out, reason, error, now)
        return sum(map(len, out))

    def abandon(self, reason: DropReason, error: str, now: float) -> None:
        """Give up all that is pending, calls under way included."""
        self._stock.abandon(reason, error, now)

    # -- what came of the effects ----------------------------------------------

    def request_done(
        self, request: PutRecordsRequest, outcome: Answered | Failure, now: float
    ) -> None:
        """Take the outcome of a :class:`SendRequest`."""
        carried = self._calls.end(request)
        if carried is None:
            return
        if isinstance(outcome, Answered) and len(outcome.results) != len(carried):
            outcome = Failure(
                WRONG_RECORD_COUNT,
                f"{len(outcome.results)} results for {len(carried)} entries",
            )
        started, duration = request.sent_at + self._wall_offset, now - request.sent_at
        if isinstance(outcome, Failure):
            self._heed_absence(outcome, now)
            for of in carried:
                if of.left is not None:
                    self._log.failed(of.left, outcome, started=started, duration=duration)
            self._failed_calls.settle(request, carried, outcome, now)
            return
        if self._calls.down:
            # What was away is back, and its answers make the most of what waits.
            self._router.shard_map.refresh.hasten(now)
            self._router.facts.refresh.hasten(now)
        self._calls.succeeded()
        # Backwards: each that waits for its turn again is put first in line.
        for of, result in zip(reversed(carried), reversed(outcome.results), strict=True):
            if of.left is not None:
                self._log.attempted(of.left, result, started=started, duration=duration)
            self._answers.settle(Answer(of, result, request.sent_at, now), now)

    def shards_listed(self, listing: Sequence[ShardDescription] | Failure, now: float) -> None:
        """Take the outcome of a :class:`ListShards`."""
        if isinstance(listing, Failure):
            self._question_failed(
                self._router.shard_map.refresh,
                "ListShards",
                listing,
                "without a listing of the shards events travel un-aggregated or by the last "
                "known one",
                now,
            )
        else:
            self.ledger.refreshes += 1
            self._use_listing(listing, now)
        for answer in self._waiting.release():
            self._answers.settle(answer, now, again=True)

    def stream_described(self, summary: StreamSummary | Failure, now: float) -> None:
        """Take the outcome of a :class:`DescribeStream`."""
        facts = self._router.facts
        if isinstance(summary, Failure):
            self._question_failed(
                facts.refresh,
                "DescribeStreamSummary",
                summary,
                "without a description of the stream it is taken to honour partition keys, "
                "and to take records of up to 1 MiB",
                now,
            )
        elif facts.described(summary, now, self._jitter()):
            self._follow_map(self._router.shard_map.forget(now), now)
        self._stock.adopt(now)

    # -- what goes out ---------------------------------------------------------

    def effects(self, now: float) -> list[Effect]:
        """Return what must be done now."""
        sweeps = now >= self._stock.expiry_at
        if sweeps:
            self._stock.expire(now)
        while (overdue := self._waiting.next_overdue(now)) is not None:
            self._stock.again(overdue, now, alone=True)
        if self._router.shard_map.refresh.ask(now):
            self._effects.append(ListShards())
        if self._router.facts.refresh.ask(now):
            self._effects.append(DescribeStream())
        while (entry := self._waiting.next_due(now)) is not None:
            self._stock.queue_again(entry, now)
        while self._advance(now):
            pass
        if sweeps:
            self._stock.look_for_oldest()
        effects = list(self._effects)
        self._effects.clear()
        return effects

    def deadline(self, now: float) -> float:
        """Return when :meth:`effects` next has something to do."""
        deadlines = [
            self._router.deadline(now),
            self._waiting.deadline(),
            self._stock.expiry_at,
        ]
        if (
            self._limiter.waiting
            or self._calls.wait_to_go_again
            or self._router.held
            or self._waiting.any_aside
        ):
            if now < self._calls.blocked_until:
                deadlines.append(self._calls.blocked_until)
            elif self._calls.may_send(now):
                deadlines.append(self._limiter.deadline(now))
        return min(deadlines)

    # -- sending ---------------------------------------------------------------

    def _advance(self, now: float) -> bool:
        """Move events as far as they may go; return whether some may now go further."""
        room = None
        if now >= self._calls.blocked_until:
            room = _AHEAD_REQUESTS * self._options.request_max_entries - self._limiter.waiting
        too_large = self._router.route_held(now, room=room, in_line=self._limiter.in_line)
        self._stock.refuse(too_large, now)
        self._try_aside(now)
        for entry in self._router.take(now):
            self._limiter.add(entry, now)
        sent = False
        while self._calls.may_send(now):
            request = self._calls.next_again() or self._collector.form(
                self._limiter, now, max_entries=self._calls.max_entries
            )
            if request is None:
                break
            self._send(request, now)
            sent = True
        failed = self._collector.take_failed()
        for entry, error in failed:
            self._reports.tell(OWN_ERROR, f"an error of kinesink's own, {error!r}")
            self._stock.reject(entry, entry, DropReason.INTERNAL, repr(error), now)
        return bool(failed or ((sent or too_large) and self._router.held))

    def _try_aside(self, now: float) -> None:
        """Let what was set aside go again, once it is known to be at fault or all that is left."""
        if not self._waiting.any_aside:
            return
        most = None
        if self._calls.refused_throughout:
            others = self._limiter.waiting or self._router.held
            most = 1 if self._calls.may_send(now) and not others else 0
        for entry in reversed(self._waiting.take_aside(most)):
            self._stock.queue_again(entry, now)

    def _send(self, request: PutRecordsRequest, now: float) -> None:
        self.ledger.requests += 1
        self.ledger.entries += len(request.wire)
        self.ledger.sent_bytes += request.size
        self._effects.append(SendRequest(request, self._calls.begin(request, now)))

    # -- what is known of the stream -------------------------------------------

    def _question_failed(
        self,
        refresh: Refresh,
        operation: Operation,
        failure: Failure,
        consequence: str,
        now: float,
    ) -> None:
        kind = classify_request(failure.code, failure.message)
        if can_resend_at_once(failure.code, kind) and refresh.repeat(now):
            return
        self._heed_absence(failure, now)
        refresh.failed(now, self._jitter())
        self._reports.failed(operation, failure, consequence)

    def _heed_absence(self, failure: Failure, now: float) -> None:
        """Forget the shards of a stream that is gone; the next one has others."""
        if failure.code == STREAM_NOT_FOUND:
            self._follow_map(self._router.shard_map.forget(now), now)

    def _use_listing(self, listing: Sequence[ShardDescription], now: float) -> None:
        shard_map = self._router.shard_map
        generation = shard_map.generation
        gone = shard_map.listed(listing, now, self._jitter())
        if not shard_map.whole:
            self._reports.tell(
                "IncompleteListing",
                f"{len(listing)} shards leave hash keys without an owner; "
                "events for them travel un-aggregated",
                "ListShards",
            )
        if generation != shard_map.generation:
            self._follow_map(gone, now)

    def _follow_map(self, gone: Mapping[ShardId, HashKeyRange], now: float) -> None:
        """Route what waits by the map as it is now, and leave what is gone to its heirs."""
        shard_map = self._router.shard_map
        waiting = self._stock.unqueue()
        for shard_id, hash_keys in gone.items():
            self._limiter.bequeath(shard_id, shard_map.overlapping(hash_keys), now)
        changed = self._stock.apply_facts()
        self._stock.requeue(waiting, now, keep=not changed)

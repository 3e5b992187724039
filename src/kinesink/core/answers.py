"""What follows from Kinesis' answer to one entry.

Law: each answer is judged by what is known of the stream now, and teaches what is to be
learned from it; what its entry still carries goes exactly one way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinesink.core.records import DropReason, ShardId
from kinesink.core.reports import in_words
from kinesink.core.retry_policy import ENTRY_BACKOFF, Kind
from kinesink.core.verdict import Action, judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.core.entry import Entry
    from kinesink.core.options import PipelineOptions
    from kinesink.core.records import EntryResult
    from kinesink.core.stock import Stock
    from kinesink.core.waiting import Answer

#: Seconds until the shards are listed again when a listing did not know a shard that
#: has answered; listings may lag behind a reshard.
_RELIST_DELAY: Final = 1.0


class Answers:
    """Carries out the verdicts on entries that were answered."""

    def __init__(self, options: PipelineOptions, stock: Stock, jitter: Callable[[], float]) -> None:
        self._fails_if_throttled = options.fail_if_throttled
        self._stock = stock
        self._jitter = jitter

    def settle(self, answer: Answer, now: float, *, again: bool = False) -> None:
        """Carry out the verdict on one entry; ``again`` when it was judged before."""
        entry, sent_at = answer.of.entry, answer.sent_at
        stock, router = self._stock, self._stock.router
        verdict = judge(
            entry,
            answer.result,
            sent_at=sent_at,
            shard_map=router.shard_map,
            distribution=router.facts.distribution,
        )
        if verdict.wrong_shard:
            stock.ledger.wrong_shard += not again
            router.shard_map.refresh.need(sent_at, now, spacing=router.shard_map.spacing)
        if self._is_astray(entry, answer.result):
            router.facts.doubt_placement(sent_at, now, after=_RELIST_DELAY)
        if verdict.stream_places and router.doubts:
            router.facts.prove_auto(sent_at, now)
            stock.adopt(now)
        if verdict.action is Action.DELIVER:
            stock.limiter.taken(entry.predicted, sent_at)
        elif verdict.action is Action.SLOW_DOWN:
            stock.ledger.throttled += 1
            stock.limiter.throttled(entry.predicted, sent_at, now, self._jitter())
        elif verdict.action is Action.HOLD:
            after = _RELIST_DELAY if again else 0.0
            router.shard_map.refresh.need(now, now, after=after, spacing=router.shard_map.spacing)
        if answer.of.left is not None:
            self._carry_out(verdict.action, answer, answer.of.left, now)

    def _is_astray(self, entry: Entry, result: EntryResult) -> bool:
        """Tell whether a shard took what its range excludes, which asks for a description."""
        router = self._stock.router
        if not router.doubts or not result.success or result.shard_id == entry.predicted:
            return False
        taken_by = router.shard_map.range_of(ShardId(result.shard_id or ""))
        return taken_by is not None and not taken_by.contains(entry.outer_hash_key)

    def _carry_out(self, action: Action, answer: Answer, left: Entry, now: float) -> None:
        result, stock = answer.result, self._stock
        match action:
            case Action.DELIVER:
                stock.ledger.took(left)
                stock.log.delivered(left, result)
            case Action.HOLD:
                stock.waiting.hold(answer)
            case Action.REROUTE | Action.SEND_ALONE:
                stock.again(left, now, alone=action is Action.SEND_ALONE)
            case Action.REJECT:
                stock.router.facts.doubt_limit(answer.sent_at, now)
                stock.reject(answer.of.entry, left, DropReason.REJECTED, in_words(result), now)
            case Action.SLOW_DOWN if self._fails_if_throttled:
                stock.drop(left.contents, DropReason.THROTTLED, in_words(result), now)
            case Action.RETRY if left is answer.of.entry:
                left.failures += 1
                wait = ENTRY_BACKOFF[Kind.TRANSIENT].delay(left.failures, self._jitter())
                stock.waiting.back_off(left, now + wait)
            case _:
                stock.queue_remainder(answer.of, now)

"""What follows when a PutRecords call fails as a whole.

Law: what it carried is sent again at once, split to find the one bad entry, kept for
later or given up, by the kind of the failure; each entry one of these, and once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from kinesink.core.records import DropReason, UserRecord
from kinesink.core.reports import KEPT, in_words
from kinesink.core.retry_policy import (
    FAILURES_BEFORE_PROBING,
    OWN_ERROR,
    Kind,
    can_resend_at_once,
    classify_request,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kinesink.core.calls import Remainder
    from kinesink.core.collector import PutRecordsRequest
    from kinesink.core.options import PipelineOptions
    from kinesink.core.records import Content, Failure
    from kinesink.core.reports import Reports
    from kinesink.core.stock import Stock

#: Failures that somebody must know of at the first; others may pass by themselves.
_TELL_AT_ONCE: Final = frozenset({Kind.PERMANENT, Kind.CREDENTIALS, Kind.CLOCK})


class FailedCalls:
    """Decides what becomes of the entries of failed calls."""

    def __init__(
        self,
        options: PipelineOptions,
        stock: Stock,
        reports: Reports,
        jitter: Callable[[], float],
    ) -> None:
        self._options = options
        self._stock = stock
        self._reports = reports
        self._jitter = jitter

    def settle(
        self, request: PutRecordsRequest, carried: list[Remainder], failure: Failure, now: float
    ) -> None:
        """Take the failure of a call that has ended."""
        calls, limiter = self._stock.calls, self._stock.limiter
        kind = classify_request(failure.code, failure.message)
        if can_resend_at_once(failure.code, kind) and not request.resent:
            request.resent = kind
            self._repeat(carried, [request], now)
            return
        if kind is Kind.BAD_ENTRY and self._search(request, carried, failure, now):
            return
        if kind is Kind.BAD_ENTRY or (kind is Kind.CLOCK and request.resent is kind):
            kind = Kind.PERMANENT
        calls.failed(kind, failure, request.sent_at, now, self._jitter())
        if kind is Kind.THROTTLED:
            self._stock.ledger.throttled += len(carried)
            limiter.all_throttled(request.sent_at, now, self._jitter())
        if kind in _TELL_AT_ONCE or calls.failures >= FAILURES_BEFORE_PROBING:
            self._reports.failed("PutRecords", failure, KEPT)
        for of in reversed(carried):
            self._keep_or_fail(of, kind, in_words(failure), now)

    def _search(
        self, request: PutRecordsRequest, carried: list[Remainder], failure: Failure, now: float
    ) -> bool:
        """Look for the one bad entry of a refused request; False when there is none."""
        calls = self._stock.calls
        if calls.refused_throughout:
            return False
        if len(carried) > 1:
            self._repeat(carried, request.halves(), now)
            return True
        ours = failure.code == OWN_ERROR
        if calls.ever_succeeded or ours:
            if not ours:  # Who made it has told already.
                consequence = "one record is given up, its neighbours are sent"
                self._reports.failed("PutRecords", failure, consequence)
            entry, left = carried[0]
            if left is not None:
                reason = DropReason.INTERNAL if ours else DropReason.REJECTED
                self._stock.reject(entry, left, reason, in_words(failure), now)
            return True
        # Nothing ever worked and a sound record fails: it is not the record.
        calls.refused_throughout = True
        for waiting in reversed(calls.withdraw(math.inf)):
            self._stock.queue_again(waiting, now)
        return False

    def _repeat(
        self, carried: list[Remainder], requests: Iterable[PutRecordsRequest], now: float
    ) -> None:
        """Send requests that hold what a call has carried, unless some of it has expired."""
        if all(of.left is of.entry for of in carried):
            self._stock.calls.send_again(*requests)
            return
        for of in reversed(carried):
            self._stock.queue_remainder(of, now)

    def _keep_or_fail(self, of: Remainder, kind: Kind, error: str, now: float) -> None:
        left = of.left
        if left is None:
            return
        if kind is Kind.THROTTLED and self._options.fail_if_throttled:
            self._stock.drop(left.contents, DropReason.THROTTLED, error, now)
        elif kind is Kind.PERMANENT and left.ticketed:
            # Who waits for a result learns at once; what nobody waits for is kept.
            waited_for = [content for content in left.contents if _is_waited_for(content)]
            kept = [content for content in left.contents if not _is_waited_for(content)]
            self._stock.drop(waited_for, DropReason.REJECTED, error, now)
            self._stock.ledger.retried += sum(map(len, kept))
            self._stock.admit(kept, now)
        else:
            self._stock.queue_remainder(of, now)


def _is_waited_for(content: Content) -> bool:
    return isinstance(content, UserRecord) and content.ticket is not None

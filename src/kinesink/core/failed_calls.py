"""What follows when a PutRecords call fails as a whole.

Law: what it carried is sent again at once, split to find the one bad entry, kept for
later or given up, by the kind of the failure; each entry one of these, and once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinesink.core.records import DropReason, is_waited_for
from kinesink.core.reports import KEPT, in_words
from kinesink.core.retry_policy import (
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
    from kinesink.core.records import Failure
    from kinesink.core.reports import Reports
    from kinesink.core.stock import Stock

#: From so many entries on that were refused one by one before anything worked, it is not
#: the entries; who waits for a result then learns at once.
_ENOUGH_REFUSED: Final = 8

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
        kind = classify_request(failure.code, failure.message)
        calls = self._stock.calls
        whole = all(of.left is of.entry for of in carried)
        # What is taken apart loses its mark of having been sent again: that counts as a
        # failure, or a request of which a part expires each time would go for ever.
        at_once = not request.resent and (whole or not calls.failures)
        if at_once and can_resend_at_once(failure.code, kind):
            request.resent = kind
            if not whole:
                calls.failed(kind, failure, request.sent_at, now, 0.0)
            self._repeat(carried, [request], now)
            return
        if kind is Kind.BAD_ENTRY:
            if failure.code != OWN_ERROR:
                self._stock.router.facts.doubt_limit(request.sent_at, now)
            self._search(request, carried, failure, now)
            return
        if kind is Kind.CLOCK and request.resent is kind:
            kind = Kind.PERMANENT
        self._back_off(kind, failure, request.sent_at, now)
        if kind is Kind.THROTTLED:
            self._stock.ledger.throttled += len(carried)
            self._stock.limiter.all_throttled(request.sent_at, now, self._jitter())
        for of in reversed(carried):
            self._keep_or_fail(of, kind, in_words(failure), now)

    def _back_off(self, kind: Kind, failure: Failure, sent_at: float, now: float) -> None:
        calls = self._stock.calls
        calls.failed(kind, failure, sent_at, now, self._jitter())
        if kind in _TELL_AT_ONCE or calls.down:
            self._reports.failed("PutRecords", failure, KEPT)

    def _search(
        self, request: PutRecordsRequest, carried: list[Remainder], failure: Failure, now: float
    ) -> None:
        """Look for the one bad entry of a refused request."""
        calls = self._stock.calls
        ours = failure.code == OWN_ERROR
        if len(carried) > 1 and (ours or not calls.refused_throughout):
            self._repeat(carried, request.halves(), now)
        elif len(carried) > 1:
            # It was under way when its like began to be tried one at a time.
            self._back_off(Kind.TRANSIENT, failure, request.sent_at, now)
            for of in reversed(carried):
                self._stock.queue_remainder(of, now)
        elif ours or calls.ever_succeeded:
            self._give_up(carried[0], failure, now)
        else:
            self._try_another(carried[0], failure, request.sent_at, now)

    def _give_up(self, of: Remainder, failure: Failure, now: float) -> None:
        """Drop the entry that was looked for."""
        reason = DropReason.INTERNAL
        if failure.code != OWN_ERROR:  # Of its own errors the client has told already.
            reason = DropReason.REJECTED
            consequence = "one record is given up, its neighbours are sent"
            self._reports.failed("PutRecords", failure, consequence)
        if of.left is not None:
            self._stock.reject(of.entry, of.left, reason, in_words(failure), now)

    def _try_another(self, of: Remainder, failure: Failure, sent_at: float, now: float) -> None:
        """Set an entry aside that was refused before anything worked.

        It may be the entry, or the fault of all of them: the others are tried one at a
        time, and the first that goes through settles it.
        """
        calls = self._stock.calls
        calls.refused_throughout = True
        for waiting in reversed(calls.withdraw(lambda _: True)):
            self._stock.queue_again(waiting, now)
        if of.left is not None and of.entry.shared and of.left.ticketed:
            # One of many may be at fault, and the others are not to be told so.
            self._back_off(Kind.TRANSIENT, failure, sent_at, now)
            self._stock.again(of.left, now, alone=True)
            return
        calls.refused_alone += not of.entry.failures
        of.entry.failures += 1
        enough = calls.refused_alone >= _ENOUGH_REFUSED
        self._back_off(Kind.PERMANENT if enough else Kind.TRANSIENT, failure, sent_at, now)
        if enough:
            self._stock.fail_waited_for(DropReason.REJECTED, in_words(failure), now)
        if of.left is of.entry and not of.entry.ticketed:
            self._stock.waiting.set_aside(of.entry)
        else:
            self._keep_or_fail(of, Kind.PERMANENT, in_words(failure), now)

    def _repeat(
        self, carried: list[Remainder], requests: Iterable[PutRecordsRequest], now: float
    ) -> None:
        """Send requests that hold what a call has carried, less what has expired in part."""
        changed = {of.entry for of in carried if of.left is not of.entry}
        for request in requests:
            kept = request.without(changed)
            if kept is not None:
                self._stock.calls.send_again(kept)
        for of in reversed(carried):
            if of.entry in changed:
                self._stock.queue_remainder(of, now)

    def _keep_or_fail(self, of: Remainder, kind: Kind, error: str, now: float) -> None:
        left = of.left
        if left is None:
            return
        if kind is Kind.THROTTLED and self._options.fail_if_throttled:
            self._stock.drop(left.contents, DropReason.THROTTLED, error, now)
        elif kind is Kind.PERMANENT and left.ticketed:
            # Who waits for a result learns at once; what nobody waits for is kept.
            waited_for = [content for content in left.contents if is_waited_for(content)]
            kept = [content for content in left.contents if not is_waited_for(content)]
            self._stock.drop(waited_for, DropReason.REJECTED, error, now)
            self._stock.ledger.retried += sum(map(len, kept))
            self._stock.admit(kept, now)
        else:
            self._stock.queue_remainder(of, now)

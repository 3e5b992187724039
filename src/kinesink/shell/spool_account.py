"""The account of events that are on disk and not in memory, and which ends are for good.

Law: whoever reads it adds what callers have parked by then: that is counted where it happens,
and the rest when the task settles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinesink.core.records import DropReason
from kinesink.core.retry_policy import Kind, classify_request
from kinesink.shell.tally import Count
from kinesink.statistics import Statistics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinesink.core.records import RecordResult
    from kinesink.shell.spool_rows import Rows

#: Why events go to disk rather than being given up.
RESCUED: Final = frozenset({DropReason.EXPIRED, DropReason.SHUTDOWN})

#: Why an event that is on disk is given up all the same.
_FOR_GOOD: Final = frozenset({
    DropReason.TOO_LARGE, DropReason.INVALID, DropReason.INTERNAL, DropReason.THROTTLED,
})  # fmt: skip


def is_final(result: RecordResult, *, works: bool) -> bool:
    """Tell whether a failure is the end of an event that is on disk.

    It is also if Kinesis rejects the event for what it is, and not for what the stream is.

    :param works: whether anything was taken; until then it may not be the event.
    """
    if result.reason in _FOR_GOOD:
        return True
    if result.reason is not DropReason.REJECTED or not result.attempts or not works:
        return False
    last = result.attempts[-1]
    return classify_request(last.error_code or "", last.error_message or "") is Kind.BAD_ENTRY


class SpoolAccount:
    """How many events are on disk, on their way there, and given up there.

    :meth:`parked_by_callers.add` may be called from any thread, all else by the task.
    """

    def __init__(self) -> None:
        #: Events that callers have parked, since the beginning.
        self.parked_by_callers = Count()
        #: Events that wait to be saved.
        self.saving = 0
        #: What files had that are gone, as :attr:`Rows.moved` counts.
        self.of_gone_files = 0
        self._lost: dict[DropReason, int] = {}
        #: The account as it was published last, and as it was when the task began.
        self._published: tuple[int, dict[DropReason, int]] = (0, {})
        self._before = self._published

    def begin(self) -> None:
        """Count for another task; what was published is in the account that it adds to."""
        self._before = self._published

    def lose(self, reason: DropReason, events: int) -> None:
        """Count events as given up; they are counted out of where they were by the caller."""
        self._lost[reason] = self._lost.get(reason, 0) + events

    def moved(self, files: Iterable[Rows]) -> int:
        """Return how many there are, less those that callers have parked."""
        return self.of_gone_files + self.saving + sum(rows.moved for rows in files)

    def settle(self, files: Iterable[Rows]) -> Statistics:
        """Return the account since :meth:`begin`, less what callers have parked."""
        self._published = self.moved(files), dict(self._lost)
        moved, lost = self._published
        moved_before, lost_before = self._before
        grown = moved - moved_before
        dropped = {
            reason: events - lost_before.get(reason, 0)
            for reason, events in lost.items()
            if events > lost_before.get(reason, 0)
        }
        return Statistics(
            accepted=grown + sum(dropped.values()), pending=grown, spooled=grown, dropped=dropped
        )

"""The history of the records somebody waits for, and what they are told in the end.

Law: a record gets one attempt per PutRecords call that carried it, at most one
expiry, and exactly one result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinesink.core.effects import Delivered, Dropped
from kinesink.core.records import (
    ATTEMPTS_KEPT,
    Attempt,
    DropReason,
    RecordResult,
    UserRecord,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinesink.core.effects import Effect
    from kinesink.core.entry import Entry
    from kinesink.core.records import Content, EntryResult, Failure


class AttemptLog:
    """Writes attempts to records, and their results to the effects.

    Entries nobody waits for cost one test.
    """

    def __init__(self, effects: list[Effect]) -> None:
        self._effects = effects

    def attempted(
        self, entry: Entry, result: EntryResult, *, started: float, duration: float
    ) -> None:
        """Write down what Kinesis answered to an entry."""
        if entry.ticketed:
            _append(entry.contents, Attempt(
                started, duration, success=result.success, shard_id=result.shard_id,
                error_code=result.error_code, error_message=result.error_message,
            ))  # fmt: skip

    def failed(self, entry: Entry, failure: Failure, *, started: float, duration: float) -> None:
        """Write down a call that failed as a whole."""
        if entry.ticketed:
            self.unanswered(entry.contents, failure, started=started, duration=duration)

    def unanswered(
        self, contents: Iterable[Content], failure: Failure, *, started: float, duration: float
    ) -> None:
        """Write down that contents got no answer of their own."""
        _append(contents, Attempt(
            started, duration, success=False,
            error_code=failure.code, error_message=failure.message,
        ))  # fmt: skip

    def delivered(self, entry: Entry, result: EntryResult) -> None:
        """Tell those who wait that their records have arrived."""
        if not entry.ticketed:
            return
        for record in _waited_for(entry.contents):
            self._effects.append(Delivered(record, RecordResult(
                success=True, shard_id=result.shard_id,
                sequence_number=result.sequence_number, attempts=tuple(record.attempts),
            )))  # fmt: skip

    def dropped(
        self, contents: Iterable[Content], reason: DropReason, error: str, *, at: float
    ) -> None:
        """Tell that contents were given up, at ``at`` seconds since the epoch."""
        unwatched: list[Content] = []
        for content in contents:
            if not isinstance(content, UserRecord) or content.ticket is None:
                unwatched.append(content)
                continue
            if reason is DropReason.EXPIRED:
                _remember(content, Attempt(
                    at, 0.0, success=False, error_code="Expired", error_message=error,
                ))  # fmt: skip
            result = RecordResult(
                success=False, shard_id=None, sequence_number=None,
                attempts=tuple(content.attempts), reason=reason, error=error,
            )  # fmt: skip
            self._effects.append(Dropped([content], reason, error, result))
        if unwatched:
            self._effects.append(Dropped(unwatched, reason, error))


def _append(contents: Iterable[Content], attempt: Attempt) -> None:
    for record in _waited_for(contents):
        _remember(record, attempt)


def _remember(record: UserRecord, attempt: Attempt) -> None:
    record.attempts.append(attempt)
    del record.attempts[:-ATTEMPTS_KEPT]


def _waited_for(contents: Iterable[Content]) -> list[UserRecord]:
    return [
        content
        for content in contents
        if isinstance(content, UserRecord) and content.ticket is not None
    ]

"""One file of the spool, and which of its events are in memory as well.

Law: an event in a file is parked there, in memory as well, or done, and in one of these at any
moment. Only what is parked is in the account of the spool, and only that may be brought back
or evicted.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final

from kinesink.shell.arrivals import new_record
from kinesink.shell.tally import Count

if TYPE_CHECKING:
    from kinesink.core.records import RecordResult, Ticket, UserRecord
    from kinesink.shell.spooler import Spooler
    from kinesink.spool.event import SpooledEvent
    from kinesink.spool.file import SpoolFile


class Rows:
    """What is known of the events in one file.

    :meth:`keep` and :meth:`park` may be called from any thread and signal handler, :meth:`scan`
    by one thread that works for the producer's task, all else by the task.
    """

    def __init__(self, file: SpoolFile, parked: int = 0) -> None:
        self.file = file
        #: No row up to this one is parked, unless :meth:`scan` finds none behind it.
        self.after = 0
        self.in_memory: set[int] = set()
        #: Rows of events that Kinesis has, or that were given up for good.
        self.done: list[int] = []
        #: Events that the task has parked, less those that it has taken away.
        self.moved = parked
        #: Events that callers have parked.
        self._by_callers = Count()
        #: Their rows, until the task looks.
        self._returned: deque[int] = deque()
        #: The newest row that a call of keep has come back with, and what that was when each
        #: call began that is under way. A row of such a call is newer, and may be neither
        #: parked nor in memory yet.
        self._newest = 0
        self._keeping: dict[object, int] = {}

    @property
    def parked(self) -> int:
        """How many events are in the file and not in memory."""
        return self.moved + self._by_callers.value

    # -- from any thread -------------------------------------------------------

    def keep(
        self, data: bytes, key: str | None, hash_key: int | None, level: int | None, at: float
    ) -> int:
        """Save an event that is in memory, and return its row.

        :raises SpoolUnavailableError: it was not saved.
        """
        call = object()
        self._keeping[call] = self._newest
        try:
            row = self.file.append_one(data, key, hash_key, level, at)
            self.in_memory.add(row)
            self._newest = row
        finally:
            del self._keeping[call]
        return row

    def park(self, row: int) -> None:
        """Leave an event on disk, because memory has no room for it."""
        self._by_callers.add()
        self.in_memory.discard(row)
        self._returned.append(row)

    # -- in a thread that works for the task -----------------------------------

    def scan(
        self, limit: int, max_bytes: float = math.inf, after: int | None = None
    ) -> list[tuple[int, SpooledEvent]]:
        """Return the oldest events that are parked; less than there are, or none by mistake.

        :param after: begin behind this row rather than behind :attr:`after`.
        :raises SpoolUnavailableError: the file cannot be read.
        """
        begin = self.after if after is None else after
        return self._scan(begin, limit, max_bytes) or (
            self._scan(0, limit, max_bytes) if begin else []
        )

    def _scan(self, after: int, limit: int, max_bytes: float) -> list[tuple[int, SpooledEvent]]:
        while page := self.file.read(limit, after, max_bytes):
            after = page[-1][0]
            parked = self._parked_of(page)
            if parked:
                return parked
        return []

    def _parked_of(self, page: list[tuple[int, SpooledEvent]]) -> list[tuple[int, SpooledEvent]]:
        # In this order, which is that in which events go from one to the next.
        settled = min(list(self._keeping.values()), default=math.inf)
        elsewhere = self.in_memory.copy()
        elsewhere.update(self.done)
        return [found for found in page if found[0] <= settled and found[0] not in elsewhere]

    # -- the task --------------------------------------------------------------

    def look(self) -> int:
        """Return where to begin to look for what is parked."""
        while self._returned:
            self.after = min(self.after, self._returned.popleft() - 1)
        return self.after

    def take(
        self, found: list[tuple[int, SpooledEvent]], begun: int
    ) -> list[tuple[int, SpooledEvent]]:
        """Take into memory what was found to be parked.

        :param begun: what :meth:`look` had returned; what was parked again since is behind it
            otherwise.
        """
        self.in_memory.update(row for row, _ in found)
        self.moved -= len(found)
        if found and self.look() == begun:
            self.after = found[-1][0]
        return found

    def end(self, row: int) -> None:
        """Have the row of an event removed that was in memory."""
        # In this order: who looks meanwhile takes it for parked in no moment.
        self.done.append(row)
        self.in_memory.discard(row)

    def put_back(self, row: int) -> None:
        """Leave an event on disk that was in memory as well."""
        self.moved += 1
        self.in_memory.discard(row)
        self.after = min(self.after, row - 1)

    def take_done(self) -> list[int]:
        """Return the rows to be removed, and forget them."""
        done, self.done = self.done, []
        return done


class SpoolTicket:
    """An event in memory that is on disk as well."""

    __slots__ = ("_spooler", "data", "hash_key", "key", "row", "rows")

    #: Nobody waits for it in the sense that it could fail.
    patient: Final = True

    def __init__(  # noqa: PLR0913, PLR0917 - where it is, and what it is
        self,
        spooler: Spooler,
        rows: Rows,
        row: int,
        data: bytes,
        key: str | None,
        hash_key: int | None,
    ) -> None:
        self._spooler = spooler
        self.rows = rows
        self.row = row
        self.data = data
        self.key = key
        self.hash_key = hash_key

    def record(self, now: float, ticket: Ticket | None = None) -> UserRecord:
        """Return it as a record that has come in at ``now``."""
        return new_record(self.data, self.key, self.hash_key, now, ticket)

    def resolve(self, result: RecordResult) -> None:
        """Take what became of it."""
        self._spooler.ended(self, result)

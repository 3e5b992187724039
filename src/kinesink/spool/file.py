"""One file of events, and its one owner.

Law: every statement commits by itself, and no transaction is open between two of them. So a log
call of a signal handler or a finalizer, which interrupts another call in here, finds a
database it can write to, and what it wrote stays whatever becomes of the call it
interrupted. The lock is re-entrant for the same reason: it keeps threads out, not ourselves.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from contextlib import closing, contextmanager, suppress
from itertools import accumulate, chain, count, islice
from threading import RLock
from typing import TYPE_CHECKING, Final

from kinesink.spool import database, lock, names, rows
from kinesink.spool.errors import ERRORS, SpoolUnavailableError, Trouble, trouble_of
from kinesink.spool.event import Evicted, size_of
from kinesink.spool.forks import forks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from kinesink.spool.event import SpooledEvent

#: Seconds that a call waits for another thread. The holder writes for microseconds and removes for
#: milliseconds; this is for one who forks and waits for a lock that our caller holds.
_PATIENCE: Final = 1.0

#: Bytes that have to be removed before an empty file is worth being made small again.
_WORTH_SHRINKING: Final = 4 * 1024 * 1024


class Budget:
    """How much all files of one owner may hold together."""

    def __init__(self, max_bytes: int) -> None:
        #: Bytes, as :func:`~kinesink.spool.event.size_of` counts them.
        self.max_bytes = max_bytes
        #: What each file holds. Assigned and summed up in C, hence from any thread.
        self.held: dict[int, int] = {}

    def has_room(self, size: int) -> bool:
        """Tell whether ``size`` bytes more would be within the bound."""
        return sum(self.held.values()) + size <= self.max_bytes


class SpoolFile:
    """A file of events that this process owns, from its making or adoption until :meth:`close`.

    Every method may be called from any thread, and raises SpoolUnavailableError and nothing
    else. :meth:`append` and :meth:`append_one` may also be called by signal handlers and
    finalizers, whatever they interrupt. After a fork the file is the parent's: the child's
    calls raise GONE.
    """

    def __init__(
        self, path: Path, lock_descriptor: int, connection: sqlite3.Connection, budget: Budget
    ) -> None:
        """Take over a file; use :class:`~kinesink.spool.directory.SpoolDirectory`."""
        #: Where the database is.
        self.path = path
        self._lock_descriptor = lock_descriptor
        self._connection: sqlite3.Connection | None = connection
        self._budget = budget
        self._owner = os.getpid()
        self._closed = False
        self._lock = RLock()
        #: Whether a call is under way: one that begins then has interrupted it.
        self._busy = False
        self._ids = count(1)
        self._count = self._bytes = self._removed_bytes = 0
        #: Events and bytes that came or went, not yet in the sums. A call that interrupts another
        #: only appends: to add to a sum it might be reading would be to lose one of both.
        self._moved: list[tuple[int, int]] = []
        forks.watch(self)

    # -- what it holds ---------------------------------------------------------

    @property
    def held_events(self) -> int:
        """How many events it holds, exact while no call is under way."""
        return self._count + sum([events for events, _ in self._moved])

    @property
    def held_bytes(self) -> int:
        """What they count for, by :func:`~kinesink.spool.event.size_of`."""
        return self._bytes + sum([size for _, size in self._moved])

    @property
    def closed(self) -> bool:
        """Whether it has been given up, or set aside as corrupt."""
        return self._closed

    def weigh(self) -> None:
        """Count what is there already: once, after an adoption. Reads the whole file."""
        last = 0
        while True:
            with self._working() as connection:
                found = connection.execute(rows.LOOK, (last, rows.STEP)).fetchall()
                if not found:
                    self._ids = count(last + 1)
                    return
                last = found[-1][0]
                self._moved.append((len(found), sum(size for _, _, size in found)))

    # -- in --------------------------------------------------------------------

    def append_one(
        self,
        data: bytes,
        partition_key: str | None,
        explicit_hash_key: int | None,
        level: int | None,
        at: float,
    ) -> int:
        """Save one event and return its row. When this returns, the event survives the process.

        :param at: seconds of the wall clock since 1970.
        :raises SpoolUnavailableError: it was not saved.
        """
        interrupting = self._enter()
        try:
            size = size_of(data, partition_key)
            if not self._budget.has_room(size):
                raise self._full()
            row_id = next(self._ids)
            row = row_id, at, level, partition_key, rows.packed(explicit_hash_key), data
            (self._connection or self._connect()).execute(rows.INSERT_ONE, row)
            self._moved.append((1, size))
            if not interrupting:
                self._settle()
        except ERRORS as error:
            raise self._failed(error) from error
        finally:
            self._leave(interrupting=interrupting)
        return row_id

    def append(self, events: Sequence[SpooledEvent]) -> list[int]:
        """Save events and return their rows, in order.

        :raises SpoolUnavailableError: not all were saved; ``saved`` has the rows of those that
            were, which are the first.
        """
        saved: list[int] = []
        try:
            for start in range(0, len(events), rows.ROWS_AT_ONCE):
                saved += self._insert(events[start : start + rows.ROWS_AT_ONCE])
        except SpoolUnavailableError as error:
            error.saved = saved
            raise
        return saved

    def _insert(self, events: Sequence[SpooledEvent]) -> list[int]:
        with self._working() as connection:
            size = sum([size_of(event.data, event.partition_key) for event in events])
            if not self._budget.has_room(size):
                raise self._full()
            ids = list(islice(self._ids, len(events)))
            values = chain.from_iterable(map(rows.row_of, ids, events))
            connection.execute(rows.insertion(len(events)), list(values))
            self._moved.append((len(events), size))
        return ids

    def _full(self) -> SpoolUnavailableError:
        return SpoolUnavailableError(Trouble.FULL, self.path, "its bound is reached")

    # -- out -------------------------------------------------------------------

    def read(
        self, limit: int, after: int = 0, max_bytes: float = float("inf")
    ) -> list[tuple[int, SpooledEvent]]:
        """Return the oldest events behind the row ``after``, with their rows; they stay.

        :param limit: how many at most.
        :param max_bytes: no more are read when they have so many bytes of data: the last one
            may exceed it.
        """
        found: list[tuple[int, SpooledEvent]] = []
        with self._working() as connection, closing(connection.cursor()) as cursor:
            for row in cursor.execute(rows.READ, (after, limit)):
                event = rows.event_of(row)
                found.append((row[0], event))
                max_bytes -= len(event.data)
                if max_bytes <= 0:
                    break
        return found

    def delete(self, ids: Collection[int]) -> None:
        """Remove the rows of events that are elsewhere now; those that are gone do not matter."""
        for first, last in rows.runs_of(ids):
            with self._working() as connection:
                self._remove(connection, first, last)
        if not self.held_events and self._removed_bytes > _WORTH_SHRINKING:
            self._shrink()

    def evict(self, to_bytes: int, after: int = 0) -> Evicted:
        """Remove the oldest events until no more than ``to_bytes`` are left of what is there now.

        :param after: the rows up to this one are spared: they are on their way.
        :raises SpoolUnavailableError: nothing could be removed.
        """
        by_level: Counter[int | None] = Counter()
        evicted_bytes = 0
        # Once: whoever appends meanwhile does not keep this from ending.
        excess = self.held_bytes - to_bytes
        while evicted_bytes < excess:
            try:
                levels, size = self._evict_some(excess - evicted_bytes, after)
            except SpoolUnavailableError:
                if not by_level:
                    raise
                break
            if not levels:
                break
            by_level.update(levels)
            evicted_bytes += size
        return Evicted(by_level.total(), evicted_bytes, dict(by_level))

    def _evict_some(self, excess: int, after: int) -> tuple[list[int | None], int]:
        with self._working() as connection:
            found = connection.execute(rows.LOOK, (after, rows.STEP)).fetchall()
            sizes = accumulate(size for _, _, size in found)
            # One more than those that are not enough.
            found = found[: 1 + sum(1 for size in sizes if size < excess)]
            if not found:
                return [], 0
            size = self._remove(connection, found[0][0], found[-1][0])
        return [level for _, level, _ in found], size

    def oldest_at(self, after: int = 0) -> float | None:
        """Return when the oldest event behind the row ``after`` was accepted; None without one.

        In seconds of the wall clock since 1970.
        """
        with self._working() as connection:
            found = connection.execute(rows.AGE, (after,)).fetchall()
        return found[0][0] if found else None

    def _remove(self, connection: sqlite3.Connection, first: int, last: int) -> int:
        size: int
        events, size = connection.execute(rows.WEIGH, (first, last)).fetchone()
        connection.execute(rows.REMOVE, (first, last))
        self._moved.append((-events, -size))
        self._removed_bytes += size
        return size

    def _shrink(self) -> None:
        # The pages of removed rows are used again, and never given back before.
        with self._working() as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._removed_bytes = 0

    # -- the end ---------------------------------------------------------------

    def close(self, *, remove_if_empty: bool = True) -> None:
        """Give the file up: the next process that looks adopts it, unless it is empty.

        Never raises, and does nothing the second time or in a forked child.

        :param remove_if_empty: whether an empty file disappears.
        """
        if self.closed or self._owner != os.getpid():
            return
        empty = False
        with suppress(SpoolUnavailableError), self._working() as connection:
            # Not by the count, which an exception of a signal handler may have come before.
            empty = connection.execute("SELECT id FROM events LIMIT 1").fetchone() is None
        with self._lock:
            # It may have turned out to be corrupt.
            if not self.closed:
                self._disconnect()
                if empty and remove_if_empty:
                    names.remove(self.path)
                self._let_go()

    def _let_go(self) -> None:
        self._closed = True
        forks.forget(self)
        self._budget.held.pop(id(self), None)
        lock.release(self._lock_descriptor, names.lock_of(self.path))

    # -- who is in it ----------------------------------------------------------

    def _enter(self) -> bool:
        """Keep other threads out; return whether this call interrupts another of this thread."""
        # First, because after a fork without hooks the lock may be held by nobody.
        if self._owner != os.getpid():
            raise SpoolUnavailableError(Trouble.GONE, self.path, "it belongs to another process")
        if not self._lock.acquire(timeout=_PATIENCE):
            raise SpoolUnavailableError(Trouble.BUSY, self.path, f"busy for {_PATIENCE:g} s")
        if self._closed:
            self._lock.release()
            raise SpoolUnavailableError(Trouble.GONE, self.path, "it is closed")
        # Not counted up and down: whatever interrupts this line has ended before it goes on.
        interrupting, self._busy = self._busy, True
        return interrupting

    def _leave(self, *, interrupting: bool) -> None:
        self._busy = interrupting
        self._lock.release()

    @contextmanager
    def _working(self) -> Iterator[sqlite3.Connection]:
        """Enter with the connection, and leave; what fails inside is ours when it comes out."""
        interrupting = self._enter()
        try:
            yield self._connection or self._connect()
            if not interrupting:
                self._settle()
        except ERRORS as error:
            raise self._failed(error) from error
        finally:
            self._leave(interrupting=interrupting)

    def _failed(self, error: Exception) -> SpoolUnavailableError:
        trouble = trouble_of(error)
        if trouble is Trouble.CORRUPT:
            self._disconnect()
            aside = names.put_aside(self.path)
            self._let_go()
            return SpoolUnavailableError(trouble, aside, error)
        if trouble is Trouble.DISK and self._connection is not None:
            # Perhaps there is no room for the log where there would be some in the database.
            with suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if trouble is Trouble.REFUSED and self._connection is None:
            # A fork, or a close, has interrupted this call.
            trouble = Trouble.GONE
        return SpoolUnavailableError(trouble, self.path, error)

    def _settle(self) -> None:
        while self._moved:
            events, size = self._moved.pop()
            self._count += events
            self._bytes += size
        if not self._closed:
            self._budget.held[id(self)] = self._bytes

    def _connect(self) -> sqlite3.Connection:
        self._connection = database.connect(self.path)
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            database.disconnect(connection)

    # -- fork ------------------------------------------------------------------

    def pause(self) -> None:
        """Let nobody in, and close the connection: the process is about to fork."""
        self._lock.acquire()
        self._disconnect()

    def resume(self) -> None:
        """Let everybody in again; the next call opens the file anew."""
        self._lock.release()

    def abandon(self) -> None:
        """Let go of the copy of the lock: this is the child, and the file is the parent's."""
        # Nobody in here will wait for the lock: each call looks first whose file it is.
        if not self._closed:
            os.close(self._lock_descriptor)

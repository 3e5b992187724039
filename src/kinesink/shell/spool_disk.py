"""What the spool does to the disk, in a thread that works for the producer's task.

Law: nothing here raises, whatever is wrong with the disk: each piece of work returns what it
has done, and the trouble is noted for the task to tell. None of it changes an account.
"""

from __future__ import annotations

import math
import time
from collections import deque
from threading import RLock
from typing import TYPE_CHECKING, Final, NamedTuple

from kinesink.shell.spool_rows import Rows
from kinesink.spool.directory import SpoolDirectory
from kinesink.spool.errors import SpoolUnavailableError, Trouble
from kinesink.spool.event import SpooledEvent, size_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kinesink.config import Config
    from kinesink.core.records import Content, DropReason
    from kinesink.spool.directory import Adoption

#: Seconds until the disk is tried again after it has refused.
REST: Final = 30.0

#: Events and bytes that are looked at in one go.
_PAGE: Final = 1000
_PAGE_BYTES: Final = 1024 * 1024

#: Events that are written, or not, in one go.
_PIECE: Final = 500

#: How often a batch is tried again that another file, or more room, may help.
_TRIES: Final = 3

Waiting = tuple["Content", "DropReason | None"]
"""Events to be saved, and why they would be lost otherwise."""


class Evicted(NamedTuple):
    """Events of one file that were removed for want of room."""

    rows: Rows
    events: list[bytes]


class Written(NamedTuple):
    """What came of saving events, or of making room."""

    saved: list[tuple[Rows, int]]
    """How many are in which file."""
    left: list[Waiting]
    """Those that were not saved."""
    evicted: list[Evicted]


class Found(NamedTuple):
    """Events that were read, to be brought back."""

    rows: Rows
    begun: int
    """Where the look for them began, as :meth:`Rows.look` has it."""
    events: list[tuple[int, SpooledEvent]]


class Removed(NamedTuple):
    """What came of removing rows."""

    left: list[tuple[Rows, list[int]]]
    """Those that could not be removed."""
    emptied: list[Rows]
    """Files that had nothing left, and are gone."""


class SpoolDisk:
    """The files of one sink. :meth:`open` may be called from any thread, too."""

    def __init__(self, config: Config) -> None:
        assert config.spool_path is not None  # noqa: S101 - who has none makes no spool
        self._max_bytes = config.spool_max_bytes
        self._directory = SpoolDirectory(
            config.spool_path, config.stream_name, config.spool_max_bytes
        )
        #: The files in use. Changed by operations in C, for any thread may add its own.
        self.files: list[Rows] = []
        self._own: Rows | None = None
        #: Re-entrant, because a signal handler may log in the middle of it.
        self._opening = RLock()
        self._rests_until = -math.inf
        #: What was wrong, until the task has told it.
        self.troubles: deque[str] = deque(maxlen=10)
        #: Whether something found no room.
        self.full = False

    @property
    def rests(self) -> float:
        """Seconds until the disk may be tried; none or less if it may be now."""
        return self._rests_until - time.monotonic()

    def fill(self) -> float:
        """Return the share of the bound that is taken."""
        return sum(self._directory.budget.held.values()) / self._max_bytes

    def own(self) -> Rows:
        """Return the file that this process writes to, a new one if need be.

        :raises SpoolUnavailableError: there can be none.
        """
        rows = self._own
        if rows is not None and not rows.file.closed:
            return rows
        with self._opening:
            rows = self._own
            if rows is None or rows.file.closed:
                rows = Rows(self._directory.open())
                self.files.append(rows)
                self._own = rows
            return rows

    def refused(self, error: SpoolUnavailableError) -> None:
        """Take note of trouble, and leave the disk alone if it may last."""
        if error.trouble is Trouble.FULL:
            # Room will be made, and what that costs is told.
            self.full = True
            return
        self.troubles.append(str(error))
        if error.trouble in {Trouble.DISK, Trouble.BUSY}:
            self.rest()

    def rest(self) -> None:
        """Leave the disk alone for a while."""
        self._rests_until = time.monotonic() + REST

    # -- in --------------------------------------------------------------------

    def write(self, batch: list[Waiting], offset: float) -> Written:
        """Save events, and remove older ones if there is no room for them.

        :param offset: seconds to add to their arrival for the time since the epoch.
        """
        written = Written([], [], [])
        left = batch
        for _ in range(_TRIES):
            events = [event for of, _ in left for event in _events(of, offset)]
            saved, error = self._save(events, written)
            left = _without(left, saved)
            if error is None or error.trouble in {Trouble.DISK, Trouble.BUSY, Trouble.REFUSED}:
                break
        return written._replace(left=left)

    def _save(
        self, events: list[SpooledEvent], written: Written
    ) -> tuple[int, SpoolUnavailableError | None]:
        """Save events; return how many of them, and why not all."""
        rows = None
        saved: Sequence[int] = ()
        failed = None
        try:
            rows = self.own()
            needed = sum(size_of(event.data, event.partition_key) for event in events)
            if not self._directory.budget.has_room(needed):
                self._evict(needed, written.evicted)
            saved = rows.file.append(events)
        except SpoolUnavailableError as error:
            self.refused(error)
            failed, saved = error, error.saved
        if rows is not None and saved:
            written.saved.append((rows, len(saved)))
        return len(saved), failed

    def make_room(self, share: float, most: int) -> Written:
        """Remove the oldest events until no more than a share of the bound is taken.

        :param most: bytes that are removed at most.
        """
        written = Written([], [], [])
        excess = int((self.fill() - share) * self._max_bytes)
        try:
            self._evict(min(most, excess), written.evicted)
        except SpoolUnavailableError as error:
            self.refused(error)
        return written

    def _evict(self, size: int, evicted: list[Evicted]) -> None:
        """Remove the oldest events that are nowhere else, one file after the other."""
        begins = {
            rows: rows.after
            for rows in list(self.files)
            if rows.parked > 0 and not rows.file.closed
        }
        while size > 0 and (rows := _oldest(begins)) is not None:
            found = rows.scan(_PAGE, min(size, _PAGE_BYTES), begins[rows])
            if not found:
                del begins[rows]
                continue
            rows.file.delete([row for row, _ in found])
            begins[rows] = found[-1][0]
            evicted.append(Evicted(rows, [event.data for _, event in found]))
            size -= sum(size_of(event.data, event.partition_key) for _, event in found)

    # -- out -------------------------------------------------------------------

    def read(self, begins: dict[Rows, int], limit: int) -> Found | None:
        """Read the oldest events that are in one of some files, and nowhere else.

        :param begins: where to begin in each.
        """
        try:
            while (rows := _oldest(begins)) is not None:
                begun = begins.pop(rows)
                if found := rows.scan(limit, _PAGE_BYTES, begun):
                    return Found(rows, begun, found)
        except SpoolUnavailableError as error:
            self.refused(error)
        return None

    def remove(self, done: list[tuple[Rows, list[int]]]) -> Removed:
        """Remove rows, and the files of others that are empty then."""
        removed = Removed([], [])
        for rows, ids in done:
            try:
                rows.file.delete(ids)
            except SpoolUnavailableError as error:
                self.refused(error)
                removed.left.append((rows, ids))
                continue
            if rows is not self._own and not rows.file.held_events:
                rows.file.close()
                removed.emptied.append(rows)
        return removed

    def adopt(self) -> Adoption | None:
        """Take over the files of dead processes."""
        try:
            return self._directory.adopt()
        except SpoolUnavailableError as error:
            self.refused(error)
            return None


def pieces(content: Content) -> Iterable[Content]:
    """Return events as contents of which each is few enough to be written at once."""
    return (
        content.part(begin, min(begin + _PIECE, len(content)))
        for begin in range(0, len(content), _PIECE)
    )


def _oldest(begins: dict[Rows, int]) -> Rows | None:
    """Return the file that has the oldest event."""
    ages = {rows: rows.file.oldest_at(begin) for rows, begin in begins.items()}

    def age(rows: Rows) -> float:
        at = ages[rows]
        # One that seems to have none comes last: the look into it begins anew.
        return math.inf if at is None else at

    return min(ages, key=age, default=None)


def _without(batch: list[Waiting], saved: int) -> list[Waiting]:
    """Return what is left of events when so many of the first are saved."""
    left: list[Waiting] = []
    for content, reason in batch:
        kept = min(saved, len(content))
        saved -= kept
        if not kept:
            left.append((content, reason))
        elif kept < len(content):
            left.append((content.part(kept, len(content)), reason))
    return left


def _events(content: Content, offset: float) -> Iterator[SpooledEvent]:
    at = content.arrival + offset
    if content.keyless:
        return (SpooledEvent(data, None, None, None, at) for data in content.each())
    return (
        SpooledEvent(data, keys.partition_key, keys.explicit_hash_key, None, at)
        for data, keys in zip(content.each(), content.each_keys(), strict=True)
    )

"""Events on disk: what memory cannot hold, what does not arrive in time, what is left at the end.

Law: an event is in the account of the pipeline or in this one, never in both and never in
neither. Its row on disk stays until Kinesis has acknowledged it, or it was given up for
good. Whatever is wrong with the disk, events go the way they would without a spool.

Nothing here waits: what touches the disk is a :class:`Job`, which the producer's task has
done in a thread, one at a time. The exceptions are :meth:`Spooler.keep`, which is what
``spool_mode="always"`` asks for, and the end.
"""

from __future__ import annotations

import math
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from kinesink.core.records import Chunk, DropReason
from kinesink.shell.spool_account import SpoolAccount, is_final
from kinesink.shell.spool_disk import REST, Removed, SpoolDisk, Written, pieces
from kinesink.shell.spool_job import Job
from kinesink.shell.spool_rows import Rows, SpoolTicket
from kinesink.spool.errors import SpoolUnavailableError, Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from kinesink.config import Config
    from kinesink.core.records import Content, RecordResult
    from kinesink.shell.spool_disk import Found, Waiting
    from kinesink.shell.spool_owner import Owner
    from kinesink.spool.directory import Adoption
    from kinesink.statistics import Statistics

#: Seconds between two looks for spools whose process is dead.
ADOPTION_INTERVAL: Final = 60.0

#: Events that go to disk in one job at most, or a piece more.
_SAVED_AT_ONCE: Final = 5000

#: Events that come back in one job at most: while Kinesis takes them, and to try whether it does.
_LOADED_AT_ONCE: Final = 1000
_PROBE: Final = 100

#: Seconds until it is looked again for events that were not where they should be.
_LOOK_AGAIN: Final = 0.1

#: Rows that wait to be removed before it is worth a job, or seconds that they wait: what comes
#: twice when the process is killed.
_REMOVED_AT_ONCE: Final = 1000
_REMOVAL_DELAY: Final = 0.5

#: Events are brought back while no more than this share of memory is taken.
LOAD_SHARE: Final = 0.25

#: From the first share of the bound on room is made on disk, until the second one; so many
#: bytes at once.
_CROWDED: Final = 0.95
_ROOMY: Final = 0.9
_ROOM_AT_ONCE: Final = 4 * 1024 * 1024

#: Seconds that the end waits for what a thread is at.
_PATIENCE: Final = 1.0


class Spooler:
    """The spool of one sink in one process. Makes and touches nothing before the first event.

    :meth:`keep` and :meth:`park` may be called from any thread, all else by the producer's
    task.
    """

    def __init__(self, config: Config) -> None:
        self._disk = SpoolDisk(config)
        self._owner: Owner
        self._account = SpoolAccount()
        #: Events that callers have parked: in no account that is settled, for whoever reads
        #: one adds what this is then.
        self.parked_by_callers = self._account.parked_by_callers
        self._saving: deque[Waiting] = deque()
        self._job: Job[Any] | None = None
        #: Files that were closed with events in them, and those that were set aside.
        self._left: dict[Path, Rows] = {}
        self._unreadable: list[Rows] = []
        self._brings_back = False
        #: Whether Kinesis takes what is brought back, as far as is known.
        self._flows = False
        self._load_at = self._adopt_at = -math.inf
        self._remove_at = math.inf

    # -- from any thread -------------------------------------------------------

    def keep(
        self, data: bytes, key: str | None, hash_key: int | None, level: int | None
    ) -> SpoolTicket | None:
        """Save an event before it goes anywhere else; None if the disk refuses.

        When this returns, it survives the process.
        """
        if self._disk.rests > 0:
            return None
        for _ in range(2):
            try:
                rows = self._disk.own()
                row = rows.keep(data, key, hash_key, level, time.time())
            except SpoolUnavailableError as error:
                if error.trouble is Trouble.GONE:
                    # It has just been closed.
                    continue
                self._disk.refused(error)
                return None
            return SpoolTicket(self, rows, row, data, key, hash_key)
        return None

    def park(self, ticket: SpoolTicket) -> None:
        """Leave an event on disk, because memory has no room for it."""
        # First, so that nobody takes it away before it was counted.
        self.parked_by_callers.add()
        ticket.rows.park(ticket.row)

    # -- the account -----------------------------------------------------------

    def settle(self) -> Statistics:
        """Return the account of what is on disk and not in memory, since :meth:`begin`.

        Without what callers have parked, of which it may have taken away some.
        """
        return self._account.settle(self._files)

    @property
    def parked(self) -> int:
        """How many events are on disk, or on their way to it, and not in memory."""
        return self._account.moved(self._files) + self.parked_by_callers.value

    @property
    def _files(self) -> list[Rows]:
        return [*self._disk.files, *self._left.values(), *self._unreadable]

    @property
    def is_busy(self) -> bool:
        """Whether something is under way, or waits for the disk and may go there."""
        return self._job is not None or (bool(self._saving) and self.takes)

    @property
    def is_ready(self) -> bool:
        """Whether memory may give events away: no others wait for the disk."""
        return self.takes and self._job is None and not self._saving

    @property
    def takes(self) -> bool:
        """Whether the disk may be tried."""
        return self._disk.rests <= 0

    # -- in --------------------------------------------------------------------

    def save(self, contents: Iterable[Content], reason: DropReason | None) -> None:
        """Take events over that are in no other account any more, to be saved soon.

        :param reason: why they would be lost otherwise; None for those that memory takes
            back if the disk refuses.
        """
        for content in contents:
            self._account.saving += len(content)
            self._saving.extend((piece, reason) for piece in pieces(content))

    def ended(self, ticket: SpoolTicket, result: RecordResult) -> None:
        """Take what became of an event that is on disk as well."""
        rows, row, reason = ticket.rows, ticket.row, result.reason
        if reason is None:
            self._flows = True
            rows.end(row)
            return
        if is_final(result, works=self._owner.works()):
            rows.end(row)
            # Of those that an error of its own has cost a pipeline, the task tells.
            if reason is not DropReason.INTERNAL or result.attempts:
                self._owner.dropped(reason, [ticket.record(0.0)], result.error or "")
            return
        self._owner.take_back(reason, 1)
        now = self._owner.clock()
        if rows in self._unreadable:
            # Its file is gone, and another one may do.
            rows.end(row)
            self.save([ticket.record(now)], reason)
        else:
            rows.put_back(row)
        if reason is not DropReason.SHUTDOWN:
            self._flows = False
            self._load_at = now + REST

    # -- the task --------------------------------------------------------------

    def begin(self, owner: Owner) -> None:
        """Work for a producer's task, another one than before."""
        self._owner = owner
        self._account.begin()
        self._brings_back = True
        self._flows = False
        self._load_at = self._adopt_at = -math.inf

    def job(self, now: float, fill: float) -> Job[Any] | None:
        """Return what is to be done next, if anything is and nothing is under way.

        :param fill: the share of memory that is taken.
        """
        self.finish()
        self._tell_trouble()
        if self._job is not None or not self.takes:
            return None
        self._job = self._next_in(now)
        if self._job is None and self._brings_back:
            self._job = self._next_out(now, fill)
        return self._job

    def finish(self) -> None:
        """Take what came of a job, if that has ended."""
        job = self._job
        if job is not None and job.finish():
            self._job = None
            if job.failed:
                # It would most likely fail again, at once and for ever.
                self._disk.rest()

    def deadline(self, now: float) -> float:
        """Return when :meth:`job` is to be asked again by itself."""
        if self._job is not None:
            # A thread of an earlier task may be at it, which wakes nobody.
            return now + 1.0
        if not self.takes:
            return now + self._disk.rests + 0.001
        loading = math.inf
        if self.parked and self._brings_back:
            loading = self._load_at if self._load_at > now else now + 1.0
        adopting = self._adopt_at if self._brings_back else math.inf
        return min(adopting, self._remove_at, loading)

    def _next_in(self, now: float) -> Job[Any] | None:
        if self._saving:
            batch = self._batch()
            write = partial(self._disk.write, batch, time.time() - now)
            return Job(write, self._written, Written([], batch, []))
        if self._disk.full or self._disk.fill() > _CROWDED:
            self._disk.full = False
            make_room = partial(self._disk.make_room, _ROOMY, _ROOM_AT_ONCE)
            return Job(make_room, self._written, Written([], [], []))
        done = sum(len(rows.done) for rows in self._disk.files)
        if done >= _REMOVED_AT_ONCE or (done and now >= self._remove_at):
            return self._removal()
        if done:
            self._remove_at = min(self._remove_at, now + _REMOVAL_DELAY)
        return None

    def _next_out(self, now: float, fill: float) -> Job[Any] | None:
        if now >= self._adopt_at:
            self._adopt_at = now + ADOPTION_INTERVAL
            return Job(self._disk.adopt, self._adopted, None)
        if self.parked and fill <= LOAD_SHARE and now >= self._load_at:
            return self._loading()
        return None

    def _batch(self) -> list[Waiting]:
        batch: list[Waiting] = []
        events = 0
        while self._saving and events < _SAVED_AT_ONCE:
            batch.append(self._saving.popleft())
            events += len(batch[-1][0])
        return batch

    def _removal(self) -> Job[Removed]:
        self._remove_at = math.inf
        done = [(rows, rows.take_done()) for rows in list(self._disk.files)]
        return Job(partial(self._disk.remove, done), self._removed, Removed(done, []))

    def _loading(self) -> Job[Found | None] | None:
        files = [rows for rows in list(self._disk.files) if not rows.file.closed]
        if not self._flows and any(rows.in_memory for rows in files):
            # What is on its way tells whether more is wanted.
            return None
        begins = {rows: rows.look() for rows in files if rows.parked > 0}
        if not begins:
            return None
        limit = _LOADED_AT_ONCE if self._flows else _PROBE
        return Job(partial(self._disk.read, begins, limit), self._loaded, None)

    # -- what came of jobs -------------------------------------------------------

    def _written(self, written: Written) -> None:
        for rows, events in written.saved:
            rows.moved += events
            self._account.saving -= events
        for rows, evicted in written.evicted:
            rows.moved -= len(evicted)
            self._give_up(
                DropReason.SPOOL_FULL, Chunk(evicted, self._owner.clock()),
                "the spool is full, and they were the oldest",
            )  # fmt: skip
        trouble = next(reversed(self._disk.troubles), "it is full")
        for content, reason in written.left:
            self._account.saving -= len(content)
            if reason is None:
                self._owner.add([content])
            else:
                self._give_up(reason, content, f"the spool did not take them: {trouble}")

    def _give_up(self, reason: DropReason, content: Content, error: str) -> None:
        self._account.lose(reason, len(content))
        self._owner.dropped(reason, [content], error)

    def _adopted(self, adoption: Adoption | None) -> None:
        if adoption is None:
            return
        for file in adoption.files:
            rows = self._left.pop(file.path, None)
            if rows is None:
                rows = Rows(file, file.held_events)
            else:
                rows.file, rows.after = file, 0
            self._disk.files.append(rows)
        for trouble in adoption.troubles:
            self._owner.report(str(trouble))

    def _loaded(self, found: Found | None) -> None:
        if found is None or found.rows in self._unreadable:
            self._load_at = max(self._load_at, self._owner.clock() + _LOOK_AGAIN)
            return
        rows, begun, events = found
        now = self._owner.clock()
        tickets = [
            SpoolTicket(self, rows, row, event.data, event.partition_key, event.explicit_hash_key)
            for row, event in rows.take(events, begun)
        ]
        self._owner.add([ticket.record(now, ticket) for ticket in tickets])

    def _removed(self, removed: Removed) -> None:
        for rows, ids in removed.left:
            rows.done += ids
        for rows in removed.emptied:
            self._disk.files.remove(rows)
            self._account.of_gone_files += rows.moved

    def _tell_trouble(self) -> None:
        """Tell an operator what is wrong with the disk, and give up what cannot be read."""
        if self._job is not None:
            # It may be about to say so itself.
            return
        trouble = ""
        while self._disk.troubles:
            trouble = self._disk.troubles.popleft()
            self._owner.report(trouble)
        for rows in [rows for rows in list(self._disk.files) if rows.file.closed]:
            self._disk.files.remove(rows)
            self._unreadable.append(rows)
        for rows in self._unreadable:
            events = rows.parked
            if events > 0:
                rows.moved -= events
                self._account.lose(DropReason.SPOOL_FAILED, events)
                self._owner.lost(DropReason.SPOOL_FAILED, {None: events}, trouble)

    # -- the end ---------------------------------------------------------------

    def leave(self) -> None:
        """Save what is to be saved, here and now; bring nothing back any more."""
        self._brings_back = False
        if self._job is not None:
            self._job.wait(_PATIENCE)
            self.finish()
        while self._saving:
            # Memory takes nothing back any more.
            batch: list[Waiting] = [
                (content, reason or DropReason.SHUTDOWN) for content, reason in self._batch()
            ]
            self._written(self._disk.write(batch, time.time() - self._owner.clock()))
        removal = self._removal()
        removal.run()
        removal.finish()
        self._tell_trouble()
        self._close(lambda rows: not rows.parked)

    def close(self) -> None:
        """Do the same, and give the files up for whoever looks next."""
        self.leave()
        self._close(lambda _: True)

    def _close(self, wanted: Callable[[Rows], bool]) -> None:
        if self._job is not None:  # The disk takes its time, and it is not known for what.
            return
        for rows in list(self._disk.files):
            # With one that has events in memory the next task goes on.
            if rows.in_memory or rows.done or not wanted(rows):
                continue
            self._disk.files.remove(rows)
            rows.file.close()
            if rows.parked:
                self._left[rows.file.path] = rows
            else:
                self._account.of_gone_files += rows.moved

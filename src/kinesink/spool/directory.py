"""The files of one stream in a directory that many processes share.

Law: a file has one owner, who holds its lock; what nobody holds is taken over by whoever comes
first, once. Nothing in the directory stops an application: what is corrupt is set aside, what is
of a newer version is left alone, and both are told.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Final, NamedTuple

from kinesink.spool import database, lock, names
from kinesink.spool.errors import ERRORS, SpoolUnavailableError, Trouble, trouble_of
from kinesink.spool.event import Evicted
from kinesink.spool.file import Budget, SpoolFile
from kinesink.spool.forks import forks

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

#: Bytes that are evicted from one file before looking again which has the oldest.
_CHUNK: Final = 1024 * 1024


class Adoption(NamedTuple):
    """What a look for files without an owner has found."""

    files: list[SpoolFile]
    """Those that are ours now, the oldest first."""
    troubles: list[SpoolUnavailableError]
    """Those that are not: CORRUPT ones have been set aside, with their new name in ``path``;
    others are where they were, and the next look finds them again."""


class SpoolDirectory:
    """The files of one stream that this process has: its own, and those it adopted.

    Not for two threads at once, other than the files themselves.
    """

    def __init__(self, path: str | os.PathLike[str], stream_name: str, max_bytes: int) -> None:
        """Name a directory, without touching it.

        :param path: where the spools of all streams are; made at the first :meth:`open`.
        :param max_bytes: what all files of this process may hold together, as
            :func:`~kinesink.spool.event.size_of` counts. Each process that shares the directory
            has as much.
        """
        self._root = Path(os.path.abspath(path))  # noqa: PTH100 - resolve would do I/O
        #: Where the files of the stream are.
        self.path = self._root / names.folder_of(stream_name)
        #: The bound, and what is held of it.
        self.budget = Budget(max_bytes)
        self._files: list[SpoolFile] = []

    @property
    def files(self) -> list[SpoolFile]:
        """The files that are open, in the order in which they were opened or adopted."""
        self._files = [file for file in self._files if not file.closed]
        return self._files[:]

    @property
    def held_bytes(self) -> int:
        """What all of them hold, by :func:`~kinesink.spool.event.size_of`."""
        return sum(file.held_bytes for file in self.files)

    def open(self) -> SpoolFile:
        """Make a file of this process, with its directory if need be.

        :raises SpoolUnavailableError: DISK.
        """
        # By the time first, so that names are in the order of making.
        path = self.path / f"{time.time_ns()}-{os.getpid()}-{token_hex(4)}{names.DATABASE}"
        try:
            self._root.mkdir(0o700, parents=True, exist_ok=True)
            self.path.mkdir(0o700, exist_ok=True)
            with forks.gate:
                return self._opened(path, lock.take(names.lock_of(path)), database.create)
        except OSError as error:
            raise SpoolUnavailableError(Trouble.DISK, path, error) from error

    def adopt(self) -> Adoption:
        """Take over every file whose owner is dead or has closed it.

        Of several processes, and of several threads, one gets each. Reads the files through, so
        it takes seconds for gigabytes: not in an event loop. Empty ones disappear.

        :raises SpoolUnavailableError: DISK: the directory cannot be read. One that is not there
            holds nothing.
        """
        adoption = Adoption([], [])
        try:
            paths = [*self.path.iterdir()]
        except FileNotFoundError:
            return adoption
        except OSError as error:
            raise SpoolUnavailableError(Trouble.DISK, self.path, error) from error
        # A lock without its database is what a death in the middle of a removal leaves.
        ours = {path.stem for path in paths if path.suffix in {names.DATABASE, names.LOCK}}
        for stem in sorted(ours):
            found = self._adopted(self.path / f"{stem}{names.DATABASE}")
            if isinstance(found, SpoolFile):
                adoption.files.append(found)
            elif found is not None:
                adoption.troubles.append(found)
        return adoption

    def evict(
        self, to_bytes: int | None = None, after: Mapping[SpoolFile, int] | None = None
    ) -> Evicted:
        """Remove the oldest events of all files until no more than ``to_bytes`` are left.

        Never raises: what cannot be removed now stays.

        :param to_bytes: ``max_bytes`` if None.
        :param after: the rows of each file that are spared, as in :meth:`SpoolFile.evict`.
        """
        bound = self.budget.max_bytes if to_bytes is None else to_bytes
        spared = after or {}
        events, size, by_level = 0, 0, Counter[int | None]()
        with suppress(SpoolUnavailableError):
            while (excess := self.held_bytes - bound) > 0:
                ages = {file: file.oldest_at(spared.get(file, 0)) for file in self.files}
                known = {file: at for file, at in ages.items() if at is not None}
                if not known:
                    break
                file = min(known, key=known.__getitem__)
                left = max(0, file.held_bytes - min(excess, _CHUNK))
                part = file.evict(left, spared.get(file, 0))
                if not part.events:
                    break
                events, size = events + part.events, size + part.size
                by_level.update(part.by_level)
        return Evicted(events, size, dict(by_level))

    def _adopted(self, path: Path) -> SpoolFile | SpoolUnavailableError | None:
        try:
            with forks.gate:
                file = self._taken_over(path)
            return file and _weighed(file)
        except BlockingIOError:
            # Its owner is alive.
            return None
        except OSError as error:
            return SpoolUnavailableError(Trouble.DISK, path, error)
        except SpoolUnavailableError as trouble:
            return trouble

    def _taken_over(self, path: Path) -> SpoolFile | None:
        descriptor = lock.take(names.lock_of(path))
        if os.path.lexists(path):
            return self._opened(path, descriptor, database.connect)
        names.remove(path)
        lock.release(descriptor, names.lock_of(path))
        return None

    def _opened(
        self, path: Path, descriptor: int, connect: Callable[[Path], sqlite3.Connection]
    ) -> SpoolFile:
        try:
            file = SpoolFile(path, descriptor, connect(path), self.budget)
        except ERRORS as error:
            trouble, now = trouble_of(error), path
            if connect is database.create:
                names.remove(path)
            elif trouble is Trouble.CORRUPT or path.is_dir():
                trouble, now = Trouble.CORRUPT, names.put_aside(path)
            lock.release(descriptor, names.lock_of(path))
            raise SpoolUnavailableError(trouble, now, error) from error
        self._files.append(file)
        return file


def _weighed(file: SpoolFile) -> SpoolFile | None:
    """Return a file that knows what is in it; None if that is nothing."""
    try:
        file.weigh()
    except SpoolUnavailableError:
        file.close(remove_if_empty=False)
        raise
    if file.held_events:
        return file
    file.close()
    return None

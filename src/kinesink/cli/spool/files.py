"""The files of spools below a path: where they are, who holds them, and what is in them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from kinesink.cli.exits import CommandError
from kinesink.spool import database, lock, names, rows
from kinesink.spool.errors import ERRORS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from kinesink.spool.event import SpooledEvent

#: Events that are read at once.
PAGE: Final = 1000

_SET_ASIDE: Final = f"{names.DATABASE}.corrupt-"
_WEIGH: Final = "SELECT count(*), coalesce(sum(length(data)), 0), min(at), max(at) FROM events"


class HeldError(Exception):
    """A process has the file, and takes care of it."""


class UnusableError(Exception):
    """A file that cannot be read, with the reason as a text; it is left as it is."""


class Content(NamedTuple):
    """What is in a file."""

    events: int
    size: int
    """Bytes of their data."""
    oldest: float | None
    """When the oldest was accepted, in seconds since 1970; None without one."""
    newest: float | None


class OpenFile:
    """A file that nobody else has, as long as it is open.

    Its methods raise :class:`UnusableError`, and may be called in any thread, one at a time.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        #: Where it is.
        self.path = path
        self._connection = connection
        #: Whether its last event was removed here.
        self.is_emptied = False

    def content(self) -> Content:
        """Return what is in it."""
        with _usable(self.path):
            return Content(*self._connection.execute(_WEIGH).fetchone())

    def read(self, after: int) -> list[tuple[int, SpooledEvent]]:
        """Return the oldest events behind a row, with their rows; none if there are no more."""
        with _usable(self.path):
            found = self._connection.execute(rows.READ, (after, PAGE)).fetchall()
            return [(row[0], rows.event_of(row)) for row in found]

    def events(self) -> Iterator[SpooledEvent]:
        """Yield all events, the oldest first."""
        after = 0
        while page := self.read(after):
            yield from (event for _, event in page)
            after = page[-1][0]

    def remove(self, ids: Collection[int]) -> None:
        """Remove the rows of events that are elsewhere now."""
        with _usable(self.path):
            for run in rows.runs_of(ids):
                self._connection.execute(rows.REMOVE, run)
        self.is_emptied = not self.content().events


def databases(path: Path) -> list[Path]:
    """Return the files of spools at a path: one file, the folder of a stream, or all folders.

    :raises CommandError: if there is no such path, or it cannot be read.
    """
    return [file for file in _below(path) if file.suffix == names.DATABASE]


def set_aside(path: Path) -> list[Path]:
    """Return the corrupt files that were set aside at a path, what stood beside them included.

    :raises CommandError: see :func:`databases`.
    """
    return [file for file in _below(path) if _SET_ASIDE in file.name]


def _below(path: Path) -> list[Path]:
    try:
        if not path.is_dir():
            path.stat()
            return [path]
        here = sorted(path.iterdir())
        return [
            file
            for entry in here
            for file in (sorted(entry.iterdir()) if entry.is_dir() else [entry])
            if not file.is_dir()
        ]
    except OSError as error:
        raise CommandError(f"{error.filename} cannot be read: {error.strerror}.") from error


@contextmanager
def opened(path: Path) -> Iterator[OpenFile]:
    """Hold a file, and open it; it disappears if its last event is removed.

    :raises HeldError: if somebody else holds it.
    :raises UnusableError: if it cannot be opened.
    """
    path = path.absolute()
    with _held(path):
        with _usable(path):
            connection = database.connect(path)
        file = OpenFile(path, connection)
        try:
            yield file
        finally:
            database.disconnect(connection)
            if file.is_emptied:
                names.remove(path)


def remove(path: Path) -> None:
    """Remove a file for good, with all that stands beside it.

    :raises HeldError: if somebody else holds it.
    :raises UnusableError: if that is not permitted.
    """
    with _held(path), _usable(path):
        # Tells why, where the next line keeps quiet.
        path.unlink()
        names.remove(path)


@contextmanager
def _held(path: Path) -> Iterator[None]:
    with _usable(path):
        try:
            descriptor = lock.take(names.lock_of(path))
        except BlockingIOError as error:
            raise HeldError from error
    try:
        yield
    finally:
        lock.release(descriptor, names.lock_of(path))


@contextmanager
def _usable(path: Path) -> Iterator[None]:
    try:
        yield
    except ERRORS as error:
        why = str(error) if path.exists() else "it has been taken over or removed meanwhile"
        raise UnusableError(why) from error

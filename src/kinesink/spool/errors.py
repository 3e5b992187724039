"""What a spool raises, and the reasons for it."""

from __future__ import annotations

import sqlite3
from enum import Enum
from typing import TYPE_CHECKING, Final

from kinesink.errors import KinesinkError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Trouble(str, Enum):
    """Why a spool could not do what it was asked."""

    FULL = "full"
    """``max_bytes`` is reached: something has to be evicted first."""
    DISK = "disk"
    """The disk or the file system refuses: full, read-only, missing, no permission."""
    CORRUPT = "corrupt"
    """The file could not be read and has been set aside."""
    BUSY = "busy"
    """Another thread was in the spool for too long."""
    GONE = "gone"
    """The file is closed, or belongs to the process that this one was forked from."""
    NEWER = "newer"
    """The file is of a newer version of the spool, and has been left alone."""
    REFUSED = "refused"
    """An event that no spool can hold, such as a key that is no UTF-8."""


class SpoolUnavailableError(KinesinkError):
    """A spool could not do what it was asked; whatever it holds is as it was.

    The one exception of the spool. After anything but CORRUPT and GONE the same spool may be
    tried again.
    """

    def __init__(
        self, trouble: Trouble, path: Path, why: object, saved: Sequence[int] = ()
    ) -> None:
        super().__init__(trouble, path, why, saved)
        #: The reason, to decide by.
        self.trouble = trouble
        #: The file or directory that it is about.
        self.path = path
        #: The rows of those events that were saved nevertheless: the first of those given.
        self.saved = saved
        self._why = why

    def __str__(self) -> str:
        return f"spool {self.path}: {self._why}"


ERRORS: Final = (sqlite3.Error, OSError, OverflowError, UnicodeError)
"""What sqlite3 and the file system raise, and values that have no place in a database."""


def trouble_of(error: Exception) -> Trouble:
    """Return what one of :data:`ERRORS` means.

    By class, because Python 3.10 does not tell sqlite's own code: the base class itself is for
    a file that is malformed or no database.
    """
    if isinstance(error, (sqlite3.OperationalError, OSError)):
        return Trouble.DISK
    if isinstance(error, sqlite3.NotSupportedError):
        return Trouble.NEWER
    return Trouble.CORRUPT if type(error) is sqlite3.DatabaseError else Trouble.REFUSED

"""How other processes know that the owner of a file is alive: it holds a lock of the system.

Law: a lock that is kept too long costs time, one that is lost costs the promise that a file has
one owner. So it is flock on POSIX and not the record locks of fcntl, which a process loses as
soon as anything in it closes the file. The system lets go of either when the process dies.

A child forked by Python closes its copy at once (:mod:`.forks`), which does not unlock the
parent's; one forked behind Python's back keeps the file from being adopted for as long as it
lives, and no more than that.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

try:
    from fcntl import LOCK_EX, LOCK_NB, flock

    def _lock(descriptor: int) -> None:
        flock(descriptor, LOCK_EX | LOCK_NB)

    def release(descriptor: int, path: Path) -> None:
        """Let go of a lock, and of its file."""
        # While it is locked: whoever has opened it already will see that it is gone.
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)

except ImportError:  # Windows
    from importlib import import_module

    msvcrt: Any = import_module("msvcrt")

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def release(descriptor: int, path: Path) -> None:
        """Let go of a lock, and of its file."""
        os.close(descriptor)
        # Not while anybody has it open, the system sees to that.
        with suppress(OSError):
            path.unlink()


def take(path: Path) -> int:
    """Lock a file, which is made if need be, and return its descriptor.

    :raises BlockingIOError: somebody else holds it, in this process or in another.
    :raises OSError: the file cannot be opened or locked.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(descriptor)
            if _is_still(descriptor, path):
                return descriptor
        except PermissionError as error:
            # Which is what Windows says of a lock that is held.
            os.close(descriptor)
            raise BlockingIOError(*error.args) from error
        except OSError:
            os.close(descriptor)
            raise
        # The owner before us took the file away after we had opened it.
        os.close(descriptor)


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False

"""The database of a spool: how it is opened, what is in it, and how it is told from others.

Law: one connection to a file in all the world, and nobody closes it but its owner. Hence sqlite's
exclusive mode: it keeps the index of the write-ahead log in memory, which halves the price of a
row, and it refuses whoever opens the file in spite of its lock.

``synchronous=OFF`` because what is written must survive this process and not the machine: a
commit hands the row to the system, which keeps it whatever becomes of us. A log call must not
wait for the hardware, and with NORMAL every checkpoint would. The write-ahead log remains what
makes a row all there or not at all, wherever the process was killed.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

#: "ksnk", so that no database of somebody else is taken for a spool.
APPLICATION_ID: Final = 0x6B736E6B

#: The version of the table; a file of a newer one is left to those who know it.
VERSION: Final = 1

#: Bytes of a page. Each row of a few hundred bytes writes a page to the log, so a small one is
#: cheaper; it also wastes less when rows do not fit.
_PAGE_BYTES: Final = 2048

_TABLE: Final = (
    "CREATE TABLE events (id INTEGER PRIMARY KEY, at REAL NOT NULL, level INTEGER,"
    " partition_key TEXT, explicit_hash_key BLOB, data BLOB NOT NULL)"
)

_BEGIN: Final = f"""
PRAGMA page_size={_PAGE_BYTES};
PRAGMA journal_mode=WAL;
BEGIN;
{_TABLE};
PRAGMA application_id={APPLICATION_ID};
PRAGMA user_version={VERSION};
COMMIT;
"""

# The log is copied into the database at 2 MiB, so that it is never long: a log call does it.
_SETTINGS: Final = """
PRAGMA locking_mode=EXCLUSIVE;
PRAGMA synchronous=OFF;
PRAGMA secure_delete=OFF;
PRAGMA temp_store=MEMORY;
PRAGMA wal_autocheckpoint=1000;
PRAGMA journal_size_limit=4194304;
"""


class NewerVersionError(sqlite3.NotSupportedError):
    """The file is of a version of the spool that this one does not know."""


def create(path: Path) -> sqlite3.Connection:
    """Make a new file, for its owner's eyes only, with an empty table in it."""
    # sqlite would make it with the permissions of the umask; companions get the same as the file.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    return _opened(path, _SETTINGS + _BEGIN)


def connect(path: Path) -> sqlite3.Connection:
    """Open a file that is there.

    :raises NewerVersionError: the file is of a newer version.
    :raises sqlite3.DatabaseError: the class itself: it is no spool, or malformed.
    :raises sqlite3.OperationalError: the disk refuses.
    """
    return _opened(path, _SETTINGS)


def _opened(path: Path, script: str) -> sqlite3.Connection:
    # rw: a file that is gone must not come back as one that is empty.
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw",
        uri=True,
        timeout=0,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.executescript(script)
        _check(connection)
    except BaseException:
        connection.close()
        raise
    _count_reference(connection, "Py_IncRef")
    return connection


def disconnect(connection: sqlite3.Connection) -> None:
    """Close a connection of this process."""
    _count_reference(connection, "Py_DecRef")
    # An error leaves the log where it is, to be read by whoever opens the file next.
    with suppress(sqlite3.Error):
        connection.close()


def _check(connection: sqlite3.Connection) -> None:
    application_id, version = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("application_id", "user_version")
    )
    if application_id == APPLICATION_ID and version > VERSION:
        raise NewerVersionError(f"it is of version {version}; this one knows {VERSION}")
    tables = connection.execute("SELECT sql FROM sqlite_master").fetchall()
    if (application_id, tables) != (APPLICATION_ID, [(_TABLE,)]):
        raise sqlite3.DatabaseError("it is no spool")


def _count_reference(connection: sqlite3.Connection, how: str) -> None:
    """Add a reference to a connection that no interpreter takes back at its end, or remove it.

    A child that was forked behind Python's back has a copy of the connection. Were that
    closed when the child ends, it would write to the parent's file and remove its log.
    """
    try:
        import ctypes  # noqa: PLC0415 - not every Python has it

        change: Any = getattr(ctypes.pythonapi, how)
        change(ctypes.py_object(connection))
    except (ImportError, AttributeError):
        # Then such a child has to end by os._exit.
        return

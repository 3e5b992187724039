"""What the files of a spool are called."""

from __future__ import annotations

import hashlib
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

#: How the name of a database ends.
DATABASE: Final = ".db"

#: How the name of a lock ends.
LOCK: Final = ".lock"

#: What stands beside a database while it is open, or after its process was killed.
_COMPANIONS: Final = ("-wal", "-shm", "-journal")


def folder_of(stream_name: str) -> str:
    """Return a name for the folder of a stream that every file system takes.

    Readable, and its own even where capitals do not count or a name is reserved.
    """
    digest = hashlib.sha256(stream_name.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{re.sub('[^A-Za-z0-9_-]', '_', stream_name)}-{digest}"


def lock_of(path: Path) -> Path:
    """Return the file whose lock tells that the owner of a spool is alive."""
    return path.with_suffix(LOCK)


def remove(path: Path) -> None:
    """Remove a database and what stands beside it."""
    # Itself first: without its log it would be an older one.
    for suffix in ("", *_COMPANIONS):
        with suppress(OSError):
            Path(f"{path}{suffix}").unlink()


def put_aside(path: Path) -> Path:
    """Rename a database, and what stands beside it, so that nobody takes it for a spool.

    :returns: its name now; the same if even that is refused.
    """
    ending = f".corrupt-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    for suffix in _COMPANIONS:
        with suppress(OSError):
            Path(f"{path}{suffix}").rename(f"{path}{ending}{suffix}")
    try:
        return path.rename(f"{path}{ending}")
    except OSError:
        return path

"""Which process holds the lock of a file, where the system tells."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_LOCKS: Final = Path("/proc/locks")
_FIELDS: Final = 6
"""Of a line: number, kind, how strict, for what, process, device and inode."""


def holder_of(lock: Path) -> int | None:
    """Return the process that holds a lock file; None if the system does not say.

    Only Linux does, and not across the border of a container.
    """
    try:
        inode = os.stat(lock).st_ino  # noqa: PTH116 - beside the text of a system file
        lines = _LOCKS.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    found = set(_holders(lines, inode))
    # Another file system may have the same number.
    return found.pop() if len(found) == 1 else None


def _holders(lines: Iterable[str], inode: int) -> Iterable[int]:
    for line in lines:
        fields = line.split()
        if len(fields) >= _FIELDS and fields[1] == "FLOCK":
            process, place = fields[4], fields[5]
            if place.rpartition(":")[2] == str(inode) and process.isdigit() and int(process):
                yield int(process)

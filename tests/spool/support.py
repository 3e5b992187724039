"""What tests of the spool share."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import IO, TYPE_CHECKING

from kinesink.spool.directory import SpoolDirectory
from kinesink.spool.event import SpooledEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from kinesink.spool.file import SpoolFile

PATIENCE = 40
"""Seconds after which a test gives up on a process; none is ever expected to take this long."""

MIB = 1024 * 1024


def directory_in(path: Path, max_bytes: int = 64 * MIB) -> SpoolDirectory:
    """Return a directory for the stream ``app``."""
    return SpoolDirectory(path, "app", max_bytes)


def event(number: int, level: int | None = 20, size: int = 0) -> SpooledEvent:
    """Return an event that tells its number."""
    return SpooledEvent(f"{number}".encode().ljust(size), None, None, level, float(number))


def append(file: SpoolFile, number: int) -> int:
    """Append an event that tells its number, the quick way."""
    return file.append_one(*event(number))


def numbers(files: Iterable[SpoolFile]) -> list[int]:
    """Return the numbers of the events in files, in order."""
    return [int(each.data) for file in files for _, each in file.read(1_000_000)]


def names(directory: SpoolDirectory) -> list[str]:
    """Return the names of all that is in a directory."""
    return sorted(path.name for path in directory.path.iterdir())


def start(source: str, *arguments: object, within: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Start a program that has a directory at its first argument; by another program if need be."""
    prelude = """
    import os, sys, time
    from tests.spool.support import *
    directory = directory_in(Path(sys.argv[1]))
    """
    return subprocess.Popen(  # noqa: S603 - our own words
        [
            *within,
            sys.executable,
            *("-W", "error::ResourceWarning", "-c"),
            "from pathlib import Path\n" + textwrap.dedent(prelude) + textwrap.dedent(source),
            *map(str, arguments),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], said: str | None = None) -> str:
    """Let a program end, after having said something to it; return what it printed."""
    out, err = process.communicate(said, timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    return out


def run(source: str, *arguments: object, within: Sequence[str] = ()) -> str:
    """Run a program to its end; return what it printed."""
    return finish(start(source, *arguments, within=within))


def line_of(stream: IO[str] | None) -> str:
    """Return the next line that a program prints."""
    assert stream is not None
    return stream.readline().strip()

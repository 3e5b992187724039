"""What is in the files of spools, for people and for programs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

import orjson

from kinesink.cli.spool.files import (
    Content,
    HeldError,
    UnusableError,
    databases,
    opened,
    set_aside,
)
from kinesink.cli.spool.holders import holder_of
from kinesink.cli.words import number_of, size_of
from kinesink.spool.names import lock_of

State = Literal["left", "in use", "unreadable", "set aside"]
"""``left``: nobody has it. ``in use``: a process has it. ``set aside``: it was found corrupt."""


@dataclass(frozen=True)
class Listed:
    """One file."""

    path: Path
    state: State
    disk_bytes: int
    """What the file takes, without what stands beside it."""
    content: Content | None = None
    """Of one that is left."""
    process: int | None = None
    """Who has it, if the system tells."""
    why: str = ""
    """Why it cannot be read."""

    def line(self) -> bytes:
        """Return it as a line of JSON."""
        content = self.content
        return orjson.dumps(
            {
                "file": str(self.path),
                "state": self.state,
                "process": self.process,
                "disk_bytes": self.disk_bytes,
                "events": content and content.events,
                "bytes": content and content.size,
                "oldest": content and _time(content.oldest),
                "newest": content and _time(content.newest),
                "why": self.why or None,
            }
        )

    def __str__(self) -> str:
        """Return it as a line for people, without its name."""
        if self.content is not None:
            return in_words(self.content)
        by = f" by process {self.process}" if self.process else ""
        why = f" ({self.why})" if self.why else ""
        return f"{self.state}{by}{why}, {size_of(self.disk_bytes)} on disk"


def listed(path: Path) -> Iterator[Listed]:
    """Yield the files at a path, the oldest of each stream first.

    :raises CommandError: if there is no such path, or it cannot be read.
    """
    for file in databases(path):
        yield _look(file)
    for file in set_aside(path):
        yield Listed(file, "set aside", _disk_bytes(file))


def total(contents: Iterable[Content]) -> Content:
    """Return what all of them hold."""
    found = list(contents)
    return Content(
        sum(content.events for content in found),
        sum(content.size for content in found),
        min((each.oldest for each in found if each.oldest is not None), default=None),
        max((each.newest for each in found if each.newest is not None), default=None),
    )


def in_words(content: Content) -> str:
    """Return what is in a file, or in several."""
    text = f"{number_of(content.events, 'event')}, {size_of(content.size)}"
    if content.oldest is None:
        return text
    return f"{text}, {_time(content.oldest)} to {_time(content.newest)}"


def _look(path: Path) -> Listed:
    disk_bytes = _disk_bytes(path)
    try:
        with opened(path) as file:
            return Listed(path, "left", disk_bytes, file.content())
    except HeldError:
        return Listed(path, "in use", disk_bytes, process=holder_of(lock_of(path)))
    except UnusableError as error:
        return Listed(path, "unreadable", disk_bytes, why=str(error))


def _disk_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return f"{datetime.fromtimestamp(seconds, tz=timezone.utc):%Y-%m-%dT%H:%M:%SZ}"

"""Counts that any thread adds to without a lock, for what is refused where it enters.

Law: to add is one operation in C, so it is exact from threads, signal handlers and
finalizers alike, and however much is counted takes no more memory.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from kinesink.core.records import DropReason

#: The least number of each level of :mod:`logging`, and its name. Levels in between count as
#: the one below, so that an application's own levels cannot make the table grow.
_LEVELS: Final = (
    (50, "CRITICAL"), (40, "ERROR"), (30, "WARNING"), (20, "INFO"),
)  # fmt: skip


def level_name(level: int) -> str:
    """Return the name of the highest of the usual levels that ``level`` reaches."""
    return next((name for least, name in _LEVELS if level >= least), "DEBUG")


class Refusals(NamedTuple):
    """Events that were refused where they came in."""

    reason: DropReason
    level: str | None
    """The name of their level; None where it is not known."""
    events: int


class Count:
    """One number that only grows."""

    __slots__ = ("_numbers", "add")

    def __init__(self) -> None:
        self._numbers = count()
        #: Adds one.
        self.add = self._numbers.__next__

    @property
    def value(self) -> int:
        """The number now."""
        # Its text is the only way to look at it, on every Python, that does not change it.
        return int(repr(self._numbers)[len("count(") : -1])


class Tally:
    """How many events were refused, by reason and level. Safe from any thread."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[tuple[DropReason, str | None], Count] = {}

    def add(self, reason: DropReason, level: str | None) -> None:
        """Count one event, by the name of its level."""
        key = reason, level
        found = self._counts.get(key)
        if found is None:
            # One operation: of two threads that come first at the same time, both get the same.
            found = self._counts.setdefault(key, Count())
        found.add()

    def read(self) -> list[Refusals]:
        """Return the totals since the beginning."""
        counts = self._counts.copy()
        return [Refusals(*key, number.value) for key, number in counts.items()]


def since(now: list[Refusals], before: list[Refusals]) -> list[Refusals]:
    """Return what has come to a tally between two readings."""
    known = {(old.reason, old.level): old.events for old in before}
    grown = (new._replace(events=new.events - known.get((new.reason, new.level), 0)) for new in now)
    return [new for new in grown if new.events]

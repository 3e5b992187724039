"""Numbers that are missing among the events of a stream, while it is read.

Law: nothing is called missing that may still come, or may have come before the reading began.
An event is late by retries and by the shard it went to, so a gap is told when it is
:data:`PATIENCE` old, and numbers around the first event that was read of a writer are not judged.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from kinesink.testing.marks import Mark

PATIENCE: Final = 30.0
"""Seconds between the arrivals of two events of one writer that are out of order at most."""

_MOST_GAPS: Final = 10_000
"""Of one writer; more are forgotten, the oldest first."""


class Gap(NamedTuple):
    """Numbers of one writer that have not come."""

    boot_id: str
    first: int
    last: int

    @property
    def events(self) -> int:
        """How many there are."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        """Return it in words."""
        if self.first == self.last:
            return f"number {self.first} of writer {self.boot_id} is missing"
        return (
            f"numbers {self.first} to {self.last} of writer {self.boot_id} are missing "
            f"({self.events:,} events)"
        )


@dataclass
class _Open:
    """Numbers that have not come yet."""

    first: int
    last: int
    since: float
    told: bool = False


@dataclass
class _Writer:
    """What is known of one process and sink."""

    begun: float
    highest: int
    judged: bool
    """Whether numbers that are skipped count: at first they may have come before."""
    open: list[_Open] = field(default_factory=list)

    def take(self, number: int, arrival: float) -> None:
        if number > self.highest:
            self.judged = self.judged or arrival >= self.begun + PATIENCE
            if self.judged and number > self.highest + 1:
                self.open.append(_Open(self.highest + 1, number - 1, arrival))
                del self.open[:-_MOST_GAPS]
            self.highest = number
        else:
            self.open = [part for gap in self.open for part in _without(gap, number)]


def _without(gap: _Open, number: int) -> Iterator[_Open]:
    if not gap.first <= number <= gap.last:
        yield gap
        return
    if gap.first < number:
        yield _Open(gap.first, number - 1, gap.since, gap.told)
    if number < gap.last:
        yield _Open(number + 1, gap.last, gap.since, gap.told)


class Gaps:
    """Takes the marks of events as they are read; all times are arrivals in the stream."""

    def __init__(self) -> None:
        self._writers: dict[str, _Writer] = {}

    def take(self, mark: Mark, arrival: float) -> None:
        """Take note of an event."""
        writer = self._writers.get(mark.boot_id)
        if writer is None:
            # Whoever's first event is here began here: nothing came before.
            known = mark.number == 1
            self._writers[mark.boot_id] = _Writer(arrival, mark.number, known)
        else:
            writer.take(mark.number, arrival)

    def due(self, now: float) -> list[Gap]:
        """Return the gaps that are old enough to be told, each once."""
        found: list[Gap] = []
        for boot_id, writer in self._writers.items():
            for gap in writer.open:
                if not gap.told and now >= gap.since + PATIENCE:
                    gap.told = True
                    found.append(Gap(boot_id, gap.first, gap.last))
        return found

    @property
    def writers(self) -> int:
        """How many processes and sinks were seen."""
        return len(self._writers)

    def missing(self) -> int:
        """Return how many events have been told as missing, and are still."""
        return sum(
            gap.last - gap.first + 1
            for writer in self._writers.values()
            for gap in writer.open
            if gap.told
        )

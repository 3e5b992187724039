"""The consumer's check: is every event that was written in the stream, and how often.

Law: what a line says is believed only as far as it is well-formed, and memory grows with
the gaps between numbers, never with the numbers.

Each event that kinesink writes says by ``boot_id`` who wrote it, and by ``seq`` which of
theirs it is, counting from 1 without a gap. What was given up has a number as well, and is
told in the stream by loss records. So a reader can tell what is missing, whether that was
told, and what came twice.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from kinesink.testing.marks import Reader, total_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from kinesink.testing.marks import Mark, ToldLoss

__all__ = ["Completeness", "Verdict", "Writer", "check_completeness", "deduplicated"]

Verdict = Literal["complete", "accounted", "incomplete"]
"""``complete``: no number is missing. ``accounted``: no more are missing than were told as
lost. ``incomplete``: more are missing than that."""

Line = TypeVar("Line", bound="bytes | str | Mapping[str, Any]")
"""An event: its line, or what JSON makes of it."""

_VERDICTS: Final[tuple[Verdict, ...]] = ("complete", "accounted", "incomplete")

#: So many ranges, and so many writers, are named in a sentence.
_NAMED: Final = 5


# -- what there is to say -----------------------------------------------------------------------


@dataclass(frozen=True)
class Writer:
    """What has arrived from one ``boot_id``: a process, and a sink in it."""

    boot_id: str
    """16 hexadecimal digits."""
    first: int
    """The lowest number that was seen."""
    last: int
    """The highest. What a process has written after it, and took to its end, nobody can know."""
    events: int
    """Different numbers that were seen, those of :attr:`cut` among them."""
    duplicates: int
    """Lines that had come before."""
    missing: tuple[range, ...]
    """The numbers below :attr:`last` that were not seen, in order."""
    cut: tuple[int, ...]
    """The numbers of events of which some parts were seen and others were not."""
    lost: ToldLoss
    """What the writer told of. Events count there which never had a number: those that a
    formatter of the application's had written."""

    @property
    def missing_events(self) -> int:
        """How many events are missing, or not whole."""
        return sum(map(len, self.missing)) + len(self.cut)

    @property
    def verdict(self) -> Verdict:
        """What is to be said of it all."""
        if not self.missing_events:
            return "complete"
        return "accounted" if self.missing_events <= self.lost.events else "incomplete"

    def __str__(self) -> str:
        """Return it in words."""
        return (
            f"{self.boot_id} is {self.verdict}: {_number_of(self.events, 'event')} up to number "
            f"{self.last}, {self.missing_events} missing{self._places()}, {self.lost}"
        )

    def _places(self) -> str:
        ranges = [
            str(each[0]) if len(each) == 1 else f"{each[0]} to {each[-1]}" for each in self.missing
        ]
        named = [*ranges[:_NAMED], *[f"parts of {number}" for number in self.cut[:_NAMED]]]
        left = len(ranges) + len(self.cut) - len(named)
        more = [f"and {left} places more"] if left else []
        return f" ({', '.join([*named, *more])})" if named else ""


@dataclass(frozen=True)
class Completeness:
    """What :func:`check_completeness` has found."""

    writers: tuple[Writer, ...]
    """One for each ``boot_id``, in the order in which they were met."""
    unnumbered: int
    """Lines that carry no number: other programs', ready-made bytes, what a formatter of the
    application's wrote, and what is no JSON."""

    @property
    def events(self) -> int:
        """Different events that were seen."""
        return sum(writer.events for writer in self.writers)

    @property
    def duplicates(self) -> int:
        """Lines that had come before."""
        return sum(writer.duplicates for writer in self.writers)

    @property
    def missing_events(self) -> int:
        """How many events are missing, or not whole."""
        return sum(writer.missing_events for writer in self.writers)

    @property
    def lost(self) -> ToldLoss:
        """What all writers told of."""
        return total_of([writer.lost for writer in self.writers])

    @property
    def verdict(self) -> Verdict:
        """The worst one of a writer; ``complete`` if nothing was numbered."""
        return max(
            (writer.verdict for writer in self.writers), key=_VERDICTS.index, default="complete"
        )

    def __str__(self) -> str:
        """Return it as one paragraph."""
        told = (
            f"{self.verdict}: {_number_of(self.events, 'event')} of "
            f"{_number_of(len(self.writers), 'writer')}, {self.duplicates} came again, "
            f"{self.missing_events} missing, {self.lost}, {self.unnumbered} without a number."
        )
        bad = sorted(
            (writer for writer in self.writers if writer.missing_events),
            key=lambda writer: (_VERDICTS.index(writer.verdict), writer.missing_events),
            reverse=True,
        )
        left = len(bad) - _NAMED
        more = [f"{_number_of(left, 'writer')} more lack something."] if left > 0 else []
        return " ".join([told, *[f"{writer}." for writer in bad[:_NAMED]], *more])


def check_completeness(
    lines: Iterable[bytes | str | Mapping[str, Any]],
    *,
    rename: Mapping[str, str] | None = None,
    from_the_start: bool = True,
) -> Completeness:
    """Tell which events of those that were written are among ``lines``.

        events = (event.data for record in records for event in kinesink.deaggregate(record))
        report = check_completeness(events)
        assert report.verdict == "complete", report

    Any order and any schema will do, with duplicates, with the parts of events that were
    split, and with lines of other programs in between. A line may be anything; one that is
    not well-formed is an unnumbered one.

    What cannot be known is what a process wrote last: if it was killed, or could not deliver
    at its end, the numbers after the highest one that arrived are missing without a trace,
    and so is a process of which nothing arrived. What it had accepted is in its
    :class:`kinesink.Statistics`.

    :param lines: events as :func:`kinesink.deaggregate` returns their data, or as JSON
        makes dictionaries of them.
    :param rename: the option of that name of :class:`kinesink.EventOptions`, if the events
        were written with it.
    :param from_the_start: whether these are all lines since the writers began; otherwise
        the numbers before the first one seen of each are not missing.
    """
    reader = Reader(rename)
    found: dict[str, _Account] = {}
    unnumbered = 0
    for line in lines:
        mark = reader.mark_of(line)
        if mark is None:
            unnumbered += 1
        else:
            found.setdefault(mark.boot_id, _Account()).take(mark)
    return Completeness(
        tuple(
            account.writer(boot_id, from_the_start=from_the_start)
            for boot_id, account in found.items()
        ),
        unnumbered,
    )


def deduplicated(
    lines: Iterable[Line], *, rename: Mapping[str, str] | None = None
) -> Iterator[Line]:
    """Yield each event once, in the order in which they came.

    Of an event that was split, each part is yielded once. Lines without a number are all
    yielded, for nothing tells them apart.

    Memory grows with the gaps between the numbers that were seen: some hundred bytes each,
    and as much for each ``boot_id``.

    :param lines: see :func:`check_completeness`.
    :param rename: see there.
    """
    reader = Reader(rename)
    found: dict[str, _Seen] = {}
    for line in lines:
        mark = reader.mark_of(line)
        if mark is None or found.setdefault(mark.boot_id, _Seen()).add(mark):
            yield line


def _number_of(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


# -- what was seen ------------------------------------------------------------------------------


class _Numbers:
    """A set of numbers, as ranges."""

    def __init__(self) -> None:
        #: Of each range the first number, and the one after its last.
        self._firsts: list[int] = []
        self._ends: list[int] = []

    def add(self, number: int) -> bool:
        """Add a number; return whether it was not there."""
        place = bisect_right(self._firsts, number)
        if place and number < self._ends[place - 1]:
            return False
        continues = place > 0 and self._ends[place - 1] == number
        precedes = place < len(self._firsts) and self._firsts[place] == number + 1
        if continues and precedes:
            del self._firsts[place]
            del self._ends[place - 1]
        elif continues:
            self._ends[place - 1] = number + 1
        elif precedes:
            self._firsts[place] = number
        else:
            self._firsts.insert(place, number)
            self._ends.insert(place, number + 1)
        return True

    @property
    def first(self) -> int:
        return self._firsts[0]

    @property
    def last(self) -> int:
        return self._ends[-1] - 1

    def gaps(self, begin: int) -> tuple[range, ...]:
        """Return what is not there, from a number on to the last one that is."""
        ends = [begin, *self._ends]
        return tuple(
            range(end, first) for end, first in zip(ends, self._firsts, strict=False) if end < first
        )


class _Seen:
    """Which events of one writer were seen, and which parts."""

    def __init__(self) -> None:
        self.numbers = _Numbers()
        #: Of the events that are not whole yet, the parts that are to come, as bits.
        self.open: dict[int, int] = {}

    def add(self, mark: Mark) -> bool:
        """Take note of a line; return whether it is a new one."""
        is_new = self.numbers.add(mark.number)
        to_come = (1 << mark.chunks) - 1 if is_new else self.open.pop(mark.number, 0)
        left = to_come & ~(1 << (mark.chunk - 1)) if mark.chunks > 1 else 0
        if left:
            self.open[mark.number] = left
        return left != to_come


class _Account:
    """What is known of one writer."""

    def __init__(self) -> None:
        self._seen = _Seen()
        self._duplicates = 0
        self._losses: dict[int, ToldLoss] = {}

    def take(self, mark: Mark) -> None:
        if not self._seen.add(mark):
            self._duplicates += 1
        elif mark.loss is not None:
            # By its number: each part of one that was split says all of it.
            self._losses[mark.number] = mark.loss

    def writer(self, boot_id: str, *, from_the_start: bool) -> Writer:
        """Return the account, once everything is in it."""
        numbers = self._seen.numbers
        begin = 1 if from_the_start else numbers.first
        missing = numbers.gaps(begin)
        return Writer(
            boot_id,
            numbers.first,
            numbers.last,
            numbers.last + 1 - begin - sum(map(len, missing)),
            self._duplicates,
            missing,
            tuple(sorted(self._seen.open)),
            total_of(self._losses.values()),
        )

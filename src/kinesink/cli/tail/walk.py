"""Which shard is read next, and in which order the records of all shards come out.

Law: it does no I/O and has no clock. A shard is read after its parents, by one call at a
time, and no more often than its readers may together; records come out by the time of their
arrival as long as more is known to come, and at once at the end of what there is.
"""

import heapq
import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, Literal, NamedTuple

PACE: Final = 0.25
"""Seconds from one read of a shard to the next while there is more. A shard answers five reads a
second, to all its readers together; this leaves one of them to others."""

POLL: Final = 1.0
"""The same at the end of what there is."""

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 10.0
"""Seconds after failures in a row: twice as long each time."""

_MOST_FAILURES: Final = 6
"""So many in a row end a reading that does not follow."""


class Place(NamedTuple):
    """Where the reading of a shard begins, as GetShardIterator has it."""

    kind: Literal["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP", "AFTER_SEQUENCE_NUMBER"]
    moment: float = 0.0
    """Seconds since 1970."""
    sequence_number: str = ""


START: Final = Place("TRIM_HORIZON")


class Listed(NamedTuple):
    """A shard, and those it was made of."""

    shard_id: str
    parents: tuple[str, ...] = ()


class Record(NamedTuple):
    """One Kinesis record."""

    shard_id: str
    sequence_number: str
    arrival: float
    """Seconds since 1970."""
    data: bytes


class GetIterator(NamedTuple):
    """A call that finds a place in a shard."""

    shard_id: str
    place: Place


class GetRecords(NamedTuple):
    """A call that reads from such a place on."""

    shard_id: str
    iterator: str


Call = GetIterator | GetRecords


class Found(NamedTuple):
    """The answer of GetShardIterator."""

    iterator: str
    moment: float
    """The time of the service, in seconds since 1970."""


class Page(NamedTuple):
    """The answer of GetRecords."""

    records: Sequence[Record]
    iterator: str | None
    """Where to go on; None at the end of a shard that is closed."""
    at_the_tip: bool
    """Whether there was nothing more."""
    children: tuple[Listed, ...] = ()
    """What was made of a closed shard."""


class Remedy(Enum):
    """What a failure asks for."""

    AGAIN = auto()
    """The same after a pause."""
    NEW_ITERATOR = auto()
    """The iterator has expired."""
    NONE = auto()
    """Somebody has to repair something."""


class Failure(NamedTuple):
    """A call that did not succeed."""

    text: str
    """What is wrong and what to do, as one sentence."""
    remedy: Remedy


Answer = Found | Page | Failure


class GaveUpError(Exception):
    """A stream that cannot be read, with the reason as a sentence."""


@dataclass(eq=False)
class _Shard:
    """One shard while it is read."""

    listed: Listed
    place: Place
    iterator: str | None = None
    due: float = -math.inf
    """When it may be asked next."""
    asked: float = -math.inf
    is_busy: bool = False
    failures: int = 0
    known_to: float = -math.inf
    """Every record that arrived before this has been read."""
    held: deque[Record] = field(default_factory=deque)
    """Read and not yet out."""
    is_done: bool = False


class Walk:
    """A reading of the shards of a stream, from a place on.

    :param shards: those that hold what is to be read, as far as they are there now.
    :param place: where to begin in each of them.
    :param follow: whether to go on at the end of what there is.
    :param until: seconds since 1970: a reading that does not follow ends there at the latest,
        because a busy stream has no end.
    :param only: the shards to be read, and no children of theirs; all if empty.
    """

    def __init__(
        self,
        shards: Iterable[Listed],
        place: Place,
        *,
        follow: bool,
        until: float = math.inf,
        only: frozenset[str] = frozenset(),
    ) -> None:
        self._follow = follow
        self._until = until
        self._only = only
        self._shards: dict[str, _Shard] = {}
        for listed in shards:
            self._add(listed, place)

    def _add(self, listed: Listed, place: Place) -> None:
        if listed.shard_id not in self._shards and (
            not self._only or listed.shard_id in self._only
        ):
            self._shards[listed.shard_id] = _Shard(listed, place)

    # -- what to do ------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether all is read, and out."""
        return all(shard.is_done and not shard.held for shard in self._shards.values())

    def calls(self, now: float, most: int) -> list[Call]:
        """Return the calls to be made now, ``most`` at most; the answers come to :meth:`take`."""
        due = [shard for shard in self._askable() if shard.due <= now]
        due.sort(key=lambda shard: shard.known_to)
        calls: list[Call] = []
        for shard in due[:most]:
            shard.is_busy = True
            shard_id = shard.listed.shard_id
            if shard.iterator is None:
                calls.append(GetIterator(shard_id, shard.place))
            else:
                shard.asked = now
                calls.append(GetRecords(shard_id, shard.iterator))
        return calls

    def deadline(self) -> float:
        """Return when :meth:`calls` has something to say by itself; infinity if never."""
        return min((shard.due for shard in self._askable()), default=math.inf)

    def _askable(self) -> list[_Shard]:
        # What is held has to come out first: so a reading never holds more than a page of each.
        return [
            shard
            for shard in self._shards.values()
            if not (shard.is_done or shard.is_busy or shard.held) and self._is_open_to(shard)
        ]

    def _is_open_to(self, shard: _Shard) -> bool:
        parents = (self._shards.get(parent) for parent in shard.listed.parents)
        return all(parent is None or parent.is_done for parent in parents)

    # -- answers ---------------------------------------------------------------

    def take(self, call: Call, answer: Answer, now: float) -> None:
        """Take the answer of a call.

        :raises GaveUpError: if the reading cannot go on.
        """
        shard = self._shards[call.shard_id]
        shard.is_busy = False
        if isinstance(answer, Failure):
            self._take_failure(shard, answer, now)
            return
        shard.failures = 0
        if isinstance(answer, Page):
            self._take_page(shard, answer)
        else:
            shard.iterator = answer.iterator
            shard.due = max(now, shard.asked + PACE)
            if shard.place.kind == "LATEST":
                # Should the iterator expire, the latest would be another place.
                shard.place = Place("AT_TIMESTAMP", answer.moment)

    def _take_page(self, shard: _Shard, page: Page) -> None:
        shard.iterator = page.iterator
        shard.held.extend(page.records)
        if page.records:
            shard.known_to = max(record.arrival for record in page.records)
            number = page.records[-1].sequence_number
            shard.place = Place("AFTER_SEQUENCE_NUMBER", sequence_number=number)
        shard.due = shard.asked + (POLL if page.at_the_tip else PACE)
        if page.iterator is None:
            shard.is_done = True
            for child in page.children:
                self._add(child, START)
        elif not self._follow and (page.at_the_tip or shard.known_to > self._until):
            shard.is_done = True
        elif page.at_the_tip:
            shard.known_to = math.inf

    def _take_failure(self, shard: _Shard, failure: Failure, now: float) -> None:
        shard.failures += 1
        if failure.remedy is Remedy.NONE:
            raise GaveUpError(failure.text)
        if shard.failures >= _MOST_FAILURES and not self._follow:
            raise GaveUpError(failure.text)
        if failure.remedy is Remedy.NEW_ITERATOR:
            shard.iterator = None
        pause = min(_FIRST_PAUSE * 2 ** (min(shard.failures, 10) - 1), _LONGEST_PAUSE)
        shard.due = now + pause

    # -- what comes out --------------------------------------------------------

    def ready(self) -> list[Record]:
        """Return the records whose turn has come, in order, and forget them."""
        bound = min(
            (self._bound_of(shard) for shard in self._shards.values() if self._is_open_to(shard)),
            default=math.inf,
        )
        parts = [_taken(shard.held, bound) for shard in self._shards.values() if shard.held]
        # Merged, not sorted: within a shard the order is that of the sequence numbers.
        return list(heapq.merge(*parts, key=lambda record: record.arrival))

    def _bound_of(self, shard: _Shard) -> float:
        """Return the time after which no record of another shard may come out yet."""
        if shard.failures or shard.is_done:
            return math.inf
        # What a shard got came after everything that its parents got.
        parents = (self._shards.get(parent) for parent in shard.listed.parents)
        return max([shard.known_to, *(parent.known_to for parent in parents if parent)])


def _taken(held: deque[Record], bound: float) -> list[Record]:
    taken: list[Record] = []
    while held and held[0].arrival <= bound:
        taken.append(held.popleft())
    return taken

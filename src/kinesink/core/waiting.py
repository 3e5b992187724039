"""Entries that wait for something else than their turn: a backoff, others, the shard map.

Law: what waits here is looked at again at a known time, whatever else happens, or when
nothing else is left to be tried.
"""

from __future__ import annotations

import math
from collections import deque
from heapq import heapify, heappop, heappush
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kinesink.core.calls import Remainder
    from kinesink.core.entry import Entry
    from kinesink.core.records import Content, EntryResult

#: Longest wait of a verdict for the shard map, in seconds; then the records travel
#: again, each alone, which is right whatever the map.
VERDICT_PATIENCE: Final = 10.0


class Answer(NamedTuple):
    """What Kinesis said of an entry."""

    of: Remainder
    result: EntryResult
    sent_at: float
    since: float
    """When the answer came."""


class Waiting:
    """The entries in backoff or set aside, and the answers that cannot be judged yet."""

    def __init__(self) -> None:
        #: When they are due, a tie breaker, the entry.
        self._retries: list[tuple[float, int, Entry]] = []
        self._serial = 0
        #: Refused before anything worked; the one refused first on the left.
        self._aside: deque[Entry] = deque()
        #: Oldest answer on the left.
        self._unjudged: deque[Answer] = deque()

    def __len__(self) -> int:
        return len(self._retries) + len(self._aside) + len(self._unjudged)

    def back_off(self, entry: Entry, until: float) -> None:
        """Keep an entry for a while."""
        self._serial += 1
        heappush(self._retries, (until, self._serial, entry))

    def next_due(self, now: float) -> Entry | None:
        """Return an entry whose backoff has ended, if there is one."""
        return heappop(self._retries)[2] if self._retries and self._retries[0][0] <= now else None

    def set_aside(self, entry: Entry) -> None:
        """Keep an entry until others have been tried."""
        self._aside.append(entry)

    def take_aside(self, most: int | None = None) -> list[Entry]:
        """Return what was set aside, the first ``most`` or all of it, and forget it."""
        aside = list(self._aside)[:most]
        self._aside = deque(list(self._aside)[len(aside) :])
        return aside

    @property
    def any_aside(self) -> bool:
        """Whether an entry is set aside."""
        return bool(self._aside)

    def hold(self, answer: Answer) -> None:
        """Keep an answer until the shard map is known better."""
        self._unjudged.append(answer)

    def release(self) -> deque[Answer]:
        """Return the answers that were held, and forget them."""
        released, self._unjudged = self._unjudged, deque()
        return released

    def next_overdue(self, now: float) -> Entry | None:
        """Return what is left of an entry whose answer was held for too long."""
        if self._unjudged and now >= self._unjudged[0].since + VERDICT_PATIENCE:
            return self._unjudged.popleft().of.left
        return None

    def queued(self) -> Iterator[Entry]:
        """Yield the entries to be sent again: those in backoff, and those set aside."""
        yield from (entry for _, _, entry in self._retries)
        yield from self._aside

    def withdraw(self, goes: Callable[[Entry], bool]) -> list[Entry]:
        """Take out the entries to be sent again of which ``goes`` is true."""
        out = [entry for entry in self.queued() if goes(entry)]
        if out:
            self._retries = [retry for retry in self._retries if not goes(retry[2])]
            heapify(self._retries)
            self._aside = deque(entry for entry in self._aside if not goes(entry))
        return out

    def expire(self, oldest_allowed: float) -> list[Content]:
        """Give up the events that are too old and whose answers are held."""
        expired: list[Content] = []
        answers = self.release()
        for answer in answers:
            of = answer.of.expire(oldest_allowed, expired)
            if of.left is not None:
                self._unjudged.append(answer._replace(of=of))
        return expired

    def oldest(self) -> float:
        """Return the arrival of the oldest event here; infinite without any."""
        queued = (entry.oldest for entry in self.queued())
        unjudged = (answer.of.oldest for answer in self._unjudged)
        return min(chain(queued, unjudged), default=math.inf)

    def deadline(self) -> float:
        """Return when an entry is due or an answer was held for too long."""
        due = self._retries[0][0] if self._retries else math.inf
        overdue = self._unjudged[0].since + VERDICT_PATIENCE if self._unjudged else math.inf
        return min(due, overdue)

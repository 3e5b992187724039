"""The PutRecords calls of one stream: what is under way, and whether another may go.

Law: a request is known until its outcome is taken, and what expires meanwhile expires
on time; calls that fail space out the next ones, and no backoff is cut short.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from kinesink.core.entry import Entry
from kinesink.core.retry_policy import FAILURES_BEFORE_PROBING, request_delay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kinesink.core.collector import PutRecordsRequest
    from kinesink.core.options import PipelineOptions
    from kinesink.core.records import Content, Failure
    from kinesink.core.retry_policy import Kind

#: Shortest time for a call, in seconds. The events it carries expire on time all the
#: same; a call cut off a few milliseconds after it began would only look like an
#: outage, and after a real one the oldest events are always about to expire.
SHORTEST_TIMEOUT: Final = 1.0


class Remainder(NamedTuple):
    """An entry under way, and what of it has not expired since it was sent."""

    entry: Entry
    left: Entry | None
    """The entry itself while nothing has expired; None when everything has."""

    @property
    def oldest(self) -> float:
        """Arrival of the oldest event that is left; infinite without any."""
        return math.inf if self.left is None else self.left.oldest

    def expire(self, oldest_allowed: float, expired: list[Content]) -> Remainder:
        """Move the events from ``oldest_allowed`` or before to ``expired``."""
        if self.left is None or self.left.oldest > oldest_allowed:
            return self
        contents: list[Content] = []
        for content in self.left.contents:
            (expired if content.arrival <= oldest_allowed else contents).append(content)
        if not contents:
            return Remainder(self.entry, None)
        return Remainder(self.entry, Entry(contents, size=self.entry.size))


class Calls:
    """The requests under way or to be sent again, and the backoff of the stream."""

    def __init__(self, options: PipelineOptions) -> None:
        self._options = options
        self._under_way: dict[PutRecordsRequest, list[Remainder]] = {}
        #: Halves of refused requests and repetitions, to be sent before anything else.
        self._again: deque[PutRecordsRequest] = deque()
        self._failed_at = -math.inf
        #: When the backoff ends.
        self.blocked_until = -math.inf
        #: Failures in a row; calls that were under way together count once.
        self.failures = 0
        #: Whether Kinesis ever took a request.
        self.ever_succeeded = False
        #: Whether a request that cannot be split was refused before any was taken. Then
        #: splitting others proves nothing, and one entry at a time is tried.
        self.refused_throughout = False
        #: How many entries were refused that way.
        self.refused_alone = 0

    @property
    def wait_to_go_again(self) -> bool:
        """Whether a request waits to be sent again."""
        return bool(self._again)

    @property
    def entries(self) -> int:
        """Entries under way."""
        return sum(map(len, self._under_way.values()))

    @property
    def down(self) -> bool:
        """Whether so many calls have failed in a row that the stream counts as away."""
        return self.failures >= FAILURES_BEFORE_PROBING

    def may_send(self, now: float) -> bool:
        """Tell whether another call may begin; a failing stream is probed by one at a time."""
        most = 1 if self.refused_throughout or self.down else self._options.max_requests_in_flight
        return now >= self.blocked_until and len(self._under_way) < most

    @property
    def max_entries(self) -> int:
        """Most entries that the next request may have."""
        return 1 if self.refused_throughout else self._options.request_max_entries

    def send_again(self, *requests: PutRecordsRequest) -> None:
        """Let requests go before all others."""
        self._again.extend(requests)

    def next_again(self) -> PutRecordsRequest | None:
        """Return the next request to be sent again, if there is one."""
        return self._again.popleft() if self._again else None

    def begin(self, request: PutRecordsRequest, now: float) -> float:
        """Take note of a call that begins; return how long it may take, in seconds."""
        request.sent_at = now
        self._under_way[request] = [Remainder(entry, entry) for entry in request.entries]
        youngest = max(entry.oldest for entry in request.entries)
        left = youngest + self._options.time_to_live - now
        return min(self._options.request_timeout, max(left, SHORTEST_TIMEOUT))

    def end(self, request: PutRecordsRequest) -> list[Remainder] | None:
        """Forget a call; return its entries, None for a call that was given up before."""
        return self._under_way.pop(request, None)

    def succeeded(self) -> None:
        """Take note of an answer."""
        self.failures = 0
        self.ever_succeeded = True
        self.refused_throughout = False
        self.refused_alone = 0

    def failed(self, kind: Kind, failure: Failure, sent_at: float, now: float, draw: float) -> None:
        """Take note of a failed call and back off.

        :param draw: a number from 0 to 1.
        """
        if sent_at >= self._failed_at:
            self.failures += 1
            self._failed_at = now
        delay = request_delay(kind, self.failures, draw, retry_after=failure.retry_after)
        self.blocked_until = max(self.blocked_until, now + delay)

    def expire(self, oldest_allowed: float) -> list[tuple[float, list[Content]]]:
        """Give up what is under way and too old; return it with the time it was sent."""
        gone: list[tuple[float, list[Content]]] = []
        for request, remainders in self._under_way.items():
            expired: list[Content] = []
            for position, remainder in enumerate(remainders):
                if remainder.oldest <= oldest_allowed:
                    remainders[position] = remainder.expire(oldest_allowed, expired)
            if expired:
                gone.append((request.sent_at, expired))
        return gone

    def queued(self) -> Iterator[Entry]:
        """Yield the entries of the requests to be sent again."""
        return (entry for request in self._again for entry in request.entries)

    def withdraw(self, goes: Callable[[Entry], bool]) -> list[Entry]:
        """Take out the entries of the requests to be sent again with one that ``goes``."""
        entries: list[Entry] = []
        for request in list(self._again):
            if any(map(goes, request.entries)):
                self._again.remove(request)
                entries += request.entries
        return entries

    def abandon(self) -> list[Content]:
        """Forget all calls; return what was under way and had not expired."""
        lefts = [left for call in self._under_way.values() for _, left in call if left is not None]
        self._under_way.clear()
        return [content for left in lefts for content in left.contents]

    def oldest(self) -> float:
        """Return the arrival of the oldest event here; infinite without any."""
        under_way = (left.oldest for call in self._under_way.values() for left in call)
        again = (entry.oldest for entry in self.queued())
        return min(min(under_way, default=math.inf), min(again, default=math.inf))

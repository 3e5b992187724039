"""Entries that may go now to PutRecords requests.

Law: no request exceeds its limits of entries and bytes, and no shard its share of a
request, except that a request is never empty: the first entry always fits. What is
left over stays where it was, first in line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinesink.core.hash_key import hash_key_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.core.entry import Entry
    from kinesink.core.options import PipelineOptions
    from kinesink.core.pace import ShardPace
    from kinesink.core.rate_limiter import RateLimiter
    from kinesink.core.records import PutRecordsEntry, ShardId
    from kinesink.core.retry_policy import Kind


class PutRecordsRequest:
    """One PutRecords call: its entries, and the same as they go on the wire."""

    __slots__ = ("entries", "resent", "sent_at", "size", "wire")

    def __init__(self, entries: list[Entry], wire: list[PutRecordsEntry]) -> None:
        self.entries = entries
        #: What to send, position by position.
        self.wire = wire
        #: Data and partition keys, in bytes.
        self.size = sum(len(slot.data) + len(slot.partition_key.encode()) for slot in wire)
        #: When it was sent, in seconds on the monotonic clock.
        self.sent_at = 0.0
        #: The failure for which it was sent again at once; None if it was not.
        self.resent: Kind | None = None

    @property
    def oldest(self) -> float:
        """Arrival of the oldest event it carries."""
        return min(entry.oldest for entry in self.entries)

    def without(self, gone: set[Entry]) -> PutRecordsRequest | None:
        """Return the request less some entries; None if none is left."""
        if not any(entry in gone for entry in self.entries):
            return self
        kept = [
            (entry, slot)
            for entry, slot in zip(self.entries, self.wire, strict=True)
            if entry not in gone
        ]
        if not kept:
            return None
        request = PutRecordsRequest([entry for entry, _ in kept], [slot for _, slot in kept])
        request.resent = self.resent
        return request

    def halves(self) -> tuple[PutRecordsRequest, PutRecordsRequest]:
        """Return two requests that carry the same entries, to find the bad one."""
        middle = len(self.entries) // 2
        return (
            PutRecordsRequest(self.entries[:middle], self.wire[:middle]),
            PutRecordsRequest(self.entries[middle:], self.wire[middle:]),
        )


class _Draft:
    """A request being filled."""

    def __init__(self, options: PipelineOptions, max_entries: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = options.request_max_bytes
        self._max_share = options.request_max_bytes_per_shard
        self._shares: dict[ShardId, int] = {}
        self.entries: list[Entry] = []
        self.size = 0
        self.full = False

    def has_room(self, size: int) -> bool:
        """Tell whether another entry fits; a request that is too full takes no more."""
        if self.entries and self.size + size > self._max_bytes:
            self.full = True
        return not self.full

    def grants(self, shard_id: ShardId | None, size: int) -> bool:
        """Tell whether the shard may have another entry of ``size`` bytes."""
        share = self._shares.get(shard_id, 0) if shard_id is not None else 0
        return share == 0 or share + size <= self._max_share

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.size += entry.size
        if entry.predicted is not None:
            share = self._shares.get(entry.predicted, 0)
            self._shares[entry.predicted] = share + entry.size
        if len(self.entries) >= self._max_entries:
            self.full = True


#: The first turn is drawn among so many.
_MANY_TURNS: Final = 2**32


class Collector:
    """Forms requests from what the rate limiter lets go."""

    def __init__(
        self,
        options: PipelineOptions,
        *,
        jitter: float = 0.0,
        rest: Callable[[], object] = lambda: None,
    ) -> None:
        """Begin anew.

        :param jitter: a number from 0 to 1 that says with which of its keys the keyless
            events begin; drawn, for the same reason as the limiter's.
        :param rest: called after each entry that was encoded, which takes its time.
        """
        self._options = options
        self._rest = rest
        self._turn = int(jitter * _MANY_TURNS)
        self._failed: list[tuple[Entry, Exception]] = []

    def form(
        self, limiter: RateLimiter, now: float, *, max_entries: int | None = None
    ) -> PutRecordsRequest | None:
        """Return the next request, or None when no entry may go now.

        :param max_entries: take fewer than the options allow.
        """
        draft = _Draft(self._options, max_entries or self._options.request_max_entries)
        self._take_keyed(limiter, draft, now)
        self._take_keyless(limiter, draft, now)
        if not draft.entries:
            return None
        entries, wire = [], []
        for entry in draft.entries:
            self._turn += 1
            try:
                slot = entry.encode(self._turn)
            except Exception as error:  # noqa: BLE001 - whatever it is, its neighbours go on
                self._failed.append((entry, error))
            else:
                entries.append(entry)
                wire.append(slot)
            self._rest()
        return PutRecordsRequest(entries, wire) if wire else None

    def take_failed(self) -> list[tuple[Entry, Exception]]:
        """Return the entries that an error of our own kept from being encoded, and forget them."""
        failed, self._failed = self._failed, []
        return failed

    def _take_keyed(self, limiter: RateLimiter, draft: _Draft, now: float) -> None:
        looked_at: list[tuple[ShardPace, float]] = []
        for pace in limiter.ready_paces(now):
            looked_at.append((pace, self._take_from(pace, limiter, draft, now)))
            if draft.full:
                break
        for pace, wait in looked_at:
            limiter.put_back(pace, now, wait)

    def _take_from(self, pace: ShardPace, limiter: RateLimiter, draft: _Draft, now: float) -> float:
        """Move entries of one shard into the draft; return the wait of the next one."""
        while pace.queue:
            keyless = limiter.yields(pace)
            size = (limiter.keyless if keyless else pace.queue)[0].size
            wait = pace.wait(size, now)
            if wait > 0:
                return wait
            if not draft.has_room(size) or not draft.grants(pace.shard_id, size):
                return 0.0
            pace.spend(size)
            draft.add(limiter.take_for(pace) if keyless else limiter.take(pace.queue))
        return 0.0

    def _take_keyless(self, limiter: RateLimiter, draft: _Draft, now: float) -> None:
        while limiter.keyless and not draft.full and limiter.keyless_at <= now:
            entry = limiter.keyless[0]
            if not draft.has_room(entry.size):
                return
            if limiter.has_shards:
                pace = limiter.place_keyless(entry.size, now, draft.grants)
                if pace is None:
                    return
                pace.spend(entry.size)
                draft.add(limiter.take_for(pace))
            else:
                self._turn += 1
                entry.bind(None, hash_key_of(str(self._turn)))
                draft.add(limiter.take(limiter.keyless))

"""A pipeline, a stream and a clock in one hand: Kinesis is played synchronously, without a loop.

The stream is the fake's own model (hash key ranges, resharding, AUTO); what is read back is
read as a consumer built on the KCL does.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Final, TypedDict

from kinesink.core.effects import (
    Delivered,
    DescribeStream,
    Dropped,
    ListShards,
    Report,
    SendRequest,
)
from kinesink.core.options import PipelineOptions
from kinesink.core.pipeline import Pipeline
from kinesink.core.records import (
    Answered,
    Chunk,
    EntryResult,
    Failure,
    ShardDescription,
    ShardId,
    StreamSummary,
    UserRecord,
)
from kinesink.core.retry_policy import READ_TIMEOUT
from kinesink.testing.consumer import read_like_kcl
from kinesink.testing.streams import Put, SequenceNumbers, Stream, equal_ranges

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kinesink.core.collector import PutRecordsRequest
    from kinesink.core.options import Framing
    from kinesink.core.records import Content, DropReason, RecordResult

Outcome = Answered | Failure
Script = "Callable[[World, PutRecordsRequest], Outcome | None]"

THROTTLED: Final = EntryResult(
    error_code="ProvisionedThroughputExceededException", error_message="Rate exceeded"
)
FAULT: Final = EntryResult(error_code="InternalFailure", error_message="Internal Service Failure")
DENIED: Final = Failure("AccessDeniedException", "not authorized")
OPEN_RATE: Final = math.inf


class Options(TypedDict, total=False):
    """What tests choose of the options of a pipeline."""

    linger: float
    time_to_live: float
    framing: Framing
    aggregate_max_bytes: int
    request_max_entries: int
    record_max_bytes: int
    shard_rate_limit: float
    fail_if_throttled: bool
    request_timeout: float
    max_requests_in_flight: int


class Ticket:
    """Somebody who waits for the result of a user record."""

    def __init__(self) -> None:
        self.results: list[RecordResult] = []

    def resolve(self, result: RecordResult) -> None:
        """Take the result."""
        self.results.append(result)


@dataclass
class World:
    """Everything around one pipeline; ``run`` lets time pass."""

    shards: int = 1
    options: PipelineOptions = field(default_factory=PipelineOptions)
    latency: float = 0.02
    jitter: float = 1.0
    now: float = 1000.0
    distribution: str | None = None
    max_record_bytes: int | None = None

    def __post_init__(self) -> None:
        """Create the stream and the pipeline."""
        self.stream = Stream("s", "arn", "0", 0, 0.0, SequenceNumbers())
        self.stream.distribution = self.distribution
        self.stream.add_shards(equal_ranges(self.shards), self.now)
        self.created = 0.0
        self.pipeline = Pipeline(
            self.options, stream_name="s", now=self.now, jitter=lambda: self.jitter
        )
        #: What the next calls of PutRecords get instead of the stream's answer; None hangs.
        self.script: deque[Callable[[PutRecordsRequest], Outcome | None]] = deque()
        #: What every call gets after the script.
        self.always: Callable[[PutRecordsRequest], Outcome | None] = self.write
        self.listing: Sequence[ShardDescription] | Failure | None = None
        self.summary: StreamSummary | Failure | None = None
        self.answers_questions = True
        self.sent: list[SendRequest] = []
        self.sent_at: list[float] = []
        self.questions: Counter[str] = Counter()
        self.results: list[Delivered] = []
        self.dropped: list[Dropped] = []
        self.reports: list[Report] = []
        self.listings_under_way = 0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = count()

    # What goes in

    def keyless(self, *data: bytes) -> Chunk:
        """Add keyless events."""
        chunk = Chunk(list(data), self.now)
        self.add(chunk)
        return chunk

    def keyed(
        self, data: bytes, key: str = "k", hash_key: int | None = None, *, waited: bool = False
    ) -> UserRecord:
        """Add an event with a key, ``waited`` for if somebody waits for its result."""
        record = UserRecord(
            data,
            arrival=self.now,
            partition_key=key,
            explicit_hash_key=hash_key,
            ticket=Ticket() if waited else None,
        )
        self.add(record)
        return record

    def add(self, *contents: Content) -> None:
        """Add contents that have arrived now or before."""
        self.pipeline.add(contents, self.now)

    # What happens

    def run(self, seconds: float = 1.0) -> World:
        """Let time pass, carrying out effects and answering after the latency."""
        end = self.now + seconds
        for _ in range(100_000):
            self.step()
            due = self._due[0][0] if self._due else math.inf
            wake = min(due, self.pipeline.deadline(self.now))
            if wake > end:
                self.now = end
                self.step()
                return self
            self.now = max(self.now, wake)
            while self._due and self._due[0][0] <= self.now:
                heappop(self._due)[2]()
        msg = "the pipeline does not come to rest"
        raise AssertionError(msg)

    def step(self) -> None:
        """Carry out what the pipeline asks for now."""
        for effect in self.pipeline.effects(self.now):
            match effect:
                case SendRequest():
                    self._send(effect)
                case ListShards():
                    self.questions["ListShards"] += 1
                    self.listings_under_way += 1
                    assert self.listings_under_way == 1
                    if self.answers_questions:
                        self.at(self.now + self.latency, self.list_shards)
                case DescribeStream():
                    self.questions["DescribeStreamSummary"] += 1
                    if self.answers_questions:
                        self.at(self.now + self.latency, self.describe)
                case Delivered():
                    self.results.append(effect)
                    assert isinstance(effect.record.ticket, Ticket)
                    effect.record.ticket.resolve(effect.result)
                case Dropped():
                    self._dropped(effect)
                case Report():
                    self.reports.append(effect)
        assert self.pipeline.deadline(self.now) > self.now

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Let something happen at a time."""
        heappush(self._due, (time, next(self._serial), action))

    def list_shards(self) -> None:
        """Answer ListShards."""
        self.listings_under_way -= 1
        listing = self.listing
        if listing is None:
            listing = self.open_shards()
        self.pipeline.shards_listed(listing, self.now)

    def describe(self) -> None:
        """Answer DescribeStreamSummary."""
        summary = self.summary
        if summary is None:
            summary = StreamSummary(
                self.max_record_bytes, self.stream.distribution, created=self.created
            )
        self.pipeline.stream_described(summary, self.now)

    def open_shards(self) -> list[ShardDescription]:
        """Return the truth about the shards."""
        return [
            ShardDescription(ShardId(shard.shard_id), *shard.hash_key_range)
            for shard in self.stream.open_shards
        ]

    def split(self, position: int = 0) -> None:
        """Split an open shard in the middle."""
        shard = self.stream.open_shards[position]
        self.stream.split(shard, shard.hash_key_range.midpoint + 1, self.now)

    def merge(self, position: int = 0) -> None:
        """Merge an open shard with the next one."""
        shards = self.stream.open_shards
        self.stream.merge(shards[position], shards[position + 1], self.now)

    # How Kinesis answers

    def write(self, request: PutRecordsRequest) -> Answered:
        """Write every entry."""
        return Answered([self.write_entry(request, i) for i in range(len(request.wire))])

    def write_entry(self, request: PutRecordsRequest, position: int) -> EntryResult:
        """Write one entry."""
        slot = request.wire[position]
        explicit = None if slot.explicit_hash_key is None else int(slot.explicit_hash_key)
        put = Put(slot.data, slot.partition_key, explicit)
        stored = self.stream.store(self.stream.place(put), put, self.now)
        return EntryResult(stored.shard_id, stored.sequence_number)

    # What came of it

    @property
    def written(self) -> list[bytes]:
        """The data of the Kinesis records as they landed."""
        records = sorted(self.stream.records(), key=lambda record: record.sequence_number)
        return [record.data for record in records]

    @property
    def consumed(self) -> list[bytes]:
        """The data of every copy that a consumer like the KCL receives."""
        return [record.data for record in read_like_kcl(self.stream.shards.values())[0]]

    @property
    def copies(self) -> Counter[bytes]:
        """How often the consumer receives what."""
        return Counter(self.consumed)

    @property
    def stray(self) -> int:
        """Aggregated records that the consumer throws away."""
        return len(read_like_kcl(self.stream.shards.values())[1])

    def lost(self, reason: DropReason) -> int:
        """Return how many events were dropped for a reason."""
        return self.pipeline.ledger.dropped.get(reason, 0)

    def check(self, *, delivered: int | None = None) -> None:
        """Check that the account closes, with nothing pending."""
        ledger = self.pipeline.ledger
        assert ledger.accepted == ledger.delivered + sum(ledger.dropped.values()) + ledger.pending
        assert (ledger.pending, ledger.pending_bytes) == (0, 0)
        assert ledger.ended(ledger.epoch)
        if delivered is not None:
            assert ledger.delivered == delivered

    def _send(self, effect: SendRequest) -> None:
        request = effect.request
        assert 0 < effect.timeout <= self.options.request_timeout
        assert 0 < len(request.wire) <= self.options.request_max_entries
        assert request.size <= self.options.request_max_bytes or len(request.wire) == 1
        self.sent.append(effect)
        self.sent_at.append(self.now)
        outcome = (self.script.popleft() if self.script else self.always)(request)
        wait = self.latency
        if outcome is None:
            outcome, wait = Failure(READ_TIMEOUT, "no answer"), effect.timeout

        def answer() -> None:
            self.pipeline.request_done(request, outcome, self.now)

        self.at(self.now + wait, answer)

    def _dropped(self, effect: Dropped) -> None:
        self.dropped.append(effect)
        if effect.result is not None:
            (record,) = effect.contents
            assert isinstance(record, UserRecord)
            assert isinstance(record.ticket, Ticket)
            record.ticket.resolve(effect.result)


def result_of(record: UserRecord) -> RecordResult:
    """Return the one result that somebody was told for a record."""
    assert isinstance(record.ticket, Ticket)
    (result,) = record.ticket.results
    return result


def reply(outcome: Outcome) -> Callable[[PutRecordsRequest], Outcome]:
    """Return an answer that has this outcome, whatever is sent."""
    return lambda _: outcome


def refuse(failure: Failure) -> Callable[[PutRecordsRequest], Outcome]:
    """Return an answer that refuses the whole request."""
    return reply(failure)


def hang(_: PutRecordsRequest) -> None:
    """Never answer."""


def codes(record: UserRecord) -> list[str | None]:
    """Return the error codes of the attempts of a record that has ended."""
    return [attempt.error_code for attempt in result_of(record).attempts]

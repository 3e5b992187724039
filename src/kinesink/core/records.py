"""What travels: user records and chunks, entries, requests, and what came of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import compress
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NewType, Protocol

from kinesink.core.hash_key import keys_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.core.hash_key import Keys

ShardId = NewType("ShardId", str)


class DropReason(str, Enum):
    """Why an event was given up; each drop has exactly one reason."""

    QUEUE_FULL = "queue_full"
    """A bound on what is pending was reached, in bytes or in events."""
    SHED = "shed"
    """Room was scarce, and left to events of higher levels."""
    TOO_LARGE = "too_large"
    """The event exceeds the record limit of the stream."""
    INVALID = "invalid"
    """The partition key or the explicit hash key is none that Kinesis accepts."""
    INTERNAL = "internal"
    """An error of kinesink's own; it is built so that this stays 0, and says so loudly."""
    EXPIRED = "expired"
    """The time to live ended before Kinesis took the event."""
    REJECTED = "rejected"
    """Kinesis refused the event for good."""
    THROTTLED = "throttled"
    """Refused for rate while ``fail_if_throttled`` is on."""
    SPOOL_FAILED = "spool_failed"
    """Its file in the spool could not be read any more, and has been set aside."""
    SPOOL_FULL = "spool_full"
    """The bound of the spool was reached, and it was the oldest."""
    SHUTDOWN = "shutdown"
    """The time for the shutdown ended first."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One PutRecords call that carried the user record, or its expiry."""

    started: float
    """When, in seconds since the epoch."""
    duration: float
    """How long the call took, in seconds."""
    success: bool
    """Whether Kinesis took the entry."""
    shard_id: str | None = None
    """The actual shard, when the entry was taken."""
    error_code: str | None = None
    """The code of the service, or of the client for what never arrived."""
    error_message: str | None = None
    """The service's text."""


@dataclass(frozen=True, slots=True)
class RecordResult:
    """What became of one user record."""

    success: bool
    """Whether Kinesis has acknowledged it."""
    shard_id: str | None
    """The actual shard."""
    sequence_number: str | None
    """The sequence number of the entry; sub-records of one aggregate share it."""
    attempts: tuple[Attempt, ...]
    """What was tried, oldest first; at most :data:`ATTEMPTS_KEPT`, the newest."""
    reason: DropReason | None = None
    """Why it was given up; None on success."""
    error: str | None = None
    """The last error in words; None on success."""

    def __str__(self) -> str:
        """Return one line for people."""
        if self.success:
            return f"delivered to {self.shard_id} as {self.sequence_number}"
        reason = self.reason.value if self.reason else "no reason given"
        return f"not delivered ({reason}): {self.error}"


#: Attempts remembered per user record, so that an outage of days costs no memory.
ATTEMPTS_KEPT: Final = 32


class Ticket(Protocol):
    """Where the result of a user record goes when somebody waits for it."""

    def resolve(self, result: RecordResult) -> None:
        """Take the result. Called exactly once."""


class Chunk:
    """Events that arrived together and that nobody waits for: all keyless, or all keyed.

    One object per drain of the intake, not per event: this is what makes a log
    event cheap.
    """

    __slots__ = ("arrival", "data", "epoch", "keys")

    def __init__(
        self, data: list[bytes], arrival: float, epoch: int = 0, keys: list[Keys] | None = None
    ) -> None:
        """Take both lists over.

        :param keys: those of each event; None for keyless ones.
        """
        self.data = data
        self.arrival = arrival
        self.epoch = epoch
        self.keys = keys

    def __len__(self) -> int:
        return len(self.data)

    @property
    def keyless(self) -> bool:
        """Whether its events have no keys."""
        return self.keys is None

    def each(self) -> list[bytes]:
        """Return the data of each event."""
        return self.data

    def each_keys(self) -> list[Keys]:
        """Return the keys of each event; none at all of keyless ones."""
        return [] if self.keys is None else self.keys

    def part(self, start: int, end: int) -> Chunk:
        """Return the events from ``start`` up to ``end``: itself, if those are all."""
        if end - start == len(self.data):
            return self
        keys = None if self.keys is None else self.keys[start:end]
        return Chunk(self.data[start:end], self.arrival, self.epoch, keys)

    def only(self, chosen: list[bool]) -> Chunk:
        """Return the events for which ``chosen`` is true."""
        keys = None if self.keys is None else list(compress(self.keys, chosen))
        return Chunk(list(compress(self.data, chosen)), self.arrival, self.epoch, keys)

    def cut(self, events: int) -> Chunk:
        """Take the first so many events out, fewer than it has, and return them."""
        first, rest = self.part(0, events), self.part(events, len(self.data))
        self.data, self.keys = rest.data, rest.keys
        return first


class UserRecord:
    """One event with somebody who waits for its result, or that is alone otherwise."""

    __slots__ = ("arrival", "attempts", "data", "epoch", "keys", "ticket")

    def __init__(  # noqa: PLR0913 - the fields of the record
        self,
        data: bytes,
        *,
        arrival: float,
        partition_key: str | None = None,
        explicit_hash_key: int | None = None,
        ticket: Ticket | None = None,
        epoch: int = 0,
    ) -> None:
        """Take an event.

        :raises TypeError, ValueError: as :func:`kinesink.core.hash_key.keys_of`.
        """
        self.data = data
        self.arrival = arrival
        self.ticket = ticket
        self.epoch = epoch
        #: None for a keyless one.
        self.keys = keys_of(partition_key, explicit_hash_key)
        self.attempts: list[Attempt] = []

    def __len__(self) -> int:
        return 1

    def each(self) -> list[bytes]:
        """Return the data of each event: of one."""
        return [self.data]

    def each_keys(self) -> list[Keys]:
        """Return the keys of each event; none at all of a keyless one."""
        return [] if self.keys is None else [self.keys]

    @property
    def keyless(self) -> bool:
        """Whether it has no keys."""
        return self.keys is None

    @property
    def partition_key(self) -> str | None:
        """Its partition key; None for a keyless one."""
        return None if self.keys is None else self.keys.partition_key

    @property
    def explicit_hash_key(self) -> int | None:
        """Its explicit hash key, if it has one."""
        return None if self.keys is None else self.keys.explicit_hash_key

    def part(self, _start: int, _end: int) -> UserRecord:
        """Return itself: it is the one event that it has."""
        return self

    def only(self, _chosen: list[bool]) -> UserRecord:
        """Return itself: it is the one event that it has."""
        return self


Content = Chunk | UserRecord
"""What an entry carries: a run of events or one user record. All with keys, or none."""


#: Returns when a content arrived, in seconds.
arrival_of: Final[Callable[[Content], float]] = attrgetter("arrival")


def is_waited_for(content: Content) -> bool:
    """Tell whether somebody waits for the result of a content."""
    return isinstance(content, UserRecord) and content.ticket is not None


@dataclass(frozen=True, slots=True)
class PutRecordsEntry:
    """One slot of a PutRecords call, as it goes on the wire."""

    data: bytes
    partition_key: str
    explicit_hash_key: str | None = None


@dataclass(frozen=True, slots=True)
class EntryResult:
    """The answer to one entry, at the entry's position."""

    shard_id: str | None = None
    sequence_number: str | None = None
    error_code: str | None = None
    error_message: str | None = None

    @property
    def success(self) -> bool:
        """Whether the entry was written: a sequence number and no error code."""
        return bool(self.sequence_number) and not self.error_code


@dataclass(frozen=True, slots=True)
class Answered:
    """A PutRecords call that Kinesis answered with results, position by position."""

    results: list[EntryResult]


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that was refused or failed as a whole."""

    code: str
    """The service's error code without prefixes; for what never got an answer one of
    the client's own (see :mod:`kinesink.core.retry_policy`); ``HTTP 502`` and the
    like where the answer carried no code."""
    message: str
    """What happened in words, with request ids when there are any; never credentials."""
    status: int | None = None
    """The HTTP status, None when there was no answer."""
    retry_after: float | None = None
    """What the answer asked to wait, in seconds."""


@dataclass(frozen=True, slots=True)
class ShardDescription:
    """One open shard of a listing."""

    shard_id: ShardId
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """What DescribeStreamSummary says and the pipeline uses."""

    record_max_bytes: int | None = None
    """``MaxRecordSizeInKiB`` in bytes; None when the member is absent."""
    record_distribution: str | None = None
    """``AUTO``, ``USER_PARTITION_KEY``, or None when the member is absent."""
    stream_mode: str | None = None
    """``PROVISIONED`` or ``ON_DEMAND``."""
    status: str | None = None
    """``CREATING``, ``ACTIVE``, ``UPDATING`` or ``DELETING``."""
    created: float | None = None
    """When the stream was created, in seconds since the epoch."""

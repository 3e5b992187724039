"""The streams of one account in one region, and what each request may ask of them."""

from dataclasses import dataclass
from itertools import count
from typing import Protocol

from kinesink.testing.errors import ApiError, invalid_argument, not_found
from kinesink.testing.faults import Plan
from kinesink.testing.limits import ShardLimits
from kinesink.testing.shapes import Members
from kinesink.testing.streams import (
    AUTO,
    ON_DEMAND,
    PROVISIONED,
    USER_PARTITION_KEY,
    SequenceNumbers,
    Stream,
    equal_ranges,
)

__all__ = ["Context", "Service", "StreamSettings", "set_distribution", "set_mode", "stream_of_arn"]

_OPEN_FOR_WRITES = ("ACTIVE", "UPDATING")


@dataclass(frozen=True)
class StreamSettings:
    """What a new stream is to be like."""

    shards: int
    max_record_kib: int = 1024
    mode: str = PROVISIONED
    distribution: str | None = None
    """None: ``USER_PARTITION_KEY`` on-demand, and no strategy when provisioned."""


class Options(Protocol):
    """What :class:`Service` asks of the fake it belongs to, each time it matters."""

    @property
    def region(self) -> str:
        """The region in ARNs."""

    @property
    def account(self) -> str:
        """The account in ARNs and texts."""

    @property
    def shard_limits(self) -> ShardLimits | None:
        """What the shards of a new stream take per second; None: anything."""

    @property
    def keep_records(self) -> int | None:
        """About how many records the shards of a new stream remember; None: all."""

    @property
    def oversize_fails_entry(self) -> bool:
        """Whether a record over the stream's limit fails alone, or its request as a whole."""

    @property
    def transition(self) -> float:
        """Seconds that a stream stays CREATING, UPDATING or DELETING after an API call."""


class Service:
    """Streams by name. Not thread-safe."""

    def __init__(self, options: Options) -> None:
        """Start without streams."""
        self.options = options
        self.streams: dict[str, Stream] = {}
        self.numbers = SequenceNumbers()
        self._incarnations = count()

    def arn(self, name: str) -> str:
        """Return the ARN of a stream of this account and region."""
        return f"arn:aws:kinesis:{self.options.region}:{self.options.account}:stream/{name}"

    def create(self, name: str, settings: StreamSettings, now: float) -> Stream:
        """Open a new stream, ACTIVE at once."""
        self._forget_deleted(now)
        if name in self.streams:
            raise ApiError(
                "ResourceInUseException",
                f"Stream {name} under account {self.options.account} already exists.",
            )
        stream = self.new_stream(name, now)
        stream.max_record_kib = settings.max_record_kib
        set_mode(stream, settings.mode)
        if settings.distribution is not None:
            set_distribution(stream, settings.distribution)
        stream.add_shards(equal_ranges(settings.shards), now)
        self.streams[name] = stream
        return stream

    def new_stream(self, name: str, created_at: float) -> Stream:
        """Return a stream without shards, as the options say, which is in no list yet."""
        return Stream(
            name,
            self.arn(name),
            self.options.account,
            next(self._incarnations),
            created_at,
            self.numbers,
            limits=self.options.shard_limits,
            keep_records=self.options.keep_records,
        )

    def delete(self, stream: Stream, now: float) -> None:
        """Begin to delete a stream; it is gone after ``transition`` seconds."""
        stream.begin("DELETING", now + self.options.transition)
        self._forget_deleted(now)

    def named(self, name: str, now: float) -> Stream:
        """Return a stream by name, or raise ``ResourceNotFoundException``."""
        self._forget_deleted(now)
        try:
            return self.streams[name]
        except KeyError:
            raise not_found(
                f"Stream {name} under account {self.options.account} not found."
            ) from None

    def find(self, members: Members, now: float) -> Stream:
        """Return the stream that a request names, by name, ARN or both."""
        name, arn = members.text("StreamName"), members.text("StreamARN")
        if not (name or arn):
            raise invalid_argument("Either StreamName or StreamARN must be given.")
        if name and arn and self.arn(name) != arn:
            raise invalid_argument(f"StreamName {name} and StreamARN {arn} are not the same stream")
        if arn and self.arn(stream_of_arn(arn)) != arn:
            raise not_found(f"Stream {arn} not found.")
        return self.named(name or stream_of_arn(arn), now)

    def require_writable(self, stream: Stream, now: float) -> None:
        """Raise ``ResourceInUseException`` while a stream is created or deleted."""
        if stream.status(now) not in _OPEN_FOR_WRITES:
            raise self._in_use(stream, now)

    def require_active(self, stream: Stream, now: float) -> None:
        """Raise ``ResourceInUseException`` while something about a stream is changing."""
        if stream.status(now) != "ACTIVE":
            raise self._in_use(stream, now)

    def _in_use(self, stream: Stream, now: float) -> ApiError:
        return ApiError(
            "ResourceInUseException",
            f"Stream {stream.name} under account {self.options.account} not ACTIVE, "
            f"instead in state {stream.status(now)}",
        )

    def _forget_deleted(self, now: float) -> None:
        for name, stream in list(self.streams.items()):
            if stream.transition == "DELETING" and now >= stream.transition_ends:
                del self.streams[name]


def stream_of_arn(arn: str) -> str:
    """Return the name at the end of a stream's ARN."""
    return arn.rpartition("/")[2]


def set_mode(stream: Stream, mode: str) -> None:
    """Switch the capacity mode; only on-demand streams have a record distribution strategy."""
    if mode != stream.mode:
        stream.mode = mode
        stream.distribution = USER_PARTITION_KEY if mode == ON_DEMAND else None


def set_distribution(stream: Stream, distribution: str) -> None:
    """Switch the record distribution strategy of an on-demand stream."""
    if distribution not in (AUTO, USER_PARTITION_KEY):
        raise invalid_argument(f"{distribution} is not a record distribution strategy")
    if stream.mode != ON_DEMAND:
        raise ApiError(
            "ValidationException",
            f"Stream {stream.name} is provisioned; only on-demand streams have a "
            "record distribution strategy.",
        )
    stream.distribution = distribution


@dataclass(frozen=True)
class Context:
    """What an operation works with."""

    service: Service
    plan: Plan
    now: float
    """Seconds on the fake's clock."""

    def stream(self, members: Members) -> Stream:
        """Return the stream that the request names."""
        return self.service.find(members, self.now)

    def active_stream(self, members: Members) -> Stream:
        """Return the stream that the request names, if nothing about it is changing."""
        stream = self.stream(members)
        self.service.require_active(stream, self.now)
        return stream

    def begin(self, status: str, stream: Stream) -> None:
        """Have a stream be CREATING or UPDATING for the service's ``transition``."""
        stream.begin(status, self.now + self.service.options.transition)

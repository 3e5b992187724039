"""FakeKinesis: Amazon Kinesis Data Streams in memory, with everything that can go wrong."""

import base64
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import httpx

from kinesink.testing.consumer import ConsumedRecord, read_like_kcl
from kinesink.testing.errors import ApiError
from kinesink.testing.exchange import NO_PAUSE, Call, Gate, Held, Reply, Request
from kinesink.testing.faults import Fault, FaultScript, Plan
from kinesink.testing.limits import ShardLimits
from kinesink.testing.operations import OPERATIONS
from kinesink.testing.reading import stream_of_token
from kinesink.testing.server import Server
from kinesink.testing.service import (
    Context,
    Service,
    StreamSettings,
    set_distribution,
    set_mode,
    stream_of_arn,
)
from kinesink.testing.shapes import Members, read_members
from kinesink.testing.signature import clock_refusal, credentials_refusal
from kinesink.testing.snapshot import read_snapshot, write_snapshot
from kinesink.testing.streams import (
    ON_DEMAND,
    PROVISIONED,
    Put,
    ShardView,
    StoredRecord,
    Stream,
)
from kinesink.testing.transport import FakeTransport
from kinesink.testing.wire import Format, format_of

__all__ = ["FakeKinesis"]

_TARGET: Final = "Kinesis_20131202"

_UNRECOGNISED: Final = Reply(
    403,
    {"Content-Type": "text/xml"},
    b"<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be "
    b"authorized</Message>\n</AccessDeniedException>\n",
)
"""The answer to what is no request of this API at all: neither format nor error code."""


@dataclass(kw_only=True, eq=False)
class FakeKinesis:
    """The service in memory: real hash key ranges, real formats, scripted trouble.

    Reach it through :meth:`transport` (httpx, no sockets) or :meth:`serve` (a loopback
    server for any client), and look at it and change it with the methods below. It is
    thread-safe: one lock guards all state. It never waits, so a virtual clock rules it.
    The options below may be changed at any time, but for the last two.
    """

    clock: Callable[[], float] = time.time
    """Seconds since the epoch."""
    limits: bool | ShardLimits = False
    """Whether shards refuse what is over 1,000 records/s or 1 MiB/s, or over other limits;
    counts for streams created afterwards."""
    check_clock: bool = False
    """Whether requests dated more than 5 minutes off the clock are refused."""
    oversize_fails_entry: bool = False
    """A record over the stream's limit fails alone (True) or its whole request (False); what
    the service does is not documented, so a client has to survive both."""
    transition: float = 0.0
    """Seconds that a stream stays CREATING, UPDATING or DELETING after an API call."""
    region: str = "us-east-1"
    account: str = "000000000000"
    expired_tokens: set[str] = field(default_factory=set)
    """Security tokens that are answered with ``ExpiredTokenException``."""
    keep_records: int | None = None
    """About how many records each shard remembers, for long runs; None: all. Counts for
    streams created afterwards."""
    keep_calls: int | None = 10_000
    """How many of the last calls :attr:`calls` holds, the data in them included; 0: none,
    None: all."""
    seed: int = 0
    """Of the random numbers that decide about shares."""
    faults: FaultScript = field(default_factory=FaultScript, init=False)
    """What goes wrong; see :mod:`kinesink.testing.faults`."""

    def __post_init__(self) -> None:
        """Start without streams."""
        self._service = Service(self)
        self._lock = threading.RLock()
        self._calls: deque[Call] = deque(maxlen=self.keep_calls)
        self._counts: Counter[str] = Counter()
        self._gate = Gate()
        self._random = Random(self.seed)  # noqa: S311 - decides which test entry fails
        self._replies = 0

    def __repr__(self) -> str:
        """Return streams, shards and calls in one line."""
        with self._lock:
            streams = ", ".join(
                f"{stream.name} ({len(stream.open_shards)} open shards, "
                f"{sum(1 for _ in stream.records())} records)"
                for stream in self._service.streams.values()
            )
            return f"<FakeKinesis: {streams or 'no streams'}; {self._counts.total()} calls>"

    @property
    def shard_limits(self) -> ShardLimits | None:
        """What :attr:`limits` comes to."""
        return ShardLimits() if self.limits is True else self.limits or None

    # Ways in

    def transport(self) -> httpx.AsyncBaseTransport:
        """Return a transport for ``httpx.AsyncClient``, on asyncio and on trio."""
        return FakeTransport(self.answer)

    def serve(self, port: int = 0) -> Server:
        """Return a loopback HTTP server, to be used in a ``with`` block; port 0: any free one."""
        return Server(self.answer, port)

    # Streams

    def create_stream(
        self,
        name: str,
        *,
        shards: int = 1,
        max_record_kib: int = 1024,
        mode: str | None = None,
        distribution: str | None = None,
    ) -> None:
        """Create a stream of equal shards, ACTIVE at once.

        ``mode`` is ``PROVISIONED`` unless a ``distribution`` (``AUTO`` or
        ``USER_PARTITION_KEY``) asks for ``ON_DEMAND``.
        """
        chosen = mode or (PROVISIONED if distribution is None else ON_DEMAND)
        settings = StreamSettings(shards, max_record_kib, chosen, distribution)
        with self._lock:
            self._service.create(name, settings, self.clock())

    def delete_stream(self, stream: str) -> None:
        """Delete a stream, at once."""
        with self._lock:
            del self._service.streams[self._named(stream).name]

    def split_shard(
        self, stream: str, shard_id: str, new_starting_hash_key: int | None = None
    ) -> None:
        """Split a shard, in the middle unless told where the upper half begins."""
        with self._lock:
            found = self._named(stream)
            shard = found.shard(shard_id)
            middle = shard.hash_key_range.midpoint + 1
            start = middle if new_starting_hash_key is None else new_starting_hash_key
            found.split(shard, start, self.clock())

    def merge_shards(self, stream: str, shard_id: str, adjacent_shard_id: str) -> None:
        """Merge two neighbours."""
        with self._lock:
            found = self._named(stream)
            found.merge(found.shard(shard_id), found.shard(adjacent_shard_id), self.clock())

    def update_shard_count(self, stream: str, shards: int) -> None:
        """Reshard into equal ranges, by splits and merges; any number is allowed."""
        with self._lock:
            self._named(stream).scale(shards, self.clock())

    def set_distribution(self, stream: str, distribution: str) -> None:
        """Switch to ``AUTO`` or ``USER_PARTITION_KEY``; a provisioned stream goes on-demand."""
        with self._lock:
            found = self._named(stream)
            set_mode(found, ON_DEMAND)
            set_distribution(found, distribution)

    def set_max_record_kib(self, stream: str, kib: int) -> None:
        """Change how large a record may be, in KiB of 1,024 bytes."""
        with self._lock:
            self._named(stream).max_record_kib = kib

    def put(
        self,
        stream: str,
        data: bytes,
        *,
        partition_key: str = "p",
        explicit_hash_key: int | None = None,
    ) -> StoredRecord:
        """Store a record as if another producer had sent it; no fault strikes it."""
        with self._lock:
            found = self._named(stream)
            put = Put(data, partition_key, explicit_hash_key)
            return found.store(found.place(put), put, self.clock())

    def save(self, path: str | Path) -> None:
        """Write all streams and records to a file, which another fake can :meth:`load`.

        The file is replaced as a whole. It is made for its owner alone to read.

        :raises OSError: if it cannot be written; what was there before still is.
        """
        with self._lock:
            write_snapshot(self._service, Path(path))

    def load(self, path: str | Path) -> None:
        """Replace all streams and records by those that :meth:`save` has written.

        :raises OSError: if the file cannot be read.
        :raises SnapshotError: if it is broken or somebody else's; nothing has changed.
        """
        with self._lock:
            read_snapshot(self._service, Path(path), self.clock())

    # What happened

    def streams(self) -> list[str]:
        """Return the names of all streams, in order."""
        with self._lock:
            return sorted(self._service.streams)

    def shards(self, stream: str) -> list[ShardView]:
        """Return all shards of a stream, closed ones included, in the order of their ids."""
        with self._lock:
            return [shard.view() for shard in self._named(stream).shards.values()]

    def open_shards(self, stream: str) -> list[ShardView]:
        """Return the shards that take records, in the order of their hash key ranges."""
        with self._lock:
            return [shard.view() for shard in self._named(stream).open_shards]

    def records(self, stream: str) -> list[StoredRecord]:
        """Return what landed, every copy of it, in the order of arrival."""
        with self._lock:
            return sorted(self._named(stream).records(), key=lambda each: each.sequence_number)

    def user_records(self, stream: str) -> list[ConsumedRecord]:
        """Return what a consumer like the KCL receives, in the order of arrival."""
        with self._lock:
            return read_like_kcl(self._named(stream).shards.values())[0]

    def dropped_by_kcl(self, stream: str) -> list[StoredRecord]:
        """Return the aggregated records that such a consumer drops: one sub-record was astray."""
        with self._lock:
            return read_like_kcl(self._named(stream).shards.values())[1]

    @property
    def calls(self) -> list[Call]:
        """The last calls, oldest first, refused ones included; see :attr:`keep_calls`."""
        with self._lock:
            return list(self._calls)

    def count(self, operation: str) -> int:
        """Return how many calls of an operation came in, refused ones included."""
        with self._lock:
            return self._counts[operation]

    # Trouble

    def script(self, *faults: Fault) -> None:
        """Append faults; the same as ``fake.faults.extend(faults)``."""
        with self._lock:
            self.faults.extend(faults)

    def release(self) -> None:
        """Let the calls go on that :class:`kinesink.testing.Hang` holds; from any thread."""
        with self._lock:
            gate, self._gate = self._gate, Gate()
        gate.open()

    @property
    def hanging(self) -> int:
        """How many calls wait for :meth:`release` right now."""
        with self._lock:
            return self._gate.waiting

    # The state machine behind the transport and the server

    def answer(self, request: Request) -> Reply | Held:
        """Decide what becomes of a request. Never waits; raises what a predicate raises."""
        form = format_of(request.headers.get("content-type", ""))
        if form is None or request.method != "POST":
            return self._sent(_UNRECOGNISED)
        service, _, operation = request.headers.get("x-amz-target", "").partition(".")
        if service != _TARGET or operation not in OPERATIONS:
            return self._refused(ApiError("UnknownOperationException"), form)
        unreadable: ApiError | None = None
        members = Members()
        try:
            body = form.loads(request.body)
            members = read_members(OPERATIONS[operation].members, body, form)
        except ApiError as error:
            unreadable = error
        with self._lock:
            call = self._record(operation, members, request.headers)
            refusal = self._refusal(call) or unreadable
            if refusal is not None:
                return self._refused(refusal, form)
            plan = self.faults.plan(call, self._gate, self._random)
        arrive = partial(self._arrive, plan, members, form)
        return arrive() if plan.arrival == NO_PAUSE else Held(plan.arrival, arrive)

    def _record(self, operation: str, members: Members, headers: Mapping[str, str]) -> Call:
        entries = len(members.entries("Records")) or int(operation == "PutRecord")
        name = members.text("StreamName") or stream_of_arn(members.text("StreamARN"))
        stream = name or stream_of_token(members)
        call = Call(operation, stream, self.clock(), members, headers, entries)
        self._calls.append(call)
        self._counts[operation] += 1
        return call

    def _refusal(self, call: Call) -> ApiError | None:
        """Return why a call is refused before anyone looks at what it asks."""
        refusal = credentials_refusal(call.headers, self.expired_tokens)
        if refusal is None and self.check_clock:
            refusal = clock_refusal(call.headers, call.time)
        return refusal

    def _arrive(self, plan: Plan, members: Members, form: Format) -> Reply:
        """Carry out a call and the rest of its plan."""
        with self._lock:
            reply = self._outcome(plan, members, form)
            if plan.keep_bytes is not None:
                reply = replace(reply, body=reply.body[: plan.keep_bytes])
            headers = {**reply.headers, **plan.headers}
            return replace(reply, headers=headers, pause=plan.departure, ending=plan.ending)

    def _outcome(self, plan: Plan, members: Members, form: Format) -> Reply:
        context = Context(self._service, plan, self.clock())
        try:
            answer = OPERATIONS[plan.call.operation].run(context, members) if plan.applied else None
        except ApiError as error:
            return self._refused(error, form)
        if isinstance(plan.refusal, Reply):
            return self._sent(plan.refusal)
        if plan.refusal is not None:
            return self._refused(plan.refusal, form)
        body = b"" if answer is None else form.dumps(plan.rewritten(answer))
        return self._sent(Reply(headers={"Content-Type": form.content_type}, body=body))

    def _refused(self, error: ApiError, form: Format) -> Reply:
        headers = {"Content-Type": form.content_type}
        return self._sent(Reply(error.status, headers, form.dumps(error.body)))

    def _sent(self, reply: Reply) -> Reply:
        """Add what every answer carries."""
        with self._lock:
            self._replies += 1
            number = self._replies
        request_id = f"{number:08x}-0000-4000-8000-{number:012x}"
        headers = {
            "Date": formatdate(self.clock(), usegmt=True),
            "x-amzn-RequestId": request_id,
            "x-amz-id-2": base64.b64encode(request_id.encode()).decode(),
        }
        return replace(reply, headers={**headers, **reply.headers})

    def _named(self, stream: str) -> Stream:
        return self._service.named(stream, self.clock())

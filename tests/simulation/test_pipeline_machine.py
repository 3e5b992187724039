"""A pipeline under a hostile schedule: whatever happens, the account closes and nothing is lost.

Kinesis is the model of the core's tests; Hypothesis decides what arrives, what answers come,
in which order and when, and how the stream changes meanwhile.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, TypedDict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kinesink.core.options import PipelineOptions
from kinesink.core.records import Answered, Chunk, DropReason, EntryResult, Failure, UserRecord
from kinesink.testing.streams import AUTO, USER_PARTITION_KEY
from tests.core.world import DENIED, FAULT, THROTTLED, Ticket, World

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from kinesink.core.collector import PutRecordsRequest
    from kinesink.core.options import Framing, RecordDistribution
    from kinesink.core.records import Content, ShardDescription

SHARE = st.integers(min_value=0, max_value=2)
FAILURES = st.sampled_from(
    [
        Failure("InternalFailure", "oops", 500),
        Failure("ReadTimeout", "no answer"),
        Failure("StaleConnection", "closed"),
        Failure("LimitExceededException", "slow down"),
        Failure("ExpiredTokenException", "expired"),
        Failure("InvalidSignatureException", "Signature expired: 1 is now earlier than 2"),
        Failure("ValidationException", "invalid"),
        Failure("ResourceNotFoundException", "no stream"),
        Failure("NoCredentials", "none"),
        Failure("ServiceUnavailable", "later", 503, retry_after=3.0),
    ]
)
#: Around the limits below, which are those of Kinesis but for their scale.
SIZES = st.sampled_from([8, 9, 100, 1000, 4_900, 6_000, 19_999, 20_001])
LIFE = 30.0


class Chosen(TypedDict):
    """The options that Hypothesis chooses."""

    framing: Framing
    told: RecordDistribution
    fail_if_throttled: bool


class PipelineMachine(RuleBasedStateMachine):
    """What Hypothesis may do to a pipeline, and what must hold after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.serial = 0
        self.tickets: list[Ticket] = []
        self.waiting: list[PutRecordsRequest] = []
        self.added: set[bytes] = set()
        self.moved_out: set[bytes] = set()

    @initialize(
        shards=st.integers(1, 5),
        framing=st.sampled_from(["kpl", "kpl", "lines", "none"]),
        distribution=st.sampled_from([None, None, AUTO]),
        told=st.sampled_from(["detect", "detect", "detect", "user_partition_key"]),
        in_flight=st.sampled_from([1, 2, 8]),
        fail_if_throttled=st.booleans(),
    )
    def start(
        self, shards: int, distribution: str | None, in_flight: int, **chosen: Unpack[Chosen]
    ) -> None:
        """Begin with a stream and a pipeline that knows nothing of it."""
        options = PipelineOptions(
            time_to_live=LIFE,
            record_distribution=chosen["told"],
            framing=chosen["framing"],
            fail_if_throttled=chosen["fail_if_throttled"],
            max_requests_in_flight=in_flight,
            record_max_bytes=20_000,
            aggregate_max_bytes=5_000,
            request_max_entries=20,
            request_max_bytes=60_000,
            request_max_bytes_per_shard=30_000,
        )
        self.may_switch = chosen["told"] == "detect"
        if not self.may_switch:
            distribution = None
        self.world = World(shards=shards, options=options, distribution=distribution, jitter=0.5)
        self.world.answers_questions = False
        self.world.latency = math.inf
        self.world.always = self._keep
        self.described = 0
        self.listed = 0

    def _keep(self, request: PutRecordsRequest) -> Answered:
        self.waiting.append(request)
        return Answered([])

    # What arrives

    @rule(sizes=st.lists(SIZES, min_size=1, max_size=30))
    def add_keyless(self, sizes: list[int]) -> None:
        """Events without a key, in one drain."""
        self._add(Chunk([self._data(size) for size in sizes], self.world.now))

    @rule(
        size=SIZES,
        key=st.sampled_from(["a", "b", "é" * 40, "😀", "k1", "k2"]),
        hash_key=st.none() | st.sampled_from([0, 2**127 - 1, 2**127, 2**128 - 1]),
        waited=st.booleans(),
        count=st.sampled_from([1, 1, 5]),
    )
    def add_keyed(
        self, size: int, key: str, hash_key: int | None, count: int, *, waited: bool
    ) -> None:
        """Events with a key."""
        for _ in range(count):
            self._add(self._record(size, key, hash_key, waited=waited))

    @rule(size=SIZES)
    def add_waited_for(self, size: int) -> None:
        """Add an event without a key whose result somebody waits for."""
        self._add(self._record(size, None, None, waited=True))

    def _record(
        self, size: int, key: str | None, hash_key: int | None, *, waited: bool
    ) -> UserRecord:
        ticket = Ticket() if waited else None
        if ticket:
            self.tickets.append(ticket)
        return UserRecord(
            self._data(size),
            arrival=self.world.now,
            partition_key=key,
            explicit_hash_key=hash_key,
            ticket=ticket,
        )

    def _data(self, size: int) -> bytes:
        self.serial += 1
        data = (b"%08d" % self.serial).ljust(size, b".")
        self.added.add(data)
        return data

    def _add(self, content: Content) -> None:
        self.world.add(content)
        self.world.step()

    # What time and the service do

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.05, 0.1, 0.5, 3.0, 11.0, 31.0]))
    def pass_time(self, seconds: float) -> None:
        """Let time pass; the shell calls at the latest when it was asked to."""
        end = self.world.now + seconds
        while (wake := self.world.pipeline.deadline(self.world.now)) < end:
            self.world.now = max(self.world.now, wake)
            self.world.step()
        self.world.now = end
        self.world.step()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        """Answer some call, entry by entry."""
        request = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        results = []
        for i in range(len(request.wire)):
            fate = data.draw(st.sampled_from("wwwwtfb"))
            if fate == "w":
                results.append(self.world.write_entry(request, i))
            else:
                bad = EntryResult(error_code="InvalidArgumentException", error_message="bad")
                results.append({"t": THROTTLED, "f": FAULT, "b": bad}[fate])
        if data.draw(st.integers(0, 9)) == 0:
            results.pop()
        self._done(request, Answered(results))

    @precondition(lambda self: self.waiting)
    @rule(failure=FAILURES, written=st.booleans(), last=st.booleans())
    def fail(self, failure: Failure, *, written: bool, last: bool) -> None:
        """Fail some call as a whole; what it carried may have been written."""
        request = self.waiting.pop(-1 if last else 0)
        if written:
            self.world.write(request)
        self._done(request, failure)

    @precondition(lambda self: self.waiting)
    @rule()
    def accept(self) -> None:
        """Answer every call that is under way."""
        waiting, self.waiting = self.waiting, []
        for request in waiting:
            self._done(request, self.world.write(request))

    def _done(self, request: PutRecordsRequest, outcome: Answered | Failure) -> None:
        self.world.pipeline.request_done(request, outcome, self.world.now)
        self.world.step()

    @precondition(lambda self: self.world.questions["ListShards"] > self.listed)
    @rule(how=st.sampled_from(["right", "right", "right", "gap", "empty", "denied"]))
    def list_shards(self, how: str) -> None:
        """Answer ListShards, rightly or not."""
        self.listed += 1
        shards = self.world.open_shards()
        answers: dict[str, list[ShardDescription] | Failure] = {
            "gap": shards[1:],
            "empty": [],
            "denied": DENIED,
        }
        self.world.listing = answers.get(how, shards)
        self.world.list_shards()
        self.world.step()

    @precondition(lambda self: self.world.questions["DescribeStreamSummary"] > self.described)
    @rule(denied=st.booleans())
    def describe(self, *, denied: bool) -> None:
        """Answer DescribeStreamSummary."""
        self.described += 1
        self.world.summary = DENIED if denied else None
        self.world.describe()
        self.world.step()

    @rule(position=st.integers(0, 9))
    def split(self, position: int) -> None:
        """Split a shard."""
        self.world.split(position % len(self.world.stream.open_shards))

    @precondition(lambda self: len(self.world.stream.open_shards) > 1)
    @rule(position=st.integers(0, 9))
    def merge(self, position: int) -> None:
        """Merge two shards."""
        self.world.merge(position % (len(self.world.stream.open_shards) - 1))

    # Without a map there is nothing to tell a placement by: a stream that was described, or
    # configured, as honouring keys and does not is then believed.
    @precondition(lambda self: self.may_switch and self.world.pipeline._router.shard_map.known)
    @rule()
    def switch(self) -> None:
        """Let the stream place records itself, or stop it."""
        auto = self.world.stream.distribution == AUTO
        self.world.stream.distribution = USER_PARTITION_KEY if auto else AUTO

    @rule()
    def flush(self) -> None:
        """Let nothing linger."""
        self.world.pipeline.flush()
        self.world.step()

    @rule(size=SIZES, overhead=st.sampled_from([0, 150]), move=st.booleans())
    def give_up_the_oldest(self, size: int, overhead: int, *, move: bool) -> None:
        """Make room: drop the oldest events, or move them out."""
        pipeline = self.world.pipeline
        pending = pipeline.ledger.pending
        if move:
            out = pipeline.move_out_oldest(size, self.world.now, event_overhead=overhead)
            self.moved_out |= {datum for content in out for datum in content.each()}
            assert pipeline.ledger.pending == pending - sum(map(len, out))
        else:
            pipeline.drop_oldest(
                size, DropReason.QUEUE_FULL, "full", self.world.now, event_overhead=overhead
            )
        self.world.step()

    @rule(chance=st.integers(0, 5))
    def abandon(self, chance: int) -> None:
        """Give up all that is pending, now and then."""
        if chance == 0:
            self.waiting.clear()
            self.world.pipeline.abandon(DropReason.SHUTDOWN, "the end", self.world.now)
            self.world.step()
            assert self.world.pipeline.ledger.pending == 0

    # What must hold

    @invariant()
    def the_account_closes(self) -> None:
        """Check that pending is what is there, and what was accepted besides has ended."""
        ledger = self.world.pipeline.ledger
        assert ledger.accepted == self.serial - len(self.moved_out)
        assert ledger.accepted == ledger.delivered + sum(ledger.dropped.values()) + ledger.pending
        assert sum(ledger._pending_by_epoch.values()) == ledger.pending >= 0
        assert self._counted() == (ledger.pending, ledger.pending_bytes)

    def _counted(self) -> tuple[int, int]:
        """Return the events and bytes that are found when every place is searched."""
        stock = self.world.pipeline._stock
        aggregator = stock.router._aggregator
        entries = [
            *aggregator._closed,
            *(entry for queue in stock.limiter._queues() for entry in queue),
            *(retry[2] for retry in stock.waiting._retries),
            *stock.waiting._aside,
            *(entry for request in stock.calls._again for entry in request.entries),
        ]
        remainders = [
            *(of for call in stock.calls._under_way.values() for of in call),
            *(answer.of for answer in stock.waiting._unjudged),
        ]
        entries += [of.left for of in remainders if of.left is not None]
        contents = [content for entry in entries for content in entry.contents]
        contents += [*stock.router._waiting(), *aggregator._keyless]
        contents += [each for group in aggregator._keyed.values() for each in group.contents]
        data = [
            datum
            for content in contents
            for datum in (content.data if isinstance(content, Chunk) else [content.data])
        ]
        assert len(set(data)) == len(data), "an event is in two places"
        return len(data), sum(map(len, data))

    @invariant()
    def nothing_delivered_is_lost(self) -> None:
        """Check that a consumer like the KCL, or one of lines, has seen what was delivered."""
        ledger = self.world.pipeline.ledger
        # No event of the machine has a line feed in it.
        lines = (line for data in self.world.consumed for line in data.split(b"\n"))
        seen = {line for line in lines if line}
        assert seen <= self.added
        dropped = {
            datum
            for drop in self.world.dropped
            for content in drop.contents
            for datum in (content.data if isinstance(content, Chunk) else [content.data])
        }
        assert len(dropped) == sum(ledger.dropped.values())
        assert ledger.delivered <= len(seen - dropped - self.moved_out)

    @invariant()
    def results_are_told_once(self) -> None:
        """Check that nobody is told twice."""
        told = Counter(len(ticket.results) for ticket in self.tickets)
        assert set(told) <= {0, 1}

    def teardown(self) -> None:
        """Once the faults stop, everything ends, and everybody is told."""
        world = self.world
        world.listing = world.summary = None
        for _ in range(2000):
            if not world.pipeline.ledger.pending:
                break
            self.accept()
            while world.questions["ListShards"] > self.listed:
                self.listed += 1
                world.list_shards()
            while world.questions["DescribeStreamSummary"] > self.described:
                self.described += 1
                world.describe()
            world.step()
            if not self.waiting:
                world.now = min(world.pipeline.deadline(world.now), world.now + 1)
                world.step()
        self.the_account_closes()
        self.nothing_delivered_is_lost()
        world.check()
        assert all(len(ticket.results) == 1 for ticket in self.tickets)


TestPipelineMachine = PipelineMachine.TestCase
TestPipelineMachine.settings = settings(max_examples=40, stateful_step_count=30, derandomize=False)

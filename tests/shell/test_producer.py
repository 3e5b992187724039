"""The producer for asynchronous programs, against a fake of the service."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from kinesink import ClosedError, DropReason, InvalidRecordError, Producer
from kinesink.shell.intake import EVENT_OVERHEAD_BYTES
from kinesink.shell.kinesis import KinesisClient
from kinesink.testing import Hang, Latency, RequestError
from tests.shell.support import (
    PATIENCE,
    adds_up,
    landed,
    make_client,
    make_config,
    make_fake,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink import Outcome
    from kinesink.testing import FakeKinesis

pytestmark = pytest.mark.usefixtures("signed")


@pytest.fixture
def fake() -> FakeKinesis:
    """Return a fake with a stream of four shards."""
    return make_fake()


def make_producer(fake: FakeKinesis, **parameters: object) -> Producer:
    """Return a producer that talks to the fake."""
    config = make_config(**parameters)
    return Producer(config, client=make_client(fake, config))


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true."""
    with anyio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110 - the fake knows no event loop to tell
            await anyio.sleep(0.001)


async def until_requests(fake: FakeKinesis, count: int) -> None:
    """Wait until PutRecords calls have arrived."""
    await until(lambda: sum(call.operation == "PutRecords" for call in fake.calls) >= count)


async def release(fake: FakeKinesis) -> None:
    """Let the call that hangs go on, and no other one hang."""
    await until_requests(fake, 1)
    fake.faults.clear()
    fake.release()


async def test_an_outcome_tells_where_its_record_went(fake: FakeKinesis) -> None:
    """Shard, sequence number and attempts; the same whoever asks, and however often."""
    async with make_producer(fake) as producer:
        outcome = await producer.put(b"hello", partition_key="key")
        seen = [outcome.done]
        result = await outcome.wait()
        seen.append(outcome.done)
        assert seen == [False, True]
        assert await outcome.wait() == result
    assert result.success
    assert result.shard_id is not None
    assert result.sequence_number is not None
    assert [attempt.success for attempt in result.attempts] == [True]
    assert landed(fake) == [b"hello"]
    assert producer.statistics().delivered == 1


async def test_s1_leaving_delivers_what_is_in_flight_and_closes_the_client_last(
    fake: FakeKinesis,
) -> None:
    """Outcomes resolve before connections end."""
    fake.faults.append(Latency(operation="PutRecords", answer=0.1))
    outcomes: list[Outcome] = []
    closed_with: list[bool] = []

    class Client(KinesisClient):
        async def aclose(self) -> None:
            closed_with.append(all(outcome.done for outcome in outcomes))
            await super().aclose()

    config = make_config()
    async with Producer(config, client=Client(config, transport=fake.transport())) as producer:
        outcomes += [await producer.put(b"%d" % number) for number in range(10)]
    assert closed_with == [True]
    assert all([(await outcome.wait()).success for outcome in outcomes])


async def test_s2_what_is_not_delivered_in_time_is_dropped_and_told(fake: FakeKinesis) -> None:
    """By the deadline every outcome is there, with the reason, and the loss is reported."""
    fake.faults.append(Hang(operation="PutRecords"))
    told: list[str] = []
    producer = make_producer(
        fake, shutdown_timeout=0.1, on_error=lambda kind, text: told.append(f"{kind}: {text}")
    )
    with anyio.fail_after(PATIENCE):
        async with producer:
            outcomes = [await producer.put(b"%d" % number) for number in range(3)]
            await until_requests(fake, 1)
    results = [await outcome.wait() for outcome in outcomes]
    assert [result.reason for result in results] == [DropReason.SHUTDOWN] * 3
    account = producer.statistics()
    assert account.dropped == {DropReason.SHUTDOWN: 3}
    assert account.pending == 0
    assert "shutdown: 3 events (3 bytes) not delivered to 'app' within 0.1 s" in told


async def test_s2_the_line_about_the_loss_names_the_last_error(fake: FakeKinesis) -> None:
    """Who reads it need not search for the cause."""
    fake.faults.append(RequestError("ResourceNotFoundException", "no such stream", times=None))
    told: list[str] = []
    producer = make_producer(
        fake, shutdown_timeout=0.3, on_error=lambda kind, text: told.append(f"{kind}: {text}")
    )
    async with producer:
        # Nobody waits for these, so they are kept until the end.
        producer._intake.put(b"event", 5)
        await until_requests(fake, 1)
    assert producer.last_error is not None
    assert any(
        line.startswith("shutdown: 1 event (5 bytes)") and "ResourceNotFoundException" in line
        for line in told
    )
    # The sum is told, and not the same again stream by stream.
    assert not any(line.startswith("dropped:shutdown") for line in told)


async def test_a_producer_is_entered_once(fake: FakeKinesis) -> None:
    """Neither twice at a time nor again."""
    producer = make_producer(fake)
    async with producer:
        with pytest.raises(ClosedError, match="once"):
            await producer.__aenter__()
    with pytest.raises(ClosedError, match="once"):
        await producer.__aenter__()


async def test_before_entering_nothing_is_accepted_and_nothing_pending(fake: FakeKinesis) -> None:
    """What needs no task works, the rest says why it does not."""
    producer = make_producer(fake)
    with pytest.raises(ClosedError, match="not open"):
        await producer.put(b"x")
    assert await producer.flush()
    assert producer.last_error is None
    assert producer.statistics().accepted == 0
    assert producer.record_max_bytes() == 1 << 20
    await producer.__aexit__(None, None, None)


async def test_after_leaving_nothing_is_accepted_and_statistics_stay(fake: FakeKinesis) -> None:
    """A late put raises; a second exit does nothing; a flush has nothing to wait for."""
    async with make_producer(fake) as producer:
        await producer.put(b"x")
    with pytest.raises(ClosedError, match="not open"):
        await producer.put(b"y")
    await producer.__aexit__(None, None, None)
    assert await producer.flush()
    assert producer.statistics().delivered == 1


async def test_a1_what_kinesis_can_never_take_is_refused_at_once(fake: FakeKinesis) -> None:
    """Nothing has changed then, and the next record goes its way."""
    async with make_producer(fake) as producer:
        for key in ("", "k" * 257, "\ud800"):
            with pytest.raises(InvalidRecordError):
                await producer.put(b"x", partition_key=key)
        for explicit_hash_key in (-1, 2**128, "٣"):
            with pytest.raises(InvalidRecordError):
                await producer.put(b"x", explicit_hash_key=explicit_hash_key)
        with pytest.raises(TypeError):
            await producer.put("text")  # type: ignore[arg-type]  # what is refused
        with pytest.raises(InvalidRecordError):
            await producer.put(b"x" * (1 << 20))
        assert producer.statistics().accepted == 0
        assert producer._task is not None
        assert producer._task.streams.held_bytes == 0
        await producer.put(b"x", explicit_hash_key=2**128 - 1)
    assert landed(fake) == [b"x"]


async def test_one_producer_serves_several_streams(fake: FakeKinesis) -> None:
    """Each with its own shards, limits and account, which add up."""
    fake.create_stream("other", shards=1, max_record_kib=2048)
    async with make_producer(fake) as producer:
        await producer.put(b"here")
        outcome = await producer.put(b"there", stream_name="other")
        assert (await outcome.wait()).success
        assert producer.record_max_bytes("other") == 2 << 20
        await producer.put(b"x" * (1 << 20), stream_name="other")
    assert producer.statistics().delivered == 3
    assert [len(r.data) for r in fake.user_records("other")] == [5, 1 << 20]


# -- flush ---------------------------------------------------------------------


async def test_flush_does_not_wait_for_the_linger(fake: FakeKinesis) -> None:
    """And returns True when everything accepted before has ended."""
    async with make_producer(fake, linger=PATIENCE) as producer:
        outcome = await producer.put(b"x")
        with anyio.fail_after(PATIENCE / 2):
            assert await producer.flush()
        assert outcome.done


async def test_s5_flush_returns_by_its_timeout_and_says_the_truth(fake: FakeKinesis) -> None:
    """False while something hangs; those that nobody waits for are forgotten."""
    fake.faults.append(Hang(operation="PutRecords"))
    async with make_producer(fake) as producer:
        await producer.put(b"x")
        for _ in range(5):
            assert not await producer.flush(0.01)
        await release(fake)
        assert await producer.flush()
        assert producer._task is not None
        assert producer._task._work._flushes == []


async def test_s4_a_cancelled_flush_changes_nothing(fake: FakeKinesis) -> None:
    """The cancellation propagates, and the record arrives."""
    fake.faults.append(Hang(operation="PutRecords"))
    async with make_producer(fake) as producer:
        outcome = await producer.put(b"x")
        with anyio.move_on_after(0.01) as scope:
            await producer.flush()
        assert scope.cancelled_caught
        await release(fake)
        assert (await outcome.wait()).success


# -- cancellation and errors around the producer -------------------------------


class Interrupt(BaseException):
    """As KeyboardInterrupt, which asyncio would not leave to the test."""


@pytest.mark.parametrize("error", [Interrupt, ValueError])
async def test_s4_an_error_of_the_body_propagates_as_it_is(
    fake: FakeKinesis, error: type[BaseException]
) -> None:
    """Never inside a group. A usual one waits for the delivery, an interrupt does not."""
    fake.faults.append(Latency(operation="PutRecords", answer=0.1))
    producer = make_producer(fake)
    with pytest.raises(error, match="mine"):  # noqa: PT012 - the body is the case
        async with producer:
            outcome = await producer.put(b"x")
            await until_requests(fake, 1)
            raise error("mine")
    assert (await outcome.wait()).success == (error is ValueError)
    assert producer.statistics().pending == 0


async def test_s4_cancelling_the_body_ends_everything_at_once(fake: FakeKinesis) -> None:
    """Every outcome resolves, whoever waits for it and wherever."""
    fake.faults.append(Hang(operation="PutRecords"))
    with anyio.fail_after(PATIENCE), anyio.move_on_after(0.05) as scope:
        async with make_producer(fake) as producer:
            outcome = await producer.put(b"x")
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert (await outcome.wait()).reason is DropReason.SHUTDOWN
    assert producer.statistics().pending == 0


async def test_s4_a_shielded_body_can_still_flush_after_a_cancellation(fake: FakeKinesis) -> None:
    """The producer's task is not cancelled with its surroundings."""
    with anyio.fail_after(PATIENCE), anyio.CancelScope() as scope:
        async with make_producer(fake) as producer:
            scope.cancel()
            with anyio.CancelScope(shield=True):
                outcome = await producer.put(b"x")
                assert await producer.flush()
                assert (await outcome.wait()).success


async def test_s4_an_exit_that_is_cancelled_accounts_for_everything(fake: FakeKinesis) -> None:
    """The cancellation propagates; a second exit does nothing."""
    fake.faults.append(Hang(operation="PutRecords"))
    producer = make_producer(fake)
    with anyio.fail_after(PATIENCE), anyio.move_on_after(0.05) as scope:
        async with producer:
            outcome = await producer.put(b"x")
    assert scope.cancelled_caught
    assert outcome.done
    await producer.__aexit__(None, None, None)
    assert adds_up(producer.statistics())
    assert producer.statistics().pending == 0


async def test_an_entrance_under_cancellation_leaves_nothing_behind(fake: FakeKinesis) -> None:
    """Neither a task nor an open scope, and no record is accepted on the way out."""
    producer = make_producer(fake)
    with anyio.fail_after(PATIENCE), anyio.CancelScope() as scope:
        scope.cancel()
        async with producer:
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    with pytest.raises(ClosedError):
        await producer.put(b"x")


@pytest.mark.parametrize("strike", range(12))
async def test_s3_a_put_cancelled_anywhere_leaks_nothing(fake: FakeKinesis, strike: int) -> None:
    """Whichever checkpoint is hit: the others' records arrive, and there is room again."""
    size = 30_000
    async with make_producer(fake, max_pending_bytes=64 * 1024) as producer:
        fake.faults.append(Latency(operation="PutRecords", answer=0.01))
        done: list[Outcome] = []

        async def put(count: int) -> None:
            for _ in range(count):
                done.append(await producer.put(b"x" * size))
                await done[-1].wait()

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(put, 3)
                scope = anyio.CancelScope()

                async def victim() -> None:
                    with scope:
                        await put(5)

                tasks.start_soon(victim)
                for _ in range(strike):
                    await anyio.lowlevel.checkpoint()
                scope.cancel()
            assert await producer.flush()
        assert all([(await outcome.wait()).success for outcome in done])
        account = producer.statistics()
        assert account.accepted == account.delivered == len(landed(fake))
        assert producer._task is not None
        assert producer._task.streams.held_bytes == 0


# -- concurrency and backpressure ----------------------------------------------


async def test_c1_many_tasks_may_put_first(fake: FakeKinesis) -> None:
    """From children, under deadlines: one pipeline, one first listing, no scope error."""
    async with make_producer(fake) as producer:
        outcomes: list[Outcome] = []

        async def put(number: int) -> None:
            with anyio.fail_after(PATIENCE):
                outcomes.append(await producer.put(b"%d" % number))

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(put, number)
        assert all([(await outcome.wait()).success for outcome in outcomes])
    assert [call.operation for call in fake.calls].count("ListShards") == 1
    assert len(landed(fake)) == 20


async def test_b1_put_waits_for_room_and_goes_on(fake: FakeKinesis) -> None:
    """Memory stays within the bound, and everybody gets in."""
    bound = 64 * 1024
    fake.faults.append(Latency(operation="PutRecords", answer=0.005))
    async with make_producer(fake, max_pending_bytes=bound) as producer:
        order: list[int] = []
        most = 0

        async def put(number: int) -> None:
            nonlocal most
            await producer.put(b"x" * 10_000)
            order.append(number)
            account = producer.statistics()
            most = max(most, account.pending_bytes + EVENT_OVERHEAD_BYTES * account.pending)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for number in range(30):
                    tasks.start_soon(put, number)
                    await anyio.lowlevel.checkpoint()
    assert sorted(order) == list(range(30))
    assert bound / 2 < most <= bound
    assert len(landed(fake)) == 30


async def test_a_record_larger_than_the_bound_is_let_in_alone(fake: FakeKinesis) -> None:
    """None waits for ever."""
    async with make_producer(fake, max_pending_bytes=64 * 1024) as producer:
        with anyio.fail_after(PATIENCE):
            for _ in range(3):
                await producer.put(b"x" * 100_000)
    assert len(landed(fake)) == 3


async def test_b3_who_waits_for_room_is_told_when_the_producer_closes(fake: FakeKinesis) -> None:
    """Each with a clear error, and none is accepted."""
    fake.faults.append(Hang(operation="PutRecords"))
    refused = 0
    async with anyio.create_task_group() as tasks:
        producer = make_producer(fake, max_pending_bytes=64 * 1024, shutdown_timeout=0.05)

        async def put() -> None:
            nonlocal refused
            with pytest.raises(ClosedError, match="not open"):
                await producer.put(b"x" * 60_000)
            refused += 1

        async with producer:
            await producer.put(b"x" * 60_000)
            for _ in range(3):
                tasks.start_soon(put)
            await until_requests(fake, 1)
    assert refused == 3
    assert producer.statistics().accepted == 1


async def test_a_tight_loop_of_puts_lets_the_producer_work(fake: FakeKinesis) -> None:
    """Records leave while the loop runs, though no put has to wait."""
    async with make_producer(fake) as producer:
        assert (await (await producer.put(b"first")).wait()).success
        with anyio.fail_after(PATIENCE):
            while len(landed(fake)) == 1:
                await producer.put(b"x" * 100)


async def test_p1_a_burst_of_puts_costs_few_turns(
    fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turns grow with requests and time, not with records."""
    async with make_producer(fake, linger=0.1) as producer:
        await (await producer.put(b"first")).wait()
        task = producer._task
        assert task is not None
        turns = 0
        turn = task._turn

        def count() -> float:
            nonlocal turns
            turns += 1
            return turn()

        monkeypatch.setattr(task, "_turn", count)
        began = anyio.current_time()
        for _ in range(5000):
            await producer.put(b"x")
        await producer.flush()
        elapsed = anyio.current_time() - began
        assert turns < 30 + elapsed / 0.005


async def test_without_linger_each_put_leaves_at_once(fake: FakeKinesis) -> None:
    """The producer does not nap then."""
    async with make_producer(fake, linger=0) as producer:
        for _ in range(3):
            assert (await (await producer.put(b"x")).wait()).success


async def test_an_idle_producer_sleeps(fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without events there are no turns."""
    async with make_producer(fake) as producer:
        assert (await (await producer.put(b"x")).wait()).success
        await anyio.sleep(0.1)
        task = producer._task
        assert task is not None
        turns: list[float] = []
        turn = task._turn

        def count() -> float:
            turns.append(anyio.current_time())
            return turn()

        monkeypatch.setattr(task, "_turn", count)
        await anyio.sleep(0.2)
        assert len(turns) <= 1


async def test_an_event_between_the_last_look_and_sleep_is_seen(fake: FakeKinesis) -> None:
    """The producer looks once more after it has said that it sleeps."""
    async with make_producer(fake) as producer:
        task = producer._task
        assert task is not None
        await (await producer.put(b"first")).wait()
        await anyio.sleep(0.1)
        # As a caller does that saw the flag set, and appends a moment too late to wake.
        task.turned = lambda: _append(producer)
        task._wake.set()
        await until(lambda: b"late" in landed(fake))


def _append(producer: Producer) -> None:
    assert producer._task is not None
    producer._task.turned = lambda: None
    producer._intake.awake = True
    producer._intake.put(b"late", 4)


async def test_another_thread_may_hand_over_to_the_same_intake(fake: FakeKinesis) -> None:
    """What the sink does: keyless, keyed, and what can never be sent."""
    async with make_producer(fake) as producer:
        intake = producer._intake

        def emit() -> None:
            intake.put(b"plain", 5)
            intake.refuse(DropReason.INTERNAL)

        thread = threading.Thread(target=emit)
        thread.start()
        await anyio.to_thread.run_sync(thread.join)
        await producer.flush()
    assert landed(fake) == [b"plain"]
    assert producer.statistics().dropped == {DropReason.INTERNAL: 1}

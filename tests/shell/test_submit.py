"""Sink.submit: the future of one record, from any thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
import time
from typing import TYPE_CHECKING

import anyio
import pytest

from kinesink import ClosedError, DropReason, InvalidRecordError, Sink
from kinesink.core.pipeline import Pipeline
from kinesink.shell import origin, producer_task
from kinesink.shell.arrivals import contents_of
from kinesink.testing import AccessDenied, Hang, Latency, ThrottleEntries
from tests.shell.scripts import run_against, run_script
from tests.shell.support import (
    PATIENCE,
    adds_up,
    landed,
    make_client,
    make_config,
    make_fake,
    make_sink,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink import Config, RecordResult
    from kinesink.core.records import Content
    from kinesink.shell.intake import Item
    from kinesink.shell.kinesis import KinesisClient
    from kinesink.testing import FakeKinesis

    Future = concurrent.futures.Future[RecordResult]

pytestmark = pytest.mark.usefixtures("signed")


@pytest.fixture
def fake() -> FakeKinesis:
    """Return a fake with a stream of four shards."""
    return make_fake()


@pytest.fixture
def sink(fake: FakeKinesis, anyio_backend: str) -> Iterator[Sink]:
    """Return a sink that talks to the fake, on either event loop."""
    sink = make_sink(fake, backend=anyio_backend)
    yield sink
    assert sink.close()


def until_sent(fake: FakeKinesis) -> None:
    """Wait until a record is under way."""
    wait_until(lambda: fake.count("PutRecords"))


def let_go(fake: FakeKinesis) -> None:
    """Let hanging calls go on, and no other one hang."""
    fake.faults.clear()
    fake.release()


def test_a_future_tells_where_its_record_went(fake: FakeKinesis, sink: Sink) -> None:
    """Keyless, keyed, placed or mutable data: shard, sequence number and attempts."""
    futures = [
        sink.submit(b"keyless"),
        sink.submit(b"keyed", "customer-17"),
        sink.submit(b"placed", explicit_hash_key="0"),
        sink.submit(bytearray(b"mutable")),  # type: ignore[arg-type]  # taken all the same
    ]
    results = [future.result(PATIENCE) for future in futures]
    assert all(result.success for result in results)
    assert all(result.shard_id and result.sequence_number for result in results)
    assert [[each.success for each in result.attempts] for result in results] == [[True]] * 4
    assert landed(fake) == [b"keyed", b"keyless", b"mutable", b"placed"]
    assert results[2].shard_id == fake.open_shards("app")[0].shard_id
    assert sink.statistics().delivered == 4


def test_f2_a_future_carries_the_history_of_attempts(fake: FakeKinesis, sink: Sink) -> None:
    """What was refused for rate at first has all of it."""
    fake.script(ThrottleEntries(times=2))
    result = sink.submit(b"x").result(PATIENCE)
    assert result.success
    assert [attempt.error_code for attempt in result.attempts] == [
        "ProvisionedThroughputExceededException", "ProvisionedThroughputExceededException", None,
    ]  # fmt: skip


def test_f6_a_permanent_error_is_the_result_at_once(fake: FakeKinesis, sink: Sink) -> None:
    """It never raises for what Kinesis says."""
    fake.script(AccessDenied(operation="PutRecords"))
    result = sink.submit(b"x").result(PATIENCE)
    assert result.reason is DropReason.REJECTED
    assert "AccessDenied" in str(result.error)


def test_many_threads_may_submit(fake: FakeKinesis, sink: Sink) -> None:
    """Each future has the result of its own record."""

    def submit(name: int) -> list[RecordResult]:
        futures = [sink.submit(b"%d/%d" % (name, number), str(name)) for number in range(50)]
        return [future.result(PATIENCE) for future in futures]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(submit, range(4)))
    assert all(result.success for each in results for result in each)
    assert len(landed(fake)) == 200
    shards = {record.data: record.shard_id for record in fake.user_records("app")}
    for name, each in enumerate(results):
        for number, result in enumerate(each):
            assert result.shard_id == shards[b"%d/%d" % (name, number)]


def test_a1_what_kinesis_can_never_take_is_refused_at_once(sink: Sink) -> None:
    """By an exception and not by the future; nothing has changed then."""
    with pytest.raises(InvalidRecordError):
        sink.submit(b"x", partition_key="")
    with pytest.raises(InvalidRecordError):
        sink.submit(b"x", explicit_hash_key=-1)
    with pytest.raises(InvalidRecordError):
        sink.submit(b"x" * (1 << 20))
    with pytest.raises(TypeError):
        sink.submit("text")  # type: ignore[arg-type]  # what is refused
    assert sink.statistics().accepted == 0
    assert sink._background.idle


def test_a1_where_events_are_lines_a_record_of_two_is_refused(fake: FakeKinesis) -> None:
    """A log call's is taken as it is: nothing is raised into the application."""
    sink = make_sink(fake, framing="lines")
    for take in (sink.submit, sink.put):
        with pytest.raises(InvalidRecordError, match="line feed"):
            take(b"two\nlines")
    assert sink.statistics().accepted == 0
    assert sink.submit(b"one\n").result(PATIENCE).success
    assert sink.emit(b"two\nlines")
    assert sink.close()
    assert b"".join(record.data for record in fake.records("app")) == b"one\ntwo\nlines\n"


@pytest.mark.parametrize("bound", [{"max_pending_bytes": 64 * 1024}, {"max_pending_events": 64}])
def test_b2_without_room_the_future_is_done_at_once(
    fake: FakeKinesis, bound: dict[str, int]
) -> None:
    """It counts as dropped, and the caller has not waited."""
    fake.faults.append(Hang(operation="PutRecords"))
    sink = make_sink(fake, **bound)
    futures = [sink.submit(b"x" * 1000) for _ in range(100)]
    refused = [future for future in futures if future.done()]
    assert 36 <= len(refused) < 100
    for future in refused:
        assert future.result(0).reason is DropReason.QUEUE_FULL
        assert future.result(0).attempts == ()
    until_sent(fake)
    assert not sink.emit(b"x" * 1000)
    let_go(fake)
    assert sink.close()
    assert sink.statistics().dropped == {DropReason.QUEUE_FULL: len(refused) + 1}
    assert sum(future.result(0).success for future in futures) == 100 - len(refused)


def test_cancelling_a_future_does_not_withdraw_its_record(fake: FakeKinesis, sink: Sink) -> None:
    """It is on its way: cancel says no, and the result comes."""
    future = sink.submit(b"x")
    assert not future.cancel()
    assert future.running() or future.done()
    assert future.result(PATIENCE).success
    assert landed(fake) == [b"x"]


def test_when_flush_returns_the_futures_are_done(sink: Sink) -> None:
    """Not a moment later."""
    for _ in range(20):
        future = sink.submit(b"x")
        assert sink.flush(PATIENCE)
        assert future.done()


def test_after_close_nothing_is_submitted(fake: FakeKinesis) -> None:
    """As with put."""
    sink = make_sink(fake)
    future = sink.submit(b"x")
    assert sink.close()
    assert future.result(0).success
    with pytest.raises(ClosedError, match="app"):
        sink.submit(b"y")


def test_s2_every_future_is_resolved_when_the_thread_has_ended(fake: FakeKinesis) -> None:
    """What could not be delivered in time says so."""
    fake.faults.append(Hang(operation="PutRecords"))
    sink = make_sink(fake, shutdown_timeout=0.1)
    futures = [sink.submit(b"%d" % number) for number in range(3)]
    until_sent(fake)
    assert not sink.close()
    results = [future.result(PATIENCE) for future in futures]
    assert {result.reason for result in results} == {DropReason.SHUTDOWN}
    wait_until(lambda: sink._background.idle)
    assert sink.statistics().dropped == {DropReason.SHUTDOWN: 3}


def test_f9_a_producer_that_cannot_start_fails_what_was_submitted(fake: FakeKinesis) -> None:
    """Events that nobody waits for are kept for the next one."""
    broken = [True]

    def make(config: Config) -> KinesisClient:
        if broken:
            raise RuntimeError("a bug")
        return make_client(fake, config)

    told: list[str] = []
    config = make_config(on_error=lambda _, text: told.append(text))
    sink = Sink(config, make_client=make)
    sink.emit(b"kept")
    result = sink.submit(b"lost").result(PATIENCE)
    assert result.reason is DropReason.INTERNAL
    assert result.error == "the producer ended by RuntimeError('a bug')"
    wait_until(lambda: told)
    broken.clear()
    assert sink.submit(b"next").result(PATIENCE).success
    assert sink.close()
    assert landed(fake) == [b"kept", b"next"]
    account = sink.statistics()
    assert account.dropped == {DropReason.INTERNAL: 1}
    assert adds_up(account)


def test_f9_a_record_submitted_while_a_failed_producer_ends_starts_another(
    fake: FakeKinesis,
) -> None:
    """It is too late for the one, and nobody else would come to start the other."""
    broken = [True]

    def make(config: Config) -> KinesisClient:
        if broken:
            broken.pop()
            raise RuntimeError("a bug")
        return make_client(fake, config)

    late: list[Future] = []
    sink = Sink(make_config(on_error=lambda *_: None), make_client=make)
    background = sink._background
    give_token_back = background._give_token_back

    def submit_first() -> None:
        late.append(sink.submit(b"late"))
        give_token_back()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(background, "_give_token_back", submit_first)
        assert not sink.submit(b"lost").result(PATIENCE).success
        wait_until(lambda: late)
    assert late[0].result(PATIENCE).success
    assert sink.close()


def test_f9_a_stage_that_raises_fails_the_futures_it_was_working_on(
    fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever."""
    sink = make_sink(fake)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Pipeline, "add", fail)
    result = sink.submit(b"x").result(PATIENCE)
    assert result.reason is DropReason.INTERNAL
    monkeypatch.undo()
    assert sink.close()
    assert adds_up(sink.statistics())


def test_f9_an_error_while_events_are_taken_in_costs_those(
    fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted, with a result for who waits; the next ones are delivered."""
    sink = make_sink(fake)
    assert sink.submit(b"first").result(PATIENCE).success

    broken = [True]

    def fail(items: list[Item], now: float) -> tuple[list[Content], list[str]]:
        if broken:
            broken.pop()
            raise RuntimeError("a bug")
        return contents_of(items, now)

    monkeypatch.setattr(producer_task, "contents_of", fail)
    lost = sink.submit(b"lost").result(PATIENCE)
    assert lost.reason is DropReason.INTERNAL
    assert sink.submit(b"next").result(PATIENCE).success
    assert sink.close()
    account = sink.statistics()
    assert account.dropped == {DropReason.INTERNAL: 1}
    assert adds_up(account)
    assert landed(fake) == [b"first", b"next"]


# -- done-callbacks --------------------------------------------------------------


def test_f10_a_callback_that_hangs_holds_up_neither_delivery_nor_results(
    fake: FakeKinesis, sink: Sink
) -> None:
    """Only the callbacks after it, which are called in the end."""
    hold = threading.Event()
    called: list[Future] = []
    first = sink.submit(b"first")
    first.add_done_callback(lambda _: hold.wait(PATIENCE))
    assert first.result(PATIENCE).success
    later = [sink.submit(b"%d" % number) for number in range(10)]
    for future in later:
        future.add_done_callback(called.append)
    assert all(future.result(PATIENCE).success for future in later)
    hold.set()
    wait_until(lambda: len(called) == 10)
    assert len(landed(fake)) == 11


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(3), asyncio.CancelledError()])
def test_f10_a_callback_that_raises_is_reported_and_others_are_called(
    fake: FakeKinesis, error: BaseException
) -> None:
    """Once a minute, with what it raised."""
    told: list[tuple[str, str]] = []
    sink = make_sink(fake, on_error=lambda *report: told.append(report), linger=0.2)
    called: list[bool] = []

    def fail(_: Future) -> None:
        raise error

    futures = [sink.submit(b"%d" % number) for number in range(3)]
    for future in futures:
        future.add_done_callback(fail)
        future.add_done_callback(lambda each: called.append(each.result().success))
    assert sink.close()
    assert called == [True] * 3
    wait_until(lambda: told)
    assert told == [
        ("DoneCallback", f"stream 'app': a done-callback of a submitted record raised {error!r}")
    ]


def test_a_callback_runs_in_a_thread_of_its_own_and_its_logs_are_the_applications(
    fake: FakeKinesis, sink: Sink
) -> None:
    """Neither in the producer's thread nor on its behalf."""
    fake.faults.append(Latency(operation="PutRecords", answer=0.1))
    seen: list[tuple[str, bool]] = []
    future = sink.submit(b"x")
    future.add_done_callback(
        lambda _: seen.append((threading.current_thread().name, origin.is_own()))
    )
    assert sink.close()
    assert seen == [("kinesink results", False)]


def test_a_callback_may_submit_flush_and_close(fake: FakeKinesis, sink: Sink) -> None:
    """It does not wait for itself."""
    fake.faults.append(Latency(operation="PutRecords", answer=0.05, times=1))
    done: list[bool] = []

    def go_on(_: Future) -> None:
        sink.emit(b"second")
        began = time.monotonic()
        done.append(sink.close() and time.monotonic() - began < PATIENCE / 2)

    sink.submit(b"first").add_done_callback(go_on)
    wait_until(lambda: done)
    assert done == [True]
    assert landed(fake) == [b"first", b"second"]


def test_a_callback_for_a_result_that_is_there_is_called_at_once(sink: Sink) -> None:
    """As futures do: in the thread of whoever adds it."""
    future = sink.submit(b"x")
    future.result(PATIENCE)
    seen: list[int] = []
    future.add_done_callback(lambda _: seen.append(threading.get_ident()))
    assert seen == [threading.get_ident()]


async def test_a_future_can_be_awaited(
    fake: FakeKinesis, sink: Sink, anyio_backend_name: str
) -> None:
    """In asyncio by wrapping it, in trio in a worker thread; the loop is free meanwhile."""
    fake.faults.append(Latency(operation="PutRecords", answer=0.05))
    future = sink.submit(b"x")
    with anyio.fail_after(PATIENCE):
        if anyio_backend_name == "asyncio":
            result = await asyncio.wrap_future(future)
        else:
            result = await anyio.to_thread.run_sync(future.result)
    assert result.success


def test_cancelling_who_waits_leaves_the_record_alone(fake: FakeKinesis) -> None:
    """A wrapped future that is cancelled has its record delivered all the same."""
    fake.faults.append(Latency(operation="PutRecords", answer=0.1))
    sink = make_sink(fake)

    async def wait_a_little() -> Future:
        future = sink.submit(b"x")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(future), 0.01)
        return future

    future = asyncio.run(wait_a_little())
    assert future.result(PATIENCE).success
    assert sink.close()


# -- exit and fork -----------------------------------------------------------------

PRELUDE = """
import atexit
def look():
    print(future.done() and future.result(0), flush=True)
atexit.register(look)  # before kinesink's own hook, hence called after it
import kinesink
sink = kinesink.Sink(kinesink.Config.from_environment(stream_name="app"))
future = sink.submit(b"at the end")
future.add_done_callback(lambda each: print("called back", flush=True))
"""


@pytest.mark.slow
def test_s6_at_exit_a_future_is_resolved_and_its_callback_called(anyio_backend: str) -> None:
    """Nobody closes anything."""
    fake = make_fake()
    ran = run_against(fake, PRELUDE, KINESINK_BACKEND=anyio_backend, KINESINK_SHUTDOWN_TIMEOUT="20")
    assert (ran.status, ran.err) == (0, "")
    told, result = ran.out.splitlines()
    assert told == "called back"
    assert result.startswith("delivered to shardId-")


@pytest.mark.slow
def test_s6_at_exit_a_future_whose_record_was_not_delivered_says_so() -> None:
    """At the latest then."""
    ran = run_script(
        PRELUDE,
        # Nothing listens there.
        KINESINK_ENDPOINT_URL="http://127.0.0.1:9",
        KINESINK_SHUTDOWN_TIMEOUT="0.3",
    )
    assert ran.status == 0
    assert "not delivered (shutdown): not delivered when the process ended" in ran.out
    assert "1 event (10 bytes) not delivered to 'app'" in ran.err


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_s7_in_a_forked_child_a_parents_future_raises() -> None:
    """Pending in the intake or under way: the child learns that it will learn nothing."""
    fake = make_fake()
    fake.faults.append(Latency(operation="PutRecords", answer=0.5))
    ran = run_against(
        fake,
        """
import concurrent.futures, os, sys, time, warnings
import kinesink
warnings.simplefilter("ignore", DeprecationWarning)
sink = kinesink.Sink(kinesink.Config.from_environment(stream_name="app"))
earlier = sink.submit(b"earlier")
earlier.result(20)
under_way = sink.submit(b"under way")
while sink._intake.waiting:
    time.sleep(0.001)
waiting = sink.submit(b"waiting")
child = os.fork()
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert under_way.result(20).success and waiting.result(20).success
else:
    assert earlier.result(0).success
    for future in (under_way, waiting):
        try:
            future.result(20)
        except kinesink.ClosedError as error:
            assert "forked" in str(error)
        else:
            sys.exit("no error")
    concurrent.futures.wait([under_way, waiting])
    own = sink.submit(b"child's")
    assert own.result(20).success
    assert sink.close()
    os._exit(0)
""",
        KINESINK_SHUTDOWN_TIMEOUT="20",
    )
    assert (ran.status, ran.err) == (0, "")
    assert landed(fake) == [b"child's", b"earlier", b"under way", b"waiting"]


def test_importing_the_sink_still_imports_no_event_loop() -> None:
    """Submitting is a matter of the standard library."""
    ran = run_script(
        "import sys, kinesink; kinesink.Sink; print(sorted({'anyio', 'asyncio', 'httpx', "
        "'botocore'} & sys.modules.keys()))"
    )
    assert (ran.status, ran.out, ran.err) == (0, "[]\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("before", ["", "sink.emit(b'before')"])
def test_s6_a_future_of_what_comes_too_late_says_so(before: str) -> None:
    """In a finalizer, when threads do not run any more: nobody would ever resolve it."""
    ran = run_script(
        f"""
import os, kinesink
sink = kinesink.Sink(kinesink.Config.from_environment(stream_name="app"))
class Last:
    def __init__(self):
        self.sink = sink
    def __del__(self, write=os.write):
        for _ in range(2):
            try:
                result = str(self.sink.submit(b"late").result({PATIENCE}))
            except BaseException as error:
                result = repr(error)
            write(1, result.encode() + b"\\n")
last = Last()
{before}
""",
        # Nothing listens there.
        KINESINK_ENDPOINT_URL="http://127.0.0.1:9",
        KINESINK_SHUTDOWN_TIMEOUT="0.3",
    )
    assert ran.status == 0
    assert (
        ran.out.splitlines()
        == ["not delivered (shutdown): not delivered when the process ended"] * 2
    )


@pytest.mark.slow
def test_s6_a_producer_that_begins_behind_the_exit_hook_holds_up_no_future(
    anyio_backend: str,
) -> None:
    """Its thread was slow to import; what a finalizer hands over after that has a result."""
    ran = run_script(
        f"""
import atexit, os, time
def wait():
    deadline = time.monotonic() + {PATIENCE}
    while time.monotonic() < deadline:
        producer = sink._background._producer
        if producer is not None and producer._task is not None:
            return
        time.sleep(0.001)
# Registered before that of kinesink's, and so run after it.
atexit.register(wait)
import kinesink
sink = kinesink.Sink(kinesink.Config.from_environment(stream_name="app"))
class Last:
    def __init__(self):
        self.sink = sink
    def __del__(self, write=os.write):
        try:
            result = str(self.sink.submit(b"late").result({PATIENCE}))
        except BaseException as error:
            result = repr(error)
        write(1, result.encode())
last = Last()
sink.emit(b"before")
""",
        KINESINK_ENDPOINT_URL="http://127.0.0.1:9",
        KINESINK_SHUTDOWN_TIMEOUT="0",
        KINESINK_BACKEND=anyio_backend,
    )
    assert ran.status == 0
    assert ran.out == "not delivered (shutdown): not delivered when the process ended"

"""The sink: what adapters hold, from any thread, on either event loop."""

from __future__ import annotations

import gc
import random
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from kinesink import ClosedError, DropReason, InvalidRecordError
from kinesink.shell import origin
from kinesink.shell import registry as sinks
from kinesink.testing import AccessDenied, Hang, Latency, Reset
from tests.shell.support import (
    PATIENCE,
    adds_up,
    landed,
    make_config,
    make_fake,
    make_sink,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink import Sink
    from kinesink.testing import FakeKinesis
    from tests.shell.conftest import AwsEnvironment


#: Threads from before the test: another test's sink may still be ending.
others: set[threading.Thread] = set()


def own_threads() -> list[threading.Thread]:
    """Return the threads of this test's sinks."""
    return [
        thread
        for thread in threading.enumerate()
        if thread.name.startswith("kinesink app") and thread not in others
    ]


@pytest.fixture(autouse=True)
def no_thread_left(aws: AwsEnvironment) -> Iterator[None]:
    """Let requests be signed, and see that every thread ends."""
    others.clear()
    others.update(threading.enumerate())
    aws.set_keys()
    yield
    wait_until(lambda: not own_threads())


@pytest.fixture
def fake() -> FakeKinesis:
    """Return a fake with a stream of four shards."""
    return make_fake()


def test_events_of_every_kind_arrive(fake: FakeKinesis, anyio_backend: str) -> None:
    """Keyless, keyed, placed by an explicit hash key; there when flush returns."""
    sink = make_sink(fake, backend=anyio_backend)
    assert sink.emit(b"keyless")
    assert sink.emit(b"keyed", "customer-17")
    assert sink.put(b"placed", explicit_hash_key="5")
    assert sink.put(bytearray(b"mutable"))  # type: ignore[arg-type]  # taken all the same
    assert sink.flush()
    assert landed(fake) == [b"keyed", b"keyless", b"mutable", b"placed"]
    account = sink.statistics()
    assert account.delivered == 4
    assert account.pending == 0
    assert sink.close()


def test_nothing_starts_before_the_first_event(fake: FakeKinesis) -> None:
    """Neither a thread nor a call; and nothing is pending then."""
    sink = make_sink(fake)
    assert sink.flush()
    assert sink.record_max_bytes == 1 << 20
    assert sink.close()
    assert own_threads() == []
    assert fake.calls == []


def test_put_after_close_raises_and_emit_opens_again(fake: FakeKinesis, anyio_backend: str) -> None:
    """Loggers go on using handlers that a reconfiguration has closed."""
    sink = make_sink(fake, backend=anyio_backend)
    sink.put(b"one")
    assert sink.close()
    assert own_threads() == []
    assert sink.close()
    with pytest.raises(ClosedError, match="app"):
        sink.put(b"two")
    assert sink.emit(b"three")
    assert sink.put(b"four")
    assert sink.close()
    assert landed(fake) == [b"four", b"one", b"three"]
    assert sink.statistics().delivered == 3


def test_a1_put_refuses_what_kinesis_can_never_take(fake: FakeKinesis) -> None:
    """At once, with nothing changed; the limit is the stream's as soon as it is known."""
    fake.set_max_record_kib("app", 2048)
    sink = make_sink(fake)
    with pytest.raises(InvalidRecordError):
        sink.put(b"x", partition_key="")
    with pytest.raises(TypeError):
        sink.put("text")  # type: ignore[arg-type]  # what is refused
    with pytest.raises(InvalidRecordError, match="1048576"):
        sink.put(b"x" * (1 << 20))
    assert sink.statistics().accepted == 0
    sink.put(b"x")
    sink.flush()
    assert sink.record_max_bytes == 2 << 20
    assert sink.put(b"x" * (1 << 20))
    assert sink.close()


def test_a2_an_invalid_event_is_counted_and_its_neighbours_arrive(fake: FakeKinesis) -> None:
    """A log call raises nothing, whatever key or data it came with."""
    sink = make_sink(fake)
    wrong: list[tuple[Any, Any, Any]] = [
        (b"a", "", None),
        (b"b", "\ud800", None),
        (b"c", None, -1),
        (b"d", 17, None),
        ("text", None, None),
        ("text", "key", None),
    ]
    for data, key, explicit_hash_key in wrong:
        assert sink.emit(b"good")
        assert sink.emit(data, key, explicit_hash_key)
    assert sink.flush()
    assert sink.statistics().dropped == {DropReason.INVALID: len(wrong)}
    assert landed(fake) == [b"good"] * len(wrong)
    sink.close()


def test_b2_overload_is_counted_and_memory_bounded(fake: FakeKinesis) -> None:
    """Neither waits nor raises; once there is room events are taken again."""
    fake.faults.append(Hang(operation="PutRecords"))
    sink = make_sink(fake, max_pending_bytes=64 * 1024)
    refused = sum(not sink.emit(b"x" * 1000) for _ in range(1000))
    assert refused >= 1000 - 64
    assert sink.statistics().pending <= 64
    wait_until(lambda: any(call.operation == "PutRecords" for call in fake.calls))
    fake.faults.clear()
    fake.release()
    assert sink.flush(PATIENCE)
    assert sink.emit(b"x")
    assert sink.close()
    account = sink.statistics()
    assert account.dropped == {DropReason.QUEUE_FULL: refused}
    assert account.delivered == 1001 - refused


def test_b4_events_expire_while_kinesis_is_down_and_it_is_told(fake: FakeKinesis) -> None:
    """With the number and the reason, and what comes afterwards arrives."""
    told: list[str] = []
    fake.faults.append(Hang(operation="PutRecords"))
    sink = make_sink(fake, time_to_live=0.3, on_error=lambda _, text: told.append(text))
    for _ in range(3):
        sink.emit(b"old")
    assert sink.flush(PATIENCE)
    assert sink.statistics().dropped == {DropReason.EXPIRED: 3}
    wait_until(lambda: any("3 events dropped" in text for text in told))
    fake.faults.clear()
    fake.release()
    wait_until(lambda: sink.emit(b"new") and sink.flush(PATIENCE) and b"new" in landed(fake))
    sink.close()


def test_the_application_s_random_numbers_are_left_alone(fake: FakeKinesis) -> None:
    """A program that has seeded them draws the same ones with a sink as without."""
    random.seed(42)
    before = random.getstate()
    fake.faults.append(Reset(operation="PutRecords", times=2))
    sink = make_sink(fake)
    assert sink.emit(b"event")
    assert sink.flush(PATIENCE)
    assert sink.close()
    assert sum(call.operation == "PutRecords" for call in fake.calls) == 3
    assert random.getstate() == before


def test_s5_flush_returns_by_its_timeout_whatever_is_queued(fake: FakeKinesis) -> None:
    """And says that it was not enough; statistics stay readable."""
    fake.faults.append(Hang(operation="PutRecords"))
    sink = make_sink(fake, max_pending_bytes=64 * 1024, shutdown_timeout=0.1)
    for _ in range(1000):
        sink.emit(b"x" * 1000)
    began = time.monotonic()
    assert not sink.flush(timeout=0.05)
    assert time.monotonic() - began < PATIENCE / 4
    assert not sink.close(timeout=0.05)
    wait_until(lambda: not own_threads())
    account = sink.statistics()
    assert account.pending == 0
    assert DropReason.SHUTDOWN in account.dropped
    assert adds_up(account)


async def test_aflush_leaves_the_event_loop_free(fake: FakeKinesis) -> None:
    """Asyncio and trio; True when everything has ended, False at the timeout."""
    sink = make_sink(fake)
    assert await sink.aflush()
    fake.faults.append(Latency(operation="PutRecords", answer=0.05, times=1))
    sink.emit(b"x")
    assert await sink.aflush()
    assert landed(fake) == [b"x"]
    fake.faults.append(Hang(operation="PutRecords"))
    sink.emit(b"y")
    assert not await sink.aflush(0.05)
    fake.faults.clear()
    fake.release()
    assert await sink.aflush(PATIENCE)
    await anyio.to_thread.run_sync(sink.close)


def test_c2_flush_on_behalf_of_a_producer_does_not_wait(fake: FakeKinesis) -> None:
    """It could wait for itself."""
    answers: list[bool] = []
    fake.faults.append(AccessDenied(operation="PutRecords"))

    def tell(_kind: str, _text: str) -> None:
        answers.append(sink.flush(PATIENCE))
        answers.append(sink.close(PATIENCE))

    sink = make_sink(fake, on_error=tell, shutdown_timeout=0.2)
    sink.emit(b"x")
    wait_until(lambda: len(answers) >= 2)
    assert not any(answers)


def test_a_closed_sink_that_is_forgotten_ends_its_thread(fake: FakeKinesis) -> None:
    """Also one that nobody has closed; what was pending arrives."""
    sink = make_sink(fake)
    sink.emit(b"x")
    del sink
    gc.collect()
    wait_until(lambda: landed(fake) == [b"x"])
    wait_until(lambda: not own_threads())


class Holder:
    """Something that takes sinks, and can be collected."""


def test_holders_of_one_configuration_share_a_sink() -> None:
    """The last one to let go ends it; whoever comes later gets a new one."""
    config, one, another = make_config(), Holder(), Holder()
    first, second = sinks.acquire(config, one), sinks.acquire(make_config(), another)
    other = sinks.acquire(make_config(linger=0.5), one)
    assert first is second
    assert other is not first
    sinks.release(first, one)
    assert sinks.acquire(config, one) is first
    sinks.release(first, one)
    sinks.release(first, one)
    assert sinks.acquire(config, one) is first
    sinks.release(first, one)
    sinks.release(first, another)
    assert sinks.acquire(config, one) is not first


def test_a_holder_counts_once_however_often_it_takes_the_sink() -> None:
    """So that it can give it back at once, whatever threads have taken it for it."""
    config, one = make_config(), Holder()
    first = sinks.acquire(config, one)
    assert sinks.acquire(config, one) is first
    sinks.release(first, one)
    assert sinks.acquire(config, one) is not first


def test_a_holder_that_is_collected_holds_nothing() -> None:
    """Nobody has to close what nobody can reach any more."""
    config, one, another = make_config(), Holder(), Holder()
    first = sinks.acquire(config, one)
    assert sinks.acquire(config, another) is first
    del another
    gc.collect()
    sinks.release(first, one)
    assert sinks.acquire(config, one) is not first


def test_a_sink_that_its_holders_have_left_behind_is_not_kept() -> None:
    """The registry keeps neither it nor its configuration."""
    config, one = make_config(linger=0.75), Holder()
    known = weakref.ref(sinks.acquire(config, one))
    del one
    gc.collect()
    assert known() is None
    assert config not in sinks._registry._sinks


def test_a_released_sink_drains_and_ends(fake: FakeKinesis) -> None:
    """Nobody waits for that, and nothing is lost by it."""
    sink = make_sink(fake, linger=0.05)
    sink.emit(b"x")
    sink.retire()
    wait_until(lambda: landed(fake) == [b"x"])


def test_own_records_are_counted_apart(fake: FakeKinesis) -> None:
    """They are none of the application's events."""
    sink = make_sink(fake)
    sink.count_own()
    assert sink.statistics().own == 1
    assert sink.statistics().accepted == 0
    assert not origin.is_own()


def test_n1_statistics_add_up_while_everything_happens(
    fake: FakeKinesis, anyio_backend: str
) -> None:
    """Threads emit, flush and close; whoever reads sees a true account, and none goes back."""
    sink = make_sink(fake, backend=anyio_backend, max_pending_bytes=256 * 1024, linger=0.002)
    senders = [threading.Thread(target=_send, args=(sink, name)) for name in ("a", "b", "c")]
    closers = [threading.Thread(target=_close_often, args=(sink,))]
    for thread in [*senders, *closers]:
        thread.start()
    seen = sink.statistics()
    readings = 0
    while any(thread.is_alive() for thread in senders):
        account = sink.statistics()
        assert adds_up(account)
        assert account.accepted >= seen.accepted
        assert account.delivered >= seen.delivered
        assert account.lost >= seen.lost
        seen = account
        readings += 1
    for thread in closers:
        thread.join()
    assert sink.close()
    account = sink.statistics()
    assert readings > 10
    assert account.accepted == 6000
    assert account.pending == 0
    assert adds_up(account)
    assert len(landed(fake)) == account.delivered


def _send(sink: Sink, name: str) -> None:
    for number in range(2000):
        sink.emit(b"%d" % number, name if number % 5 == 0 else None)
        if number % 100 == 0:
            time.sleep(0.001)


def _close_often(sink: Sink) -> None:
    for _ in range(10):
        sink.flush(0.01)
        sink.close()


def test_events_under_one_wake_up_wake_the_producer_once(fake: FakeKinesis) -> None:
    """In the end, whoever has woken it meanwhile; and all of them arrive."""
    sink = make_sink(fake)
    woken: list[None] = []
    wake = sink._intake.wake
    sink._intake.wake = lambda: woken.append(None)
    with sink.one_wake_up():
        for number in range(3):
            assert sink.emit(b"%d" % number)
        assert woken == []
    assert woken == [None]
    sink._intake.wake = wake
    wake()
    assert sink.flush(PATIENCE)
    assert landed(fake) == [b"0", b"1", b"2"]
    sink.close()


def test_an_error_under_one_wake_up_leaves_nobody_asleep(fake: FakeKinesis) -> None:
    """What was emitted before it is delivered."""
    sink = make_sink(fake)

    def fail() -> None:
        with sink.one_wake_up():
            sink.emit(b"x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    wait_until(lambda: landed(fake) == [b"x"])
    sink.close()


def test_an_event_refused_where_no_thread_runs_is_counted_without_starting_one(
    fake: FakeKinesis,
) -> None:
    """It is in the account at once, and stays there when a thread runs."""
    sink = make_sink(fake)
    sink.refuse(DropReason.SHUTDOWN)
    assert not own_threads()
    assert sink.statistics().dropped == {DropReason.SHUTDOWN: 1}
    sink.emit(b"x")
    sink.refuse(DropReason.TOO_LARGE)
    assert sink.flush(PATIENCE)
    account = sink.statistics()
    assert account.dropped == {DropReason.SHUTDOWN: 1, DropReason.TOO_LARGE: 1}
    assert (account.accepted, account.delivered) == (3, 1)
    sink.close()
    sink.refuse(DropReason.SHUTDOWN)
    assert sink.statistics().lost == 3
    assert not own_threads()


def test_trouble_is_told_by_on_error(fake: FakeKinesis) -> None:
    """With the stream's name, and without waiting for whoever listens."""
    told: list[tuple[str, str]] = []
    sink = make_sink(fake, on_error=lambda kind, text: told.append((kind, text)))
    sink.report("Trouble", "something is amiss")
    wait_until(lambda: told == [("Trouble", "stream 'app': something is amiss")])


def test_a_sink_that_another_has_replaced_leaves_that_one_known() -> None:
    """Letting go of the old one says nothing about the new one."""
    config, one, another = make_config(linger=0.85), Holder(), Holder()
    old = sinks.acquire(config, one)
    del sinks._registry._sinks[config]
    new = sinks.acquire(config, another)
    assert new is not old
    sinks.release(old, one)
    assert sinks.acquire(config, one) is new

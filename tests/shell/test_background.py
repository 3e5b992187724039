"""The producer's own thread: when it starts, how it ends, and what it survives."""

from __future__ import annotations

import signal
import sys
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from kinesink import Sink
from kinesink.shell import background, process_exit
from kinesink.shell.background import Background
from kinesink.shell.intake import Intake
from kinesink.shell.producer_task import ProducerTask
from kinesink.testing import Hang
from tests.shell.support import (
    PATIENCE,
    landed,
    make_client,
    make_config,
    make_fake,
    make_sink,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink import Config
    from kinesink.shell.kinesis import KinesisClient
    from kinesink.testing import FakeKinesis
    from tests.shell.conftest import AwsEnvironment


@pytest.fixture(autouse=True)
def no_thread_left(aws: AwsEnvironment) -> Iterator[None]:
    """Let requests be signed, and see that every thread ends."""
    aws.set_keys()
    yield
    wait_until(lambda: not threads_named("kinesink app"))


@pytest.fixture
def fake() -> FakeKinesis:
    """Return a fake with a stream of four shards."""
    return make_fake()


class Exit(process_exit.ProcessExit):
    """The exit of a process that goes on."""


@pytest.fixture
def leaving(monkeypatch: pytest.MonkeyPatch) -> Exit:
    """Give sinks an exit of their own."""
    leaving = Exit()
    monkeypatch.setattr(background, "process_exit", leaving)
    for user in ("sink", "flush"):
        monkeypatch.setattr(f"kinesink.shell.{user}.process_exit", leaving)
    return leaving


def refuse(*_: object) -> NoReturn:
    """Stand in for what starts a thread."""
    raise RuntimeError("can't start new thread")


def threads_named(name: str) -> list[threading.Thread]:
    """Return the threads with a name."""
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_many_threads_that_emit_first_start_one_producer(fake: FakeKinesis) -> None:
    """C1: one thread, one listing, every event."""
    clients: list[KinesisClient] = []

    def make(config: Config) -> KinesisClient:
        clients.append(make_client(fake, config))
        return clients[-1]

    sink = Sink(make_config(), make_client=make)
    gate = threading.Barrier(8)

    def emit() -> None:
        gate.wait()
        sink.emit(b"x")

    threads = [threading.Thread(target=emit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sink.close()
    assert len(clients) == 1
    assert landed(fake) == [b"x"] * 8


def test_the_thread_has_a_name_and_is_forgotten_when_it_ends(
    fake: FakeKinesis, anyio_backend: str
) -> None:
    """On every Python; nothing is left in threading.enumerate()."""
    before = set(threading.enumerate())
    sink = make_sink(fake, backend=anyio_backend)
    sink.emit(b"x")
    sink.flush()
    assert len(threads_named("kinesink app")) == 1
    assert threads_named("kinesink app")[0].daemon
    sink.close()
    wait_until(lambda: not threads_named("kinesink app"))
    left = {thread for thread in set(threading.enumerate()) - before if "Dummy" in repr(thread)}
    assert not left


def test_events_wait_where_no_thread_can_be_started_and_the_next_one_tries(
    fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system that is out of threads for a while costs no event."""
    sink = make_sink(fake)
    with monkeypatch.context() as patch:
        patch.setattr("_thread.start_new_thread", refuse)
        sink.emit(b"one")
        sink.emit(b"two")
        assert sink.statistics().pending == 2
    sink.emit(b"three")
    assert sink.close()
    assert landed(fake) == [b"one", b"three", b"two"]


def test_a_thread_that_can_start_no_other_does_the_work_itself(
    fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the main thread ends right after the first event (Python 3.12)."""
    sink = make_sink(fake)
    sink._intake.wake = lambda: None
    sink.emit(b"x")
    sink._background._take_token()
    sink._intake.enqueue(sink._background._stop_now)
    unstartable = SimpleNamespace(Thread=lambda **_: _Unstartable())
    monkeypatch.setattr("kinesink.shell.threads.threading", unstartable)
    assert sink._background._start_thread()
    wait_until(lambda: landed(fake) == [b"x"])


class _Unstartable:
    """A thread that does not start."""

    start = refuse


def test_a_producer_that_dies_is_told_of_and_the_next_event_starts_another(
    fake: FakeKinesis,
) -> None:
    """Nothing is spent on trying again meanwhile."""
    told: list[str] = []
    broken = [True]

    def make(config: Config) -> KinesisClient:
        if broken:
            raise RuntimeError("no client")
        return make_client(fake, config)

    config = make_config(on_error=lambda kind, text: told.append(f"{kind}: {text}"))
    sink = Sink(config, make_client=make)
    sink.emit(b"one")
    wait_until(lambda: told)
    assert told == [
        (
            "KinesinkInternalError: stream 'app': the producer ended by RuntimeError('no client'); "
            "the next event starts another"
        )
    ]
    wait_until(lambda: not threads_named("kinesink app"))
    broken.clear()
    sink.emit(b"two")
    assert sink.close()
    assert landed(fake) == [b"one", b"two"]


def test_an_event_that_comes_while_the_thread_ends_is_served(
    fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next thread, at once."""
    sink = make_sink(fake)
    leave = Background._leave
    late = [b"late"]

    def emit_and_leave(self: Background) -> None:
        while late:
            sink.emit(late.pop())
        leave(self)

    monkeypatch.setattr(Background, "_leave", emit_and_leave)
    sink.emit(b"first")
    sink.close()
    wait_until(lambda: landed(fake) == [b"first", b"late"])
    sink.close()


def test_starting_and_stopping_from_many_threads_loses_nothing(
    fake: FakeKinesis, anyio_backend: str
) -> None:
    """Each event is served by the thread that ends or by the next one."""
    sink = make_sink(fake, backend=anyio_backend, linger=0)

    def emit_and_stop() -> None:
        for _ in range(25):
            sink.emit(b"x")
            sink.retire()
            time.sleep(0.001)

    threads = [threading.Thread(target=emit_and_stop) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sink.flush(PATIENCE)
    assert landed(fake) == [b"x"] * 100
    sink.close()


def test_c3_signal_handlers_may_emit_whatever_they_interrupt(fake: FakeKinesis) -> None:
    """Emitting, flushing or closing: nothing waits for what the handler's own thread holds."""
    sink = make_sink(fake, linger=0)
    handled = 0

    def handle(*_: object) -> None:
        nonlocal handled
        handled += 1
        sink.emit(b"signal")

    previous = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0007)
    emitted = 0
    deadline = time.monotonic() + 1
    try:
        while time.monotonic() < deadline:
            sink.emit(b"main")
            emitted += 1
            sink.close(0.002 if emitted % 2 else PATIENCE)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert sink.flush(PATIENCE)
    assert handled > 10
    assert len(landed(fake)) == handled + emitted
    sink.close()


def test_p1_wake_ups_and_turns_do_not_grow_with_events(
    fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch, anyio_backend: str
) -> None:
    """While events flow nobody is woken; the producer looks by itself."""
    turns = 0
    turn = ProducerTask._turn

    def count(self: ProducerTask) -> float:
        nonlocal turns
        turns += 1
        return turn(self)

    monkeypatch.setattr(ProducerTask, "_turn", count)
    sink = make_sink(fake, backend=anyio_backend, linger=0.1)
    sink.emit(b"first")
    sink.flush()
    wakes = 0
    wake = sink._intake.wake

    def count_wake() -> None:
        nonlocal wakes
        wakes += 1
        wake()

    sink._intake.wake = count_wake
    turns = 0
    began = time.monotonic()
    for number in range(50_000):
        sink.emit(b"x" * 20)
        if number % 1000 == 0:
            time.sleep(0.001)
    elapsed = time.monotonic() - began
    requests = sink.statistics().requests
    assert wakes <= 5 + elapsed / 0.02
    assert turns <= 20 + 2 * requests + elapsed / 0.01
    assert sink.close()
    assert sink.statistics().delivered == 50_001


def test_an_idle_thread_sleeps(
    fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch, anyio_backend: str
) -> None:
    """No turns without events."""
    sink = make_sink(fake, backend=anyio_backend)
    sink.emit(b"x")
    sink.flush()
    time.sleep(0.1)
    turns: list[int] = []
    turn = ProducerTask._turn

    def count(self: ProducerTask) -> float:
        turns.append(1)
        return turn(self)

    monkeypatch.setattr(ProducerTask, "_turn", count)
    time.sleep(0.2)
    assert len(turns) <= 1
    monkeypatch.undo()
    sink.close()


# -- exit, in a process that goes on -------------------------------------------


def test_s6_the_exit_hook_delivers_and_leaves_the_thread(
    fake: FakeKinesis, leaving: Exit, anyio_backend: str
) -> None:
    """Hooks that run later still log, and their call waits for the delivery."""
    sink = make_sink(fake, backend=anyio_backend, linger=1.0)
    sink.emit(b"before")
    leaving.run()
    assert landed(fake) == [b"before"]
    sink.emit(b"after")
    assert landed(fake) == [b"after", b"before"]
    sink.emit(b"once more")
    assert len(landed(fake)) == 3
    assert sink.close()
    sink.emit(b"without a thread")
    assert len(landed(fake)) == 4
    assert not threads_named("kinesink app")


def test_s6_what_waits_without_a_thread_is_delivered_in_the_hook(
    fake: FakeKinesis, leaving: Exit, monkeypatch: pytest.MonkeyPatch, anyio_backend: str
) -> None:
    """Python 3.12 starts no thread any more by then."""
    monkeypatch.setattr("_thread.start_new_thread", refuse)
    sink = make_sink(fake, backend=anyio_backend)
    sink.emit(b"x")
    assert landed(fake) == []
    leaving.run()
    assert landed(fake) == [b"x"]


def test_s6_a_hook_with_nothing_to_do_takes_no_time_from_later_ones(
    fake: FakeKinesis, leaving: Exit
) -> None:
    """The deadline begins with the first event then."""
    leaving.run()
    sink = make_sink(fake)
    sink.emit(b"x")
    assert landed(fake) == [b"x"]


def test_s6_what_is_left_is_told_in_one_line(
    fake: FakeKinesis, leaving: Exit, capfd: pytest.CaptureFixture[str]
) -> None:
    """How many, how much, where, how long; and no exit takes longer than that."""
    fake.faults.append(Hang(operation="PutRecords"))
    sink = make_sink(fake, shutdown_timeout=0.2)
    sink.emit(b"x" * 10)
    began = time.monotonic()
    leaving.run()
    assert capfd.readouterr().err == (
        "kinesink: 1 event (10 bytes) not delivered to 'app' within 0.2 s\n"
    )
    assert not sink.flush()
    assert not sink.close()
    sink.emit(b"y")
    assert time.monotonic() - began < PATIENCE / 4
    fake.faults.clear()
    fake.release()


def test_s4_ctrl_c_in_the_exit_hook_still_says_what_is_left(
    fake: FakeKinesis, leaving: Exit, capfd: pytest.CaptureFixture[str]
) -> None:
    """The interrupt propagates."""
    fake.faults.append(Hang(operation="PutRecords"))
    sink = make_sink(fake, shutdown_timeout=0.2)
    sink.emit(b"x")

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            leaving.run()
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert "1 event (1 bytes) not delivered" in capfd.readouterr().err
    fake.faults.clear()
    fake.release()
    sink.close()


@pytest.mark.parametrize("thread", ["running", "none"])
def test_s6_an_event_during_finalization_is_told_and_not_waited_for(
    fake: FakeKinesis,
    leaving: Exit,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    thread: str,
) -> None:
    """By then threads are frozen and modules gone."""
    sink = make_sink(fake)
    if thread == "running":
        sink.emit(b"before")
    leaving.run()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "is_finalizing", lambda: True)
        sink._intake.awake = False
        sink.emit(b"too late")
    assert "1 event (8 bytes) not delivered to 'app'" in capfd.readouterr().err
    leaving.reset()
    sink.emit(b"still alive")
    sink.close()


def test_c2_after_the_exit_hook_the_producers_own_threads_do_not_wait(
    fake: FakeKinesis, leaving: Exit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One could wait for itself."""
    sink = make_sink(fake)
    sink.emit(b"before")
    leaving.run()
    monkeypatch.setattr("kinesink.shell.origin.is_own", lambda: True)
    sink.emit(b"after")
    monkeypatch.undo()
    wait_until(lambda: landed(fake) == [b"after", b"before"])
    sink.retire()


def test_s7_a_child_begins_with_nothing(fake: FakeKinesis) -> None:
    """What the parent had is kept alive and left alone."""
    config = make_config()
    intake = Intake(config.max_pending_bytes, wake=lambda: None)
    runs: list[Any] = []
    served = Background(config, intake, lambda config: make_client(fake, config))
    intake.put(b"parents", 7)
    served.after_fork_in_child()
    assert served.idle
    assert intake.statistics().accepted == 0
    assert runs == []
    assert intake.wake == served.start

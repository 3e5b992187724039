"""Signals: what a process has logged leaves before one ends it, whatever it interrupts."""

from __future__ import annotations

import _thread
import logging
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from kinesink import install_signal_handlers
from kinesink.shell import signals
from kinesink.shell.process_exit import process_exit
from kinesink.testing import Hang
from tests.process_life.programs import PRELUDE, not_delivered, running
from tests.shell.support import landed, make_fake, make_sink, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink.testing import FakeKinesis

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]

WITH = f"""{PRELUDE}
kinesink.install_signal_handlers()
"""
LINGER = "60"
"""Seconds that nothing leaves by itself in."""

LAST_WORDS = """
def last_words(number, frame):
    account()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
signal.signal(signal.SIGTERM, last_words)
kinesink.install_signal_handlers()
"""
"""What tells the account after the delivery, and then ends as without it."""


def numbers(count: int) -> list[bytes]:
    """Return the events of a program that counts, sorted."""
    return sorted(b"%d" % number for number in range(count))


def accepted(out: str) -> int:
    """Return how many events a program has told, all of them delivered."""
    told = out.splitlines()[-1].split()
    assert told[0] == told[2]
    return int(told[0])


def hang(fake: FakeKinesis) -> None:
    """Have no write answered, until :func:`let_go`."""
    fake.faults.append(Hang(operation="PutRecords"))


def let_go(fake: FakeKinesis) -> None:
    """Have everything answered that hangs."""
    fake.faults.clear()
    fake.release()


def is_asked_to_write(fake: FakeKinesis) -> bool:
    """Tell whether a write has come."""
    return any(call.operation == "PutRecords" for call in fake.calls)


def test_without_handlers_what_is_pending_is_lost(anyio_backend: str) -> None:
    """SIGTERM ends a process without any hook of Python's; what was flushed before is there."""
    fake = make_fake()
    source = f"{PRELUDE}log('one'); sink.flush(); log('two'); say('ready'); idle()"
    with running(fake, source, KINESINK_BACKEND=anyio_backend, KINESINK_LINGER=LINGER) as program:
        program.wait_line("ready")
        program.send(signal.SIGTERM)
        ran = program.end()
    assert (ran.status, ran.err) == (-signal.SIGTERM, "")
    assert landed(fake) == [b"one"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_with_handlers_everything_is_delivered(number: signal.Signals, anyio_backend: str) -> None:
    """And the process ends by the signal all the same, silently."""
    fake = make_fake()
    source = f"""{WITH}
for number in range(1000):
    log(str(number))
say('ready')
idle()
"""
    with running(fake, source, KINESINK_BACKEND=anyio_backend, KINESINK_LINGER=LINGER) as program:
        program.wait_line("ready")
        program.send(number)
        ran = program.end()
    assert (ran.status, ran.err) == (-number, "")
    assert landed(fake) == numbers(1000)


def test_a_handler_of_the_application_s_is_called_after_the_delivery(anyio_backend: str) -> None:
    """It decides how the process ends, and what it logs is delivered at the exit."""
    fake = make_fake()
    source = f"""{PRELUDE}
def handle(number, frame):
    account()
    log("bye")
    sys.exit(3)
signal.signal(signal.SIGTERM, handle)
kinesink.install_signal_handlers()
kinesink.install_signal_handlers()
log("one")
say("ready")
idle()
"""
    with running(fake, source, KINESINK_BACKEND=anyio_backend, KINESINK_LINGER=LINGER) as program:
        program.wait_line("ready")
        program.send(signal.SIGTERM)
        ran = program.end()
    assert (ran.status, ran.err) == (3, "")
    assert ran.out.splitlines() == ["ready", "1 accepted, 1 delivered"]
    assert landed(fake) == [b"bye", b"one"]


def test_a_signal_that_is_ignored_delivers_and_the_process_goes_on(anyio_backend: str) -> None:
    """Its later exit has all of its time, whatever the signal has waited for in vain."""
    fake = make_fake()
    hang(fake)
    source = f"""{PRELUDE}
signal.signal(signal.SIGHUP, signal.SIG_IGN)
kinesink.install_signal_handlers()
log("one")
say("ready")
for _ in range(2):
    sys.stdin.readline()
    say("goes on")
log("two")
"""
    with running(
        fake, source, KINESINK_BACKEND=anyio_backend, KINESINK_SHUTDOWN_TIMEOUT="1.5"
    ) as program:
        program.wait_line("ready")
        program.send(signal.SIGHUP)
        program.answer()
        program.wait_line("goes on")
        let_go(fake)
        program.wait_until(lambda: landed(fake) == [b"one"])
        program.answer()
        ran = program.end()
    assert ran.status == 0
    lines = not_delivered(ran.err)
    assert len(lines) == 1
    assert lines[0].startswith("kinesink: 1 event (3 bytes) not delivered to 'app' within 1.5 s")
    assert landed(fake) == [b"one", b"two"]


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_in_the_middle_of_an_event_loop(loop: str, anyio_backend: str) -> None:
    """The loop stands still while the producer's own thread delivers."""
    fake = make_fake()
    source = f"""{PRELUDE}{LAST_WORDS}
import {loop}
async def main():
    for number in range(10**9):
        log(str(number))
        if number == 100:
            say("ready")
        await {loop}.sleep(0.001)
{loop}.run(main{"()" if loop == "asyncio" else ""})
"""
    with running(fake, source, KINESINK_BACKEND=anyio_backend, KINESINK_LINGER=LINGER) as program:
        program.wait_line("ready")
        program.send(signal.SIGTERM)
        ran = program.end()
    assert (ran.status, ran.err) == (-signal.SIGTERM, "")
    assert landed(fake) == numbers(accepted(ran.out))


def test_in_the_middle_of_log_calls(anyio_backend: str) -> None:
    """Of a thread that does nothing else: what it has logged leaves, and the account closes."""
    fake = make_fake()
    source = f"""{PRELUDE}{LAST_WORDS}
import logging
handler = kinesink.KinesisHandler(sink=sink)
handler.setFormatter(logging.Formatter("%(message)s"))
logger = logging.getLogger("shop")
logger.setLevel("INFO")
logger.addHandler(handler)
for number in range(10**9):
    logger.info(number)
    if number == 500:
        say("ready")
"""
    with running(fake, source, KINESINK_BACKEND=anyio_backend) as program:
        program.wait_line("ready")
        program.send(signal.SIGTERM)
        ran = program.end()
    assert ran.status == -signal.SIGTERM
    assert not_delivered(ran.err) == []
    assert len(landed(fake)) == accepted(ran.out)


def test_in_the_middle_of_a_flush(anyio_backend: str) -> None:
    """The handler waits beside it."""
    fake = make_fake()
    hang(fake)
    source = f"""{PRELUDE}{LAST_WORDS}
from kinesink.shell.process_exit import process_exit
flush = process_exit.flush
process_exit.flush = lambda: (say("handles"), flush())
log("0")
say("flushes")
sink.flush()
idle()
"""
    with running(fake, source, KINESINK_BACKEND=anyio_backend) as program:
        program.wait_line("flushes")
        program.wait_until(lambda: is_asked_to_write(fake))
        program.send(signal.SIGTERM)
        program.wait_line("handles")
        let_go(fake)
        ran = program.end()
    assert (ran.status, ran.err) == (-signal.SIGTERM, "")
    assert landed(fake) == numbers(accepted(ran.out))


AMID = {
    "dictConfig": """
import logging.config
class InTheMiddle(logging.NullHandler):
    def __init__(self):
        super().__init__()
        log("0")
        signal.raise_signal(signal.SIGTERM)
logging.config.dictConfig({
    "version": 1, "handlers": {"it": {"()": InTheMiddle}},
    "root": {"handlers": ["it"], "level": "DEBUG"},
})
""",
    "the start of the producer": """
import _thread
start = _thread.start_new_thread
def interrupted(*arguments):
    _thread.start_new_thread = start
    signal.raise_signal(signal.SIGTERM)
    return start(*arguments)
_thread.start_new_thread = interrupted
log("0")
""",
    "the start of another thread": """
class InTheMiddle(dict):
    def __setitem__(self, key, value):
        threading._limbo = {}
        threading._limbo[key] = value
        log("0")
        signal.raise_signal(signal.SIGTERM)
threading._limbo = InTheMiddle()
threading.Thread(target=print, args=("started",)).start()
""",
}


@pytest.mark.parametrize("what", AMID)
def test_amid_what_the_producer_needs(what: str, anyio_backend: str) -> None:
    """The signal comes again a moment later; nothing waits in vain."""
    fake = make_fake()
    source = f"{WITH}{AMID[what]}idle()"
    with running(fake, source, KINESINK_BACKEND=anyio_backend, KINESINK_LINGER=LINGER) as program:
        ran = program.end()
    assert (ran.status, ran.err) == (-signal.SIGTERM, "")
    assert landed(fake) == [b"0"]


@pytest.mark.parametrize(
    "begun", ["log('one')", "atexit.register(log, 'one')"], ids=["a thread's", "the hook's"]
)
def test_during_the_exit_it_waits_for_the_delivery(begun: str, anyio_backend: str) -> None:
    """Also where the main thread itself delivers: Python 3.12 starts no other by then."""
    fake = make_fake()
    hang(fake)
    source = f"""{WITH}
from kinesink.shell.process_exit import process_exit
postpone = process_exit.postpone
process_exit.postpone = lambda call: (say("caught"), postpone(call))[1]
{begun}
"""
    with running(fake, source, KINESINK_BACKEND=anyio_backend) as program:
        program.wait_until(lambda: is_asked_to_write(fake))
        program.send(signal.SIGTERM)
        program.wait_line("caught")
        let_go(fake)
        ran = program.end()
    assert (ran.status, ran.err) == (-signal.SIGTERM, "")
    assert landed(fake) == [b"one"]


def test_in_a_forked_child(anyio_backend: str) -> None:
    """It has inherited the handlers, and delivers what it has logged itself."""
    fake = make_fake()
    source = f"""
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
{WITH}
log("parent")
child = os.fork()
if child == 0:
    log("child")
    say("ready")
    idle()
sys.stdin.readline()
os.kill(child, signal.SIGTERM)
assert os.waitpid(child, 0)[1] == signal.SIGTERM
"""
    with running(fake, source, KINESINK_BACKEND=anyio_backend, KINESINK_LINGER=LINGER) as program:
        program.wait_line("ready")
        program.answer()
        ran = program.end()
    assert (ran.status, ran.err) == (0, "")
    assert landed(fake) == [b"child", b"parent"]


@pytest.mark.parametrize(
    ("before", "status"),
    [("", -signal.SIGTERM), ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))", 3)],
    ids=["by the signal", "by an exit"],
)
def test_an_endpoint_that_never_answers(before: str, status: int, anyio_backend: str) -> None:
    """The signal's time is the exit's: it ends in time, and what is lost is told once."""
    fake = make_fake()
    hang(fake)
    source = f"""{PRELUDE}
{before}
kinesink.install_signal_handlers()
log("one")
log("two")
say("ready")
idle()
"""
    with running(
        fake, source, KINESINK_BACKEND=anyio_backend, KINESINK_SHUTDOWN_TIMEOUT="1.5"
    ) as program:
        program.wait_line("ready")
        program.send(signal.SIGTERM)
        ran = program.end()
    assert ran.status == status
    assert ran.err == "kinesink: 2 events (6 bytes) not delivered to 'app' within 1.5 s\n"
    assert ran.seconds < 20
    assert landed(fake) == []


# -- in a process that goes on ----------------------------------------------------


@pytest.fixture
def number() -> Iterator[int]:
    """Return a signal for the test to handle; what it did before is restored."""
    number = signal.SIGUSR1
    previous = signal.getsignal(number)
    yield number
    signal.signal(number, previous)


@pytest.fixture
def flushes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what handlers have done."""
    done: list[str] = []
    monkeypatch.setattr(process_exit, "flush", lambda: done.append("flush"))
    monkeypatch.setattr(process_exit, "go_on", lambda: done.append("go on"))
    return done


def test_twice_is_once(number: int, flushes: list[str]) -> None:
    """Whoever calls it again changes nothing."""
    signal.signal(number, lambda *_: flushes.append("previous"))
    install_signal_handlers(number)
    installed = signal.getsignal(number)
    install_signal_handlers(number, number)
    assert signal.getsignal(number) is installed
    signal.raise_signal(number)
    assert flushes == ["flush", "previous", "go on"]


def test_handlers_may_be_chained_both_ways(number: int, flushes: list[str]) -> None:
    """One that was set later calls it and is called by the next; each is called once."""
    signal.signal(number, lambda *_: flushes.append("first"))
    install_signal_handlers(number)
    ours = signal.getsignal(number)
    assert callable(ours)

    def later(*arguments: Any) -> None:  # noqa: ANN401 - passed on as they are
        flushes.append("later")
        ours(*arguments)

    signal.signal(number, later)
    install_signal_handlers(number)
    signal.raise_signal(number)
    assert [done for done in flushes if done != "go on"] == [
        "flush", "later", "flush", "first",
    ]  # fmt: skip


def test_a_default_that_ends_nothing_leaves_it_installed(flushes: list[str]) -> None:
    """Where the system ignores the signal, or protects the process from it, life goes on."""
    number = signal.SIGURG
    assert signal.getsignal(number) == signal.SIG_DFL
    install_signal_handlers(number)
    installed = signal.getsignal(number)
    try:
        signal.raise_signal(number)
        assert signal.getsignal(number) is installed
    finally:
        signal.signal(number, signal.SIG_DFL)
    assert flushes == ["flush", "go on"]


@pytest.mark.parametrize(
    ("error", "expected"), [(SystemExit, ["flush"]), (KeyboardInterrupt, ["flush", "go on"])]
)
def test_only_an_exit_of_the_handler_s_leaves_the_exit_less_time(
    number: int, flushes: list[str], error: type[BaseException], expected: list[str]
) -> None:
    """Any other exception may be caught, and the process go on for days."""

    def handle(*_: object) -> NoReturn:
        raise error

    signal.signal(number, handle)
    install_signal_handlers(number)
    with pytest.raises(error):
        signal.raise_signal(number)
    assert flushes == expected


def test_a_flush_that_fails_holds_nothing_up(
    number: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The handler that was there is called, and the error told."""
    called: list[int] = []

    def fail() -> NoReturn:
        raise ValueError("mine")

    monkeypatch.setattr(process_exit, "flush", fail)
    signal.signal(number, lambda number, _: called.append(number))
    install_signal_handlers(number)
    signal.raise_signal(number)
    assert called == [number]
    assert capfd.readouterr().err == (
        f"kinesink: the flush before the handler of signal {number:d} failed: ValueError('mine')\n"
    )


def test_it_does_not_come_again_for_ever(
    number: int, flushes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the main thread configures logging for long, the signal is handled amid that."""
    monkeypatch.setattr(signals, "_PATIENCE", 0.05)
    signal.signal(number, lambda *_: flushes.append("previous"))
    install_signal_handlers(number)
    with logging._lock:  # type: ignore[attr-defined]  # private, hence not in the stubs
        signal.raise_signal(number)
        assert flushes == []
        wait_until(lambda: flushes)
    assert flushes == ["flush", "previous", "go on"]


def test_without_another_thread_it_is_handled_at_once(
    number: int, flushes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could send it again."""

    def refuse(*_: object) -> NoReturn:
        raise RuntimeError("can't start new thread")

    signal.signal(number, lambda *_: flushes.append("previous"))
    install_signal_handlers(number)
    monkeypatch.setattr("_thread.start_new_thread", refuse)
    with logging._lock:  # type: ignore[attr-defined]  # private, hence not in the stubs
        signal.raise_signal(number)
    assert flushes == ["flush", "previous", "go on"]


def test_it_comes_again_where_no_thread_can_be_signalled(
    number: int, flushes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows."""
    monkeypatch.delattr(signal, "pthread_kill")
    signal.signal(number, lambda *_: flushes.append("previous"))
    install_signal_handlers(number)
    signals._send_again(number)
    wait_until(lambda: flushes)
    assert flushes == ["flush", "previous", "go on"]


def test_it_comes_again_where_the_start_of_a_producer_is_interrupted(
    number: int, flushes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is waited for would otherwise begin only when the handler has returned."""
    start = _thread.start_new_thread

    def interrupted(*arguments: Any) -> int:  # noqa: ANN401 - passed on as they are
        monkeypatch.setattr("_thread.start_new_thread", start)
        signal.raise_signal(number)
        assert flushes == []
        return start(*arguments)

    signal.signal(number, lambda *_: flushes.append("previous"))
    install_signal_handlers(number)
    monkeypatch.setattr("_thread.start_new_thread", interrupted)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    fake = make_fake()
    sink = make_sink(fake)
    sink.emit(b"one")
    wait_until(lambda: flushes)
    assert flushes == ["flush", "previous", "go on"]
    assert sink.close()
    assert landed(fake) == [b"one"]


def test_it_waits_for_what_delivers_in_the_main_thread(number: int, flushes: list[str]) -> None:
    """That cannot go on before the handler has returned."""
    signal.signal(number, lambda *_: flushes.append("previous"))
    install_signal_handlers(number)
    with process_exit.delivering():
        signal.raise_signal(number)
        assert flushes == []
    wait_until(lambda: flushes)
    assert flushes == ["flush", "previous", "go on"]


def test_it_is_the_main_thread_that_is_interrupted(number: int, flushes: list[str]) -> None:
    """Whichever thread sends the signal again."""
    signal.signal(number, lambda *_: flushes.append("previous"))
    install_signal_handlers(number)
    signals._send_again(number)
    wait_until(lambda: flushes)
    assert flushes == ["flush", "previous", "go on"]


def test_without_arguments_it_is_for_what_ends_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM, and SIGHUP where that exists."""
    assert signals._usual() == (signal.SIGTERM, signal.SIGHUP)
    monkeypatch.delattr(signal, "SIGHUP")
    assert signals._usual() == (signal.SIGTERM,)


def test_another_thread_cannot_install_them() -> None:
    """Python sets handlers in the main thread only."""
    with ThreadPoolExecutor(1) as threads, pytest.raises(RuntimeError, match="main thread"):
        threads.submit(install_signal_handlers).result()


def test_a_handler_that_is_not_python_s_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be called, so it is not replaced, nor is any other."""
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(
            signal, "getsignal", lambda number: None if number == signal.SIGHUP else before
        )
        with pytest.raises(RuntimeError, match="signal 1 is handled by code that is not Python's"):
            install_signal_handlers()
    assert signal.getsignal(signal.SIGTERM) is before

"""The end of a process that nobody has prepared for: what leaves then, and what is told."""

from __future__ import annotations

import signal
import sys

import pytest

from kinesink.testing import Hang
from tests.process_life.programs import PRELUDE, not_delivered, running
from tests.shell.scripts import run_script
from tests.shell.support import landed, make_fake

pytestmark = pytest.mark.slow

LINGER = "60"
"""Seconds that nothing leaves by itself in."""

LOOPS = {
    "none": "say('ready'); idle()",
    "asyncio": """
import asyncio
async def main():
    say('ready')
    await asyncio.sleep(60)
asyncio.run(main())
""",
    "trio": """
import trio
async def main():
    say('ready')
    await trio.sleep(60)
trio.run(main)
""",
}


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("loop", LOOPS)
def test_ctrl_c(loop: str, anyio_backend: str) -> None:
    """The exit hooks run, so it needs no handler of ours."""
    fake = make_fake()
    source = f"{PRELUDE}\nlog('one')\n{LOOPS[loop]}"
    with running(fake, source, KINESINK_BACKEND=anyio_backend, KINESINK_LINGER=LINGER) as program:
        program.wait_line("ready")
        program.send(signal.SIGINT)
        ran = program.end()
    # Which of them is the interpreter's affair.
    assert ran.status in {1, -signal.SIGINT}
    assert ran.err.rstrip().endswith("KeyboardInterrupt")
    assert "kinesink:" not in ran.err
    assert landed(fake) == [b"one"]


def test_an_exit_without_hooks_delivers_what_was_flushed_before(anyio_backend: str) -> None:
    """After os._exit nothing of Python's runs; what is pending then is lost."""
    fake = make_fake()
    source = f"{PRELUDE}log('one'); assert sink.flush(); log('two'); os._exit(3)"
    with running(fake, source, KINESINK_BACKEND=anyio_backend, KINESINK_LINGER=LINGER) as program:
        ran = program.end()
    assert (ran.status, ran.err) == (3, "")
    assert landed(fake) == [b"one"]


def test_a_finalizer_that_logs_at_exit(anyio_backend: str) -> None:
    """One that the interpreter calls among its exit hooks, before ours and after."""
    fake = make_fake()
    source = f"""
import weakref
class Thing: pass
early = Thing()
weakref.finalize(early, lambda: log("before the import"))
{PRELUDE}
class Logs:
    def __del__(self):
        log("by its end")
atexit.register(lambda it: None, Logs())
late = Thing()
weakref.finalize(late, lambda: log("after the import"))
"""
    with running(fake, source, KINESINK_BACKEND=anyio_backend) as program:
        ran = program.end()
    assert (ran.status, ran.err) == (0, "")
    assert landed(fake) == [b"after the import", b"before the import", b"by its end"]


def test_threads_that_go_on_after_the_main_one(anyio_backend: str) -> None:
    """The interpreter waits for them, and then delivers what they have logged."""
    fake = make_fake()
    source = f"""{PRELUDE}
def work():
    threading.main_thread().join()
    log("late")
threading.Thread(target=work).start()
log("early")
"""
    with running(fake, source, KINESINK_BACKEND=anyio_backend) as program:
        ran = program.end()
    assert (ran.status, ran.err) == (0, "")
    assert landed(fake) == [b"early", b"late"]


@pytest.mark.parametrize(
    "logs",
    ["log('one'); log('two')", "atexit.register(lambda: (log('one'), log('two')))"],
    ids=["before", "first at exit"],
)
def test_an_endpoint_that_never_answers(logs: str, anyio_backend: str) -> None:
    """The exit ends in time, and one line says how much was lost."""
    fake = make_fake()
    fake.faults.append(Hang())
    with running(
        fake,
        f"{PRELUDE}{logs}",
        KINESINK_BACKEND=anyio_backend,
        KINESINK_SHUTDOWN_TIMEOUT="1.5",
    ) as program:
        ran = program.end()
    assert ran.status == 0
    lines = not_delivered(ran.err)
    assert len(lines) == 1, ran.err
    # How long is what was left for it: imports take their part of the time.
    assert lines[0].startswith("kinesink: 2 events (6 bytes) not delivered to 'app' within ")
    assert ran.seconds < 20
    assert landed(fake) == []


def test_what_later_hooks_lose_is_told_as_well(anyio_backend: str) -> None:
    """Our hook has said what was lost by then; what is logged after it is not passed over."""
    fake = make_fake()
    fake.faults.append(Hang(operation="PutRecords"))
    source = f"""
import atexit
atexit.register(lambda: log("two"))
{PRELUDE}
log("one")
"""
    with running(
        fake, source, KINESINK_BACKEND=anyio_backend, KINESINK_SHUTDOWN_TIMEOUT="1"
    ) as program:
        ran = program.end()
    assert ran.status == 0
    told = [line.partition(" not delivered")[0] for line in not_delivered(ran.err)]
    # Each line tells what is new, so that they add up.
    assert told == ["kinesink: 1 event (3 bytes)"] * 2, ran.err


def test_a_producer_that_cannot_begin_is_told_with_what_it_has_cost() -> None:
    """An event that no thread could send is not forgotten at the exit."""
    ran = run_script(
        f"""
import sys
sys.modules["httpcore"] = None
{PRELUDE}
log("one")
""",
        KINESINK_SHUTDOWN_TIMEOUT="1",
    )
    assert ran.status == 0
    assert "the producer ended by ModuleNotFoundError" in ran.err
    assert len(not_delivered(ran.err)) == 1
    assert "kinesink: 1 event (3 bytes) not delivered to 'app'" in ran.err

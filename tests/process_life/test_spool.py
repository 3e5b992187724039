"""What the spool keeps when processes die: real ones, against a fake on a loopback port."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Final

import pytest

from kinesink.testing import Reset
from tests.process_life.programs import PRELUDE, running
from tests.shell.support import landed, make_fake

if TYPE_CHECKING:
    from pathlib import Path

    from kinesink.testing import FakeKinesis

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="signals and forks of POSIX")

NUMBERS: Final = (
    PRELUDE
    + """
number = 0
while True:
    log(f"{number:06d}")
    say(number)
    number += 1
    time.sleep(0.0005)
"""
)
"""Says each number when the log call with it has returned."""

#: What is sent and not yet removed from disk when a process is killed: half a second's worth, and
#: what one removal takes.
_MOST_TWICE: Final = 3000


def variables(path: Path, backend: str, mode: str = "always", **more: str) -> dict[str, str]:
    """Return the configuration of a program with a spool."""
    return {
        "KINESINK_BACKEND": backend,
        "KINESINK_SPOOL_PATH": str(path / "spool"),
        "KINESINK_SPOOL_MODE": mode,
        **more,
    }


def deliver_all(fake: FakeKinesis, path: Path, backend: str, number: int) -> list[bytes]:
    """Run another process until so many events have arrived; return what has."""
    source = PRELUDE + "log('next')\nidle()"
    with running(fake, source, **variables(path, backend)) as program:
        program.wait_until(lambda: len(set(landed(fake)) - {b"next"}) >= number)
    return [data for data in landed(fake) if data != b"next"]


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_every_event_whose_call_has_returned_survives_the_process(
    tmp_path: Path, anyio_backend: str, ending: signal.Signals
) -> None:
    """In the mode `always` a process killed at any moment has lost no event it has logged."""
    fake = make_fake()
    with running(fake, NUMBERS, **variables(tmp_path, anyio_backend)) as program:
        program.wait_until(lambda: len(landed(fake)) > 200)
        program.send(ending)
        said = program.end().out.split()
    last = int(said[-1])
    arrived = deliver_all(fake, tmp_path, anyio_backend, last + 1)
    logged = {b"%06d" % number for number in range(last + 1)}
    assert logged <= set(arrived)
    # One call more may have been under way.
    assert len(set(arrived)) <= last + 2
    assert len(arrived) - len(set(arrived)) <= _MOST_TWICE


def test_an_end_without_hooks_loses_nothing_in_the_mode_always(
    tmp_path: Path, anyio_backend: str
) -> None:
    """After `os._exit` the next process delivers what was logged."""
    fake = make_fake()
    fake.faults.append(Reset(operation="PutRecords"))
    source = PRELUDE + "for n in range(100): log(f'{n:06d}')\nos._exit(3)"
    with running(fake, source, **variables(tmp_path, anyio_backend)) as program:
        assert program.end().status == 3
    fake.faults.clear()
    arrived = deliver_all(fake, tmp_path, anyio_backend, 100)
    assert arrived == [b"%06d" % number for number in range(100)]


@pytest.mark.parametrize("mode", ["overflow", "always"])
def test_an_exit_that_cannot_deliver_says_what_is_kept(
    tmp_path: Path, anyio_backend: str, mode: str
) -> None:
    """With the endpoint down one line says what is kept and where; the next run sends it."""
    fake = make_fake()
    fake.faults.append(Reset(operation="PutRecords"))
    source = PRELUDE + "for n in range(100): log(f'{n:06d}')"
    settings = variables(tmp_path, anyio_backend, mode, KINESINK_SHUTDOWN_TIMEOUT="1")
    with running(fake, source, **settings) as program:
        ran = program.end()
    assert ran.status == 0
    (line,) = [line for line in ran.err.splitlines() if "kept in" in line]
    assert "100" in line
    assert str(tmp_path / "spool") in line
    fake.faults.clear()
    arrived = deliver_all(fake, tmp_path, anyio_backend, 100)
    assert arrived == [b"%06d" % number for number in range(100)]


def test_a_fork_leaves_each_process_its_own_events(tmp_path: Path, anyio_backend: str) -> None:
    """Parent and child go on with a file each, and every event arrives once."""
    fake = make_fake()
    source = (
        PRELUDE
        + """
for n in range(50): log(f"before {n}")
pid = os.fork()
who = "parent" if pid else "child"
for n in range(50): log(f"{who} {n}")
sink.flush()
account = sink.statistics()
assert account.accepted == account.delivered + account.lost + account.pending
if pid:
    assert os.waitpid(pid, 0)[1] == 0
"""
    )
    with running(fake, source, **variables(tmp_path, anyio_backend)) as program:
        ran = program.end()
    # Python 3.12 warns of every fork of a process with threads.
    assert (ran.status, "kinesink:" in ran.err) == (0, False)
    assert landed(fake) == sorted(
        f"{who} {n}".encode() for who in ("before", "parent", "child") for n in range(50)
    )
    assert [name for _, _, names in os.walk(tmp_path) for name in names] == []


def test_what_a_killed_child_has_left_another_process_sends(
    tmp_path: Path, anyio_backend: str
) -> None:
    """A file whose owner is alive is left alone; once the owner is dead it is sent, once."""
    fake = make_fake()
    fake.faults.append(Reset(operation="PutRecords"))
    source = PRELUDE + "for n in range(100): log(f'{n:06d}')\nsay('logged')\nidle()"
    with running(fake, source, **variables(tmp_path, anyio_backend)) as owner:
        owner.wait_line("logged")
        with running(fake, PRELUDE + "log('next')\nsay('begun')\nidle()",
                     **variables(tmp_path, anyio_backend)) as other:  # fmt: skip
            other.wait_line("begun")
            databases = list((tmp_path / "spool").glob("*/*.db"))
            assert len(databases) == 2
    fake.faults.clear()
    arrived = deliver_all(fake, tmp_path, anyio_backend, 100)
    assert arrived == [b"%06d" % number for number in range(100)]

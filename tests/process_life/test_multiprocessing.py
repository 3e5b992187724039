"""Children of multiprocessing: they end without Python's exit, and deliver all the same."""

from __future__ import annotations

import multiprocessing
from multiprocessing import util
from typing import TYPE_CHECKING

import pytest

from kinesink.shell import children
from tests.process_life.programs import run_file
from tests.shell.support import landed, make_fake

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

METHODS = multiprocessing.get_all_start_methods()
LINGER = "60"
"""Seconds that nothing leaves by itself in."""

PRELUDE = """
import logging, multiprocessing, os, signal, sys, threading, time, warnings
from concurrent.futures import ProcessPoolExecutor
import kinesink
# What Python 3.12 says of any fork beside a thread.
warnings.simplefilter("ignore", DeprecationWarning)
def make_handler():
    handler = kinesink.KinesisHandler("app")
    handler.setFormatter(logging.Formatter("%(message)s"))
    return handler
logger = logging.getLogger("shop")
logger.setLevel("INFO")
logger.addHandler(make_handler())
def work(name):
    logger.info(name)
    return name
"""

KINDS = {
    "Process": """
    children = [context.Process(target=work, args=(name,)) for name in NAMES]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * len(NAMES)
""",
    "Pool": """
    pool = context.Pool(2, maxtasksperchild=1)
    assert pool.map(work, NAMES, chunksize=1) == NAMES
    pool.close()
    pool.join()
""",
    "ProcessPoolExecutor": """
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        assert list(pool.map(work, NAMES)) == NAMES
""",
}


def lines(*names: str) -> list[bytes]:
    """Return the events of these names, as a consumer sees them, sorted."""
    return sorted(f"{name}\n".encode() for name in names)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_children_deliver_at_their_end(
    method: str, kind: str, tmp_path: Path, anyio_backend: str
) -> None:
    """However they were started, by whatever: each event once, and the parent's as well."""
    fake = make_fake()
    source = f"""{PRELUDE}
NAMES = ["one", "two"]
if __name__ == "__main__":
    logger.info("before")
    context = multiprocessing.get_context("{method}")
{KINDS[kind]}
    logger.info("after")
"""
    ran = run_file(
        fake,
        tmp_path / "program.py",
        source,
        KINESINK_BACKEND=anyio_backend,
        KINESINK_LINGER=LINGER,
    )
    assert (ran.status, ran.err) == (0, "")
    assert landed(fake) == lines("before", "one", "two", "after")


@pytest.mark.parametrize("method", METHODS)
def test_however_a_child_ends(method: str, tmp_path: Path, anyio_backend: str) -> None:
    """Also what a thread logs that the child waits for after its own work."""
    fake = make_fake()
    source = f"""{PRELUDE}
def late():
    # The end of the child's work cannot be waited for: its main thread lives on.
    time.sleep(0.2)
    logger.info("late")
def exits():
    logger.info("exits")
    sys.exit(3)
def fails():
    logger.info("fails")
    raise KeyError("mine")
def leaves_a_thread():
    threading.Thread(target=late).start()
if __name__ == "__main__":
    context = multiprocessing.get_context("{method}")
    children = [context.Process(target=work) for work in (exits, fails, leaves_a_thread)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [3, 1, 0]
"""
    ran = run_file(
        fake,
        tmp_path / "program.py",
        source,
        KINESINK_BACKEND=anyio_backend,
        KINESINK_LINGER=LINGER,
    )
    assert ran.status == 0, ran.err
    assert "kinesink:" not in ran.err
    assert landed(fake) == lines("exits", "fails", "late")


@pytest.mark.parametrize("method", METHODS)
def test_a_child_of_a_child(method: str, tmp_path: Path, anyio_backend: str) -> None:
    """And one that a child forks by itself: each delivers its own."""
    fake = make_fake()
    source = f"""{PRELUDE}
def work(depth):
    logger.info(f"child {{depth}}")
    if depth:
        grandchild = multiprocessing.get_context("{method}").Process(target=work, args=(depth - 1,))
        grandchild.start()
        grandchild.join()
        assert grandchild.exitcode == 0
    elif hasattr(os, "fork"):
        if os.fork():
            os.wait()
        else:
            logger.info("forked")
if __name__ == "__main__":
    child = multiprocessing.get_context("{method}").Process(target=work, args=(1,))
    child.start()
    child.join()
    assert child.exitcode == 0
"""
    ran = run_file(
        fake,
        tmp_path / "program.py",
        source,
        KINESINK_BACKEND=anyio_backend,
        KINESINK_LINGER=LINGER,
    )
    assert (ran.status, ran.err) == (0, "")
    assert landed(fake) == lines("child 1", "child 0", "forked")


@pytest.mark.skipif("fork" not in METHODS, reason="this system has no fork")
def test_an_event_before_the_child_begins(tmp_path: Path, anyio_backend: str) -> None:
    """As a hook logs that runs at the fork: before multiprocessing forgets the parent's ends."""
    fake = make_fake()
    source = f"""{PRELUDE}
os.register_at_fork(after_in_child=lambda: logger.info("forked"))
if __name__ == "__main__":
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(0,))
    child.start()
    child.join()
    assert child.exitcode == 0
"""
    ran = run_file(
        fake,
        tmp_path / "program.py",
        source,
        KINESINK_BACKEND=anyio_backend,
        KINESINK_LINGER=LINGER,
    )
    assert (ran.status, ran.err) == (0, "")
    assert landed(fake) == lines("forked")


@pytest.mark.parametrize("method", METHODS)
def test_a_handler_that_is_handed_to_a_child(
    method: str, tmp_path: Path, anyio_backend: str
) -> None:
    """It is made anew where it was pickled for the way."""
    fake = make_fake()
    source = f"""{PRELUDE}
def use(handler):
    given = logging.getLogger("given")
    given.setLevel("INFO")
    given.addHandler(handler)
    given.info("child")
if __name__ == "__main__":
    handler = make_handler()
    child = multiprocessing.get_context("{method}").Process(target=use, args=(handler,))
    child.start()
    child.join()
    assert child.exitcode == 0
    use(handler)
"""
    ran = run_file(
        fake,
        tmp_path / "program.py",
        source,
        KINESINK_BACKEND=anyio_backend,
        KINESINK_LINGER=LINGER,
    )
    assert (ran.status, ran.err) == (0, "")
    # What else a handler knows travels with its pickle, the formatter among it.
    assert len(landed(fake)) == 2


@pytest.mark.parametrize("method", METHODS)
def test_a_child_that_is_terminated(method: str, tmp_path: Path, anyio_backend: str) -> None:
    """Only with our handlers of signals; a forked one inherits its parent's."""
    fake = make_fake()
    source = f"""{PRELUDE}
kinesink.install_signal_handlers()
def work(ready):
    logger.info("one")
    ready.set()
    while True:
        time.sleep(0.05)
if __name__ == "__main__":
    context = multiprocessing.get_context("{method}")
    ready = context.Event()
    child = context.Process(target=work, args=(ready,))
    child.start()
    assert ready.wait(40)
    child.terminate()
    child.join()
    assert child.exitcode == -signal.SIGTERM, child.exitcode
"""
    ran = run_file(
        fake,
        tmp_path / "program.py",
        source,
        KINESINK_BACKEND=anyio_backend,
        KINESINK_LINGER=LINGER,
    )
    assert (ran.status, ran.err) == (0, "")
    assert landed(fake) == lines("one")


def test_nothing_imports_multiprocessing(tmp_path: Path) -> None:
    """A process without such children pays nothing for them."""
    fake = make_fake()
    source = """
import sys
before = set(sys.modules)
import kinesink
sink = kinesink.Sink(kinesink.Config.from_environment(stream_name="app"))
sink.emit(b"one")
assert not any(name.startswith("multiprocessing") for name in set(sys.modules) - before)
"""
    ran = run_file(fake, tmp_path / "program.py", source)
    assert (ran.status, ran.err) == (0, "")
    assert landed(fake) == [b"one"]


def test_looking_again_changes_nothing() -> None:
    """Each producer that begins looks; a process follows its children once."""
    children.watch()
    followed = len(util._afterfork_registry)  # type: ignore[attr-defined]  # private
    children.watch()
    assert len(util._afterfork_registry) == followed  # type: ignore[attr-defined]  # private
    assert followed

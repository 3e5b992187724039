"""Forks at any moment: every event once, by the process that has logged it."""

from __future__ import annotations

import json
import os
import socket
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.shell.scripts import run_against, run_script
from tests.shell.support import make_fake

if TYPE_CHECKING:
    from kinesink.testing import FakeKinesis
    from tests.shell.scripts import Ran

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]

PRELUDE = """
import logging, os, sys, threading, time, warnings
import kinesink
warnings.simplefilter("ignore", DeprecationWarning)
handler = kinesink.KinesisHandler("app")
logging.basicConfig(level="INFO", handlers=[handler])
logger = logging.getLogger("shop")
def log(name, count=100):
    for number in range(count):
        logger.info("%s %d", name, number, extra={"by": os.getpid()})
def accounts_for(count):
    account = handler.statistics()
    return account.accepted == account.delivered == count
def leave():
    os._exit(0 if handler.flush() else 1)
def reap(children):
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
"""


def run(fake: FakeKinesis, source: str, **variables: str) -> Ran:
    """Run a program that has time enough to deliver."""
    return run_against(fake, PRELUDE + source, KINESINK_SHUTDOWN_TIMEOUT="20", **variables)


def messages(fake: FakeKinesis) -> Counter[str]:
    """Return how many events each name has, each event once and of one process."""
    events = [json.loads(record.data) for record in fake.user_records("app")]
    assert all(event["pid"] == event["attributes"]["by"] for event in events)
    assert len({(event["pid"], event["message"]) for event in events}) == len(events)
    return Counter(event["message"].partition(" ")[0] for event in events)


MOMENTS = {
    "before the first event": "pass",
    "right after it": "log('before')",
    "with events pending": "log('before'); assert handler.flush(); log('pending')",
    "when all is delivered": "log('before'); assert handler.flush()",
    "after close": "log('before'); handler.close()",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_parent_and_child_go_on(moment: str, anyio_backend: str) -> None:
    """The child begins anew and what was pending is the parent's."""
    fake = make_fake()
    ran = run(
        fake,
        f"""
{MOMENTS[moment]}
child = os.fork()
if child == 0:
    log("child")
    assert handler.flush() and accounts_for(100)
    leave()
log("parent")
reap([child])
""",
        KINESINK_BACKEND=anyio_backend,
    )
    assert (ran.status, ran.err) == (0, "")
    expected = {"child": 100, "parent": 100}
    for name in ("before", "pending"):
        if f"'{name}'" in MOMENTS[moment]:
            expected[name] = 100
    assert messages(fake) == expected


def test_generations(anyio_backend: str) -> None:
    """A child of a child begins as anew as a child does."""
    fake = make_fake()
    ran = run(
        fake,
        """
log("g0")
for generation in (1, 2, 3):
    child = os.fork()
    if child:
        log(f"p{generation}")
        reap([child])
        if generation > 1:
            leave()
        break
    log(f"g{generation}")
else:
    leave()
""",
        KINESINK_BACKEND=anyio_backend,
    )
    assert (ran.status, ran.err) == (0, "")
    assert messages(fake) == dict.fromkeys(["g0", "g1", "g2", "g3", "p1", "p2", "p3"], 100)


def test_forks_while_threads_log(anyio_backend: str) -> None:
    """Eight threads log on while the main thread forks five times."""
    fake = make_fake()
    ran = run(
        fake,
        """
forked = threading.Event()
counts = [0] * 8
def traffic(index):
    while not forked.is_set():
        logger.info("t%d %d", index, counts[index], extra={"by": os.getpid()})
        counts[index] += 1
        time.sleep(0.001)
threads = [threading.Thread(target=traffic, args=(index,)) for index in range(8)]
for thread in threads:
    thread.start()
children = []
for number in range(5):
    child = os.fork()
    if child == 0:
        log(f"child{number}")
        leave()
    children.append(child)
    log(f"parent{number}", 10)
forked.set()
for thread in threads:
    thread.join()
reap(children)
assert handler.flush()
assert accounts_for(sum(counts) + 50)
print(*counts)
""",
        KINESINK_BACKEND=anyio_backend,
    )
    assert (ran.status, ran.err) == (0, "")
    counts = {f"t{index}": int(count) for index, count in enumerate(ran.out.split())}
    assert messages(fake) == (
        counts
        | {f"child{number}": 100 for number in range(5)}
        | {f"parent{number}": 10 for number in range(5)}
    )


def test_no_connection_of_the_parent_is_used_or_closed(anyio_backend: str) -> None:
    """A child opens its own; the parent's serves on when the child has ended."""
    fake = make_fake()
    ran = run(
        fake,
        """
def sockets():
    links = [os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
    return {os.readlink(link) for link in links if os.path.exists(link)
            and os.readlink(link).startswith("socket:")}
class Connects:
    "Counts connections from here on, by the interpreter's own audit."
    count = 0
    def __call__(self, event, args):
        if event == "socket.connect":
            self.count += 1
connects = Connects()
sys.addaudithook(connects)
log("before")
assert handler.flush()
inherited = sockets()
opened = connects.count
assert opened
child = os.fork()
if child == 0:
    log("child")
    assert handler.flush()
    # Its own, and those of the parent are still open beside it.
    assert connects.count > opened
    assert inherited <= sockets()
    # By way of the exit, where finalizers run.
    sys.exit()
reap([child])
connects.count = 0
log("parent")
assert handler.flush()
assert connects.count == 0
""",
        KINESINK_BACKEND=anyio_backend,
    )
    assert (ran.status, ran.err) == (0, "")
    assert messages(fake) == {"before": 100, "child": 100, "parent": 100}


def test_a_hanging_endpoint_holds_no_fork_up(anyio_backend: str) -> None:
    """Neither a fork nor a child waits for what hangs in the parent."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(128)
        ran = run_script(
            f"""{PRELUDE}
log("before")
assert not handler.flush(0.5)
began = time.monotonic()
child = os.fork()
if child == 0:
    assert handler.statistics().accepted == 0
    log("child", 3)
    assert not handler.flush(0.1)
    assert handler.statistics().pending == 3
    os._exit(0)
assert time.monotonic() - began < 5
reap([child])
assert handler.statistics().pending == 100
""",
            KINESINK_ENDPOINT_URL=f"http://127.0.0.1:{silent.getsockname()[1]}",
            KINESINK_BACKEND=anyio_backend,
            KINESINK_SHUTDOWN_TIMEOUT="1",
        )
    assert ran.status == 0, ran.err
    assert "100 events" in ran.err


def test_hooks_of_others_may_log(anyio_backend: str) -> None:
    """Before a fork and after it, registered before our own hooks and after them."""
    fake = make_fake()
    ran = run_against(
        fake,
        f"""
import os
def hook(name):
    return lambda: log(name + str(os.getpid() == first), 5)
first = os.getpid()
hooks = ("before", "after_in_parent", "after_in_child")
os.register_at_fork(**{{name: hook("early_" + name) for name in hooks}})
{PRELUDE}
log("main")
os.register_at_fork(**{{name: hook("late_" + name) for name in hooks}})
child = os.fork()
if child == 0:
    leave()
reap([child])
""",
        KINESINK_BACKEND=anyio_backend,
        KINESINK_SHUTDOWN_TIMEOUT="20",
    )
    assert (ran.status, ran.err) == (0, "")
    # What is logged before our own hook is the parent's, by then half a child's: it is lost
    # in the copy and sent by nobody twice.
    counts = messages(fake)
    early = counts.pop("early_after_in_childFalse", 0)
    assert early in {0, 5}
    assert counts == {
        "main": 100,
        "early_beforeTrue": 5,
        "late_beforeTrue": 5,
        "early_after_in_parentTrue": 5,
        "late_after_in_parentTrue": 5,
        "late_after_in_childFalse": 5,
    }


def test_a_fork_while_a_lock_of_logging_is_held(anyio_backend: str) -> None:
    """A thread that holds a handler's lock, or reconfigures logging, stops no child."""
    fake = make_fake()
    ran = run(
        fake,
        """
log("before")
held, release = threading.Event(), threading.Event()
def hold():
    with handler.lock:
        held.set()
        assert release.wait(20)
holder = threading.Thread(target=hold)
holder.start()
assert held.wait(20)
child = os.fork()
if child == 0:
    log("child")
    handler.acquire()
    leave()
log("parent")
release.set()
holder.join()
reap([child])
""",
        KINESINK_BACKEND=anyio_backend,
    )
    assert (ran.status, ran.err) == (0, "")
    assert messages(fake) == {"before": 100, "child": 100, "parent": 100}


def test_a_silent_master_has_no_thread(anyio_backend: str) -> None:
    """So that a fork is no matter for Python's warning about threads, even as an error."""
    fake = make_fake()
    ran = run_against(
        fake,
        f"""
{PRELUDE}
warnings.simplefilter("error")
handler.flush(0)
sink = kinesink.Sink(kinesink.Config.from_environment(stream_name="app"))
children = []
for number in range(2):
    child = os.fork()
    if child == 0:
        log(f"child{{number}}")
        leave()
    children.append(child)
assert threading.active_count() == 1
reap(children)
""",
        KINESINK_BACKEND=anyio_backend,
        KINESINK_SHUTDOWN_TIMEOUT="20",
    )
    assert (ran.status, ran.err) == (0, "")
    assert messages(fake) == {"child0": 100, "child1": 100}

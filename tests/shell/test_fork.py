"""S7: parent and child go on after a fork, each with its own events."""

from __future__ import annotations

import os

import pytest

from tests.shell.scripts import run_against
from tests.shell.support import landed, make_fake

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]

PRELUDE = """
import os, sys, threading, warnings
import kinesink
warnings.simplefilter("ignore", DeprecationWarning)
sink = kinesink.Sink(kinesink.Config.from_environment(stream_name="app"))
def emit(name, count=100):
    for number in range(count):
        sink.emit(f"{name} {number}".encode())
"""


def events(*names: str) -> list[bytes]:
    """Return what each name has emitted."""
    return sorted(f"{name} {number}".encode() for name in names for number in range(100))


def test_s7_pending_events_are_sent_once_and_by_the_parent(anyio_backend: str) -> None:
    """The child starts afresh, with an account of its own."""
    fake = make_fake()
    ran = run_against(
        fake,
        f"""{PRELUDE}
emit("before")
if os.fork():
    emit("parent")
    assert sink.statistics().accepted == 200
    os.wait()
else:
    assert sink.statistics().accepted == 0
    emit("child")
    assert sink.statistics().accepted == 100
""",
        KINESINK_BACKEND=anyio_backend,
        KINESINK_SHUTDOWN_TIMEOUT="20",
    )
    assert (ran.status, ran.err) == (0, "")
    assert landed(fake) == events("before", "parent", "child")


def test_s7_any_thread_may_fork(anyio_backend: str) -> None:
    """Also while others emit, and with a producer that has connections open."""
    fake = make_fake()
    ran = run_against(
        fake,
        f"""{PRELUDE}
emit("warm")
sink.flush()
emit("before")
def fork(name):
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0
    else:
        emit(name)
        os._exit(0 if sink.close() else 1)
threads = [threading.Thread(target=fork, args=(name,)) for name in ("one", "two", "three")]
for thread in threads:
    thread.start()
emit("parent")
for thread in threads:
    thread.join()
""",
        KINESINK_BACKEND=anyio_backend,
        KINESINK_SHUTDOWN_TIMEOUT="20",
    )
    assert (ran.status, ran.err) == (0, "")
    assert landed(fake) == events("warm", "before", "parent", "one", "two", "three")


def test_s7_handlers_of_one_configuration_share_a_sink_in_the_child_too() -> None:
    """The child takes over who holds what, with a lock of its own."""
    fake = make_fake()
    ran = run_against(
        fake,
        f"""{PRELUDE}
from kinesink.shell import registry as sinks
config = kinesink.Config.from_environment(stream_name="app")
class Holder: pass
holder = Holder()
held = sinks.acquire(config, holder)
with sinks._registry._lock:
    child = os.fork()
if child:
    assert os.waitpid(child, 0)[1] == 0
else:
    assert sinks.acquire(config, Holder()) is held
    os._exit(0)
""",
    )
    assert (ran.status, ran.err) == (0, "")

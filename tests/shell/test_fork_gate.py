"""A fork does not cut off what a producer begins with: imports, and what OpenSSL locks."""

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
import importlib.abc, importlib.machinery, os, sys, threading, time, warnings
import kinesink
from kinesink.shell.fork_gate import fork_gate
warnings.simplefilter("ignore", DeprecationWarning)
sink = kinesink.Sink(kinesink.Config.from_environment(stream_name="app"))
def emit(name):
    for number in range(100):
        sink.emit(f"{name} {number}".encode())
def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)

class InTheMiddle(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    "Calls something while a thread of kinesink's imports a package."
    def __init__(self, call):
        self.call = call
    def find_spec(self, name, path, target=None):
        # The call is in the loader, because a fork waits for finders anyway.
        if not name.startswith("httpcore.") or threading.current_thread().name != "kinesink app":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        self.loader, spec.loader = spec.loader, self
        return spec
    def create_module(self, spec):
        return self.loader.create_module(spec)
    def exec_module(self, module):
        self.call()
        self.loader.exec_module(module)
"""


def events(*names: str) -> list[bytes]:
    """Return what each name has emitted."""
    return sorted(f"{name} {number}".encode() for name in names for number in range(100))


def test_a_child_forked_amid_imports_delivers(anyio_backend: str) -> None:
    """The fork waits until the thread has imported everything, so the child can import it too."""
    fake = make_fake()
    ran = run_against(
        fake,
        f"""{PRELUDE}
main = threading.main_thread()
amid, forking = threading.Event(), threading.Event()
def waits():
    frame = sys._current_frames()[main.ident]
    return frame.f_code.co_name == "before_fork"
def amid_imports():
    amid.set()
    assert forking.wait(20)
    wait_until(waits)
sys.meta_path.insert(0, InTheMiddle(amid_imports))
# The hook that was registered last runs first.
os.register_at_fork(before=forking.set)
emit("before")
assert amid.wait(20)
child = os.fork()
if child:
    emit("parent")
    assert os.waitpid(child, 0)[1] == 0
else:
    import httpcore, ssl
    emit("child")
    os._exit(0 if sink.flush() else 1)
""",
        KINESINK_BACKEND=anyio_backend,
        KINESINK_SHUTDOWN_TIMEOUT="20",
    )
    assert (ran.status, ran.err) == (0, "")
    assert landed(fake) == events("before", "parent", "child")


def test_imports_that_hang_hold_up_one_fork_for_a_while_and_no_other() -> None:
    """What they wait for may be held by the thread that forks; the parent loses nothing."""
    fake = make_fake()
    ran = run_against(
        fake,
        f"""{PRELUDE}
amid, go_on = threading.Event(), threading.Event()
def hang():
    amid.set()
    assert go_on.wait(20)
sys.meta_path.insert(0, InTheMiddle(hang))
fork_gate._patience = 0.1
emit("before")
assert amid.wait(20)
def fork():
    began = time.monotonic()
    child = os.fork()
    if not child:
        # The child's own forks wait for nobody of the parent.
        os._exit(0 if fork_gate.lock.acquire(blocking=False) else 1)
    assert os.waitpid(child, 0)[1] == 0
    return time.monotonic() - began
assert fork() >= 0.1
assert fork_gate._patience == 0.0
assert fork() < 10
go_on.set()
emit("parent")
""",
        KINESINK_SHUTDOWN_TIMEOUT="20",
    )
    assert (ran.status, ran.err) == (0, "")
    assert landed(fake) == events("before", "parent")


def test_the_thread_that_imports_may_fork_itself() -> None:
    """A module that forks when it is imported waits for nobody."""
    fake = make_fake()
    ran = run_against(
        fake,
        f"""{PRELUDE}
def fork():
    began = time.monotonic()
    child = os.fork()
    if not child:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    took.append(time.monotonic() - began)
took = []
fork_gate._patience = 30.0
sys.meta_path.insert(0, InTheMiddle(fork))
emit("before")
assert sink.flush()
assert took[0] < 20
# Nor does anybody wait for it afterwards.
assert fork_gate.lock.acquire(blocking=False)
""",
        KINESINK_SHUTDOWN_TIMEOUT="20",
    )
    assert (ran.status, ran.err) == (0, "")
    assert landed(fake) == events("before")


def test_threads_that_fork_at_the_same_time_wait_for_each_other_only(anyio_backend: str) -> None:
    """Also while the producer begins."""
    fake = make_fake()
    ran = run_against(
        fake,
        f"""{PRELUDE}
def fork(name):
    child = os.fork()
    if not child:
        emit(name)
        os._exit(0 if sink.flush() else 1)
    statuses.append(os.waitpid(child, 0)[1])
statuses = []
emit("before")
threads = [threading.Thread(target=fork, args=(name,)) for name in ("one", "two", "three")]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert statuses == [0, 0, 0]
""",
        KINESINK_BACKEND=anyio_backend,
        KINESINK_SHUTDOWN_TIMEOUT="20",
    )
    assert (ran.status, ran.err) == (0, "")
    assert landed(fake) == events("before", "one", "two", "three")


def test_openssl_is_set_up_while_no_process_can_fork(anyio_backend: str) -> None:
    """A child whose parent was making a TLS context could never make one itself."""
    fake = make_fake()
    ran = run_against(
        fake,
        f"""{PRELUDE}
import ssl
make = ssl.SSLContext.__new__
guarded = []
def recorded(*args, **kwargs):
    guarded.append(fork_gate.lock._is_owned())
    return make(*args, **kwargs)
ssl.SSLContext.__new__ = recorded
emit("before")
assert sink.flush()
assert guarded and all(guarded), guarded
""",
        KINESINK_BACKEND=anyio_backend,
        KINESINK_SHUTDOWN_TIMEOUT="20",
    )
    assert (ran.status, ran.err) == (0, "")
    assert landed(fake) == events("before")

"""What the background thread imports while the application imports the same."""

from __future__ import annotations

import pytest

from tests.shell.scripts import run_against
from tests.shell.support import landed, make_fake

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("package", ["anyio", "httpcore", "httpx"])
def test_an_import_under_way_fails_for_nobody(package: str, anyio_backend: str) -> None:
    """The thread waits for the application's import, and both have the whole package."""
    if package == "httpcore" and anyio_backend == "trio":
        # It imports trio, which is what the thread of a trio producer begins with.
        package = "trio"
    fake = make_fake()
    source = f"""
import importlib.abc, importlib.machinery, sys, threading, time
import kinesink

sink = kinesink.Sink(kinesink.Config.from_environment(stream_name="app"))

def waits(thread):
    frame = sys._current_frames().get(thread.ident)
    return frame and "importlib" in frame.f_code.co_filename and frame.f_code.co_name == "acquire"

class InTheMiddle(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if not name.startswith("{package}.") or threading.current_thread().name == "kinesink app":
            return None
        # The wait is in the loader, because finders are called under the interpreter's own lock.
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        self.loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        sink.emit(b"x")
        deadline = time.monotonic() + 20
        looks = 0
        while looks < 50 and time.monotonic() < deadline:
            threads = [each for each in threading.enumerate() if each.name == "kinesink app"]
            # More than once: it comes by here for a moment with each import.
            looks = looks + 1 if any(map(waits, threads)) else 0
            time.sleep(0.001)
        if looks < 50:
            print("the thread waits for nothing")
        self.loader.exec_module(module)

sys.meta_path.insert(0, InTheMiddle())
import {package}
assert not any(type(finder) is InTheMiddle for finder in sys.meta_path)
import httpcore
if "{anyio_backend}" == "trio":
    httpcore.TrioBackend()
"""
    ran = run_against(fake, source, KINESINK_BACKEND=anyio_backend, KINESINK_SHUTDOWN_TIMEOUT="20")
    assert (ran.status, ran.out, ran.err) == (0, "", "")
    assert landed(fake) == [b"x"]


def test_everything_is_imported_before_there_is_an_event_loop(anyio_backend: str) -> None:
    """What were imported later, in whatever thread, a fork could cut off."""
    fake = make_fake()
    source = f"""
import sys
import kinesink
from kinesink.shell import imports
sink = kinesink.Sink(kinesink.Config.from_environment(stream_name="app"))
imports.load("{anyio_backend}")
before = set(sys.modules)
sink.emit(b"x")
assert sink.flush()
late = {{name for name in set(sys.modules) - before if not name.startswith("coverage")}}
assert not late, late
"""
    ran = run_against(fake, source, KINESINK_BACKEND=anyio_backend, KINESINK_SHUTDOWN_TIMEOUT="20")
    assert (ran.status, ran.err) == (0, "")
    assert landed(fake) == [b"x"]

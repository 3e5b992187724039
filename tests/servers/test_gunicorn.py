"""gunicorn: every event once, whichever process has logged it and however that ends."""

from __future__ import annotations

import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.servers import applications
from tests.servers.support import Event, once, processes, requests, serving

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.servers.support import Server

pytestmark = pytest.mark.slow

KINDS = {
    "sync": ("--worker-class=sync",),
    "gthread": ("--worker-class=gthread", "--threads=3"),
    "gevent": ("--worker-class=gevent",),
}
SETTINGS = """
import threading

def pre_fork(server, worker):
    print("threads at fork:", [thread.name for thread in threading.enumerate()], flush=True)
"""


#: Where an application that is loaded before the fork logs, gevent has to patch before it.
PATCHED = f"from gevent import monkey; monkey.patch_all()\n{SETTINGS}"


def gunicorn(
    folder: Path, application: str, *options: str, settings: str = SETTINGS, **variables: str
) -> AbstractContextManager[Server]:
    """Run gunicorn on a socket in ``folder``."""
    command = ("gunicorn", f"--bind=unix:{folder}/s", "--config=settings.py", *options)
    files = {"shop.py": application, "settings.py": settings}
    return serving(folder, files, *command, "shop:application", **variables)


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("sync", signal.SIGTERM),
        ("sync", signal.SIGQUIT),
        ("gthread", signal.SIGTERM),
        ("gevent", signal.SIGTERM),
    ],
)
def test_workers_deliver_what_they_have_logged_when_they_are_told_to_end(
    kind: str, number: signal.Signals, tmp_path: Path
) -> None:
    """Gracefully or quickly, the exit hooks run."""
    with gunicorn(tmp_path, applications.WSGI, *KINDS[kind], "--workers=2") as server:
        server.wait_said("imported", times=2)
        expected = requests(server, 6)
        assert server.end(number) == 0
        server.assert_silent()
        events = server.landed()
    byes = once(events, "bye")
    assert len(byes) == 2
    assert events == expected + byes


@pytest.mark.parametrize("kind", KINDS)
def test_preloading_duplicates_nothing_that_the_master_has_logged(
    kind: str, tmp_path: Path
) -> None:
    """What is pending at the fork is the master's, whose own end delivers it."""
    options = (*KINDS[kind], "--workers=2", "--preload")
    settings = PATCHED if kind == "gevent" else SETTINGS
    with gunicorn(tmp_path, applications.WSGI_LOADED, *options, settings=settings) as server:
        server.wait_said("Booting worker", times=2)
        expected = requests(server, 6)
        assert server.end() == 0
        assert "'kinesink app'" in server.said
        server.assert_silent(but="threads at fork")
        events = server.landed()
    loaded, byes = once(events, "loaded"), once(events, "bye")
    assert loaded == Counter([Event("loaded", server.process_id)])
    assert len(byes) == 3
    assert events == expected + loaded + byes


@pytest.mark.parametrize("kind", ["sync", "gevent"])
def test_a_master_that_logs_nothing_has_no_thread_when_it_forks(kind: str, tmp_path: Path) -> None:
    """A handler that is made before the fork starts none, and gevent can still patch."""
    with gunicorn(tmp_path, applications.WSGI, *KINDS[kind], "--preload") as server:
        expected = requests(server, 3)
        assert server.end() == 0
        assert "threads at fork: [" in server.said
        # No thread of its name either.
        server.assert_silent()
        events = server.landed()
    byes = once(events, "bye")
    assert len(byes) == 2
    assert events == expected + byes


def test_a_worker_that_is_recycled_delivers_first(tmp_path: Path) -> None:
    """``max_requests`` ends a worker by its exit hooks."""
    with gunicorn(tmp_path, applications.WSGI, "--workers=1", "--max-requests=2") as server:
        expected = requests(server, 5)
        assert server.end() == 0
        server.assert_silent()
        events = server.landed()
    byes = once(events, "bye")
    assert len(processes(expected)) >= 2
    assert processes(byes) >= processes(expected)
    assert events == expected + byes


def test_a_reload_delivers_what_the_old_workers_have_logged(tmp_path: Path) -> None:
    """HUP starts new workers and ends the old ones gracefully."""
    with gunicorn(tmp_path, applications.WSGI, "--workers=1") as server:
        expected = requests(server, 2, "before")
        old = processes(expected)
        server.send(signal.SIGHUP)
        server.wait_until(lambda: processes(once(server.landed(), "bye")) == old, "the reload")
        expected += requests(server, 2, "after")
        assert server.end() == 0
        server.assert_silent()
        events = server.landed()
    byes = once(events, "bye")
    assert len(processes(expected)) == 2
    assert processes(byes) == processes(expected)
    assert events == expected + byes


def test_a_worker_that_hangs_delivers_what_it_has_logged_before(tmp_path: Path) -> None:
    """While it hangs; when the master has aborted it, it has a second left."""
    options = ("--workers=1", "--timeout=3")
    with gunicorn(tmp_path, applications.WSGI, *options, KINESINK_LINGER="0.05") as server:
        expected = requests(server, 2)
        with server.request("/hang"):
            server.wait_said("WORKER TIMEOUT")
            server.wait_said("Booting worker", times=2)
        assert server.end() == 0
        events = server.landed()
    assert events == expected + once(events, "bye")


def test_a_uvicorn_worker_delivers_by_its_lifespan(tmp_path: Path) -> None:
    """No exit hooks run in it when it is told to end gracefully."""
    options = ("--worker-class=uvicorn_worker.UvicornWorker", "--workers=2")
    with gunicorn(tmp_path, applications.ASGI_WITH_LIFESPAN, *options) as server:
        server.wait_said("started", times=2)
        expected = requests(server, 6)
        assert server.end() == 0
        server.assert_silent()
        events = server.landed()
    byes = once(events, "bye")
    assert len(byes) == 2
    assert events == expected + byes

"""uWSGI: every event once, although it forks behind the interpreter's back."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.servers import applications
from tests.servers.support import Event, once, processes, requests, serving

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tests.servers.support import Server

UWSGI = shutil.which("uwsgi", path=str(Path(sys.executable).parent))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(UWSGI is None, reason="uWSGI is not installed beside this Python"),
]

IDLE_LOOKS = 30
# Without it a worker can hang that is forked while any thread of the master runs Python.
FORK_HOOKS = "--py-call-uwsgi-fork-hooks"
DECORATORS = "import uwsgidecorators\n"
AFTER_FORK = """
@uwsgidecorators.postfork
def after_fork():
    logger.info("forked")
"""


def uwsgi(
    folder: Path, application: str, *options: str, **variables: str
) -> AbstractContextManager[Server]:
    """Run uWSGI on a socket in ``folder``, with a master and two workers."""
    assert UWSGI is not None
    command = (
        UWSGI, f"--http-socket={folder}/s", f"--stats={folder}/stats", f"--virtualenv={sys.prefix}",
        "--master", "--workers=2", "--need-app", "--module=shop", *options,
    )  # fmt: skip
    return serving(folder, {"shop.py": application}, *command, **variables)


def wait_idle(server: Server) -> None:
    """Wait until no worker serves a request: it would end without its exit hooks.

    And until it has been so for several looks: it says so a moment before it waits, and hangs
    if the signal comes in that moment.
    """
    looks = 0

    def is_idle() -> bool:
        nonlocal looks
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(server.folder / "stats"))
            told = json.loads(connection.makefile("rb").read())
        is_each_idle = all(worker["status"] == "idle" for worker in told["workers"])
        looks = looks + 1 if is_each_idle else 0
        return looks >= IDLE_LOOKS

    server.wait_until(is_idle, "that each worker is idle")


@pytest.mark.parametrize(
    ("options", "number"),
    [
        ((), signal.SIGINT),
        (("--enable-threads", "--threads=2", "--die-on-term"), signal.SIGTERM),
        (("--lazy-apps",), signal.SIGINT),
    ],
    ids=["plain", "threads", "lazy-apps"],
)
def test_workers_deliver_what_they_have_logged_when_uwsgi_ends(
    options: tuple[str, ...], number: signal.Signals, tmp_path: Path
) -> None:
    """Their exit hooks run, and each event carries the process that has logged it."""
    with uwsgi(tmp_path, applications.WSGI, *options) as server:
        server.wait_said("spawned uWSGI worker 2")
        # A worker that is told to end while it loads the application says that it has failed.
        server.wait_said("WSGI app 0 .* ready", times=2 if "--lazy-apps" in options else 1)
        expected = requests(server, 6)
        wait_idle(server)
        assert server.end(number) == 0
        server.assert_silent()
        events = server.landed()
    byes = once(events, "bye")
    assert len(byes) == 2
    assert processes(expected) <= processes(byes)
    assert events == expected + byes


def test_a_producer_that_runs_before_the_fork_stays_the_masters(tmp_path: Path) -> None:
    """The workers have their own, and the hook that the application had set runs too."""
    application = f"{DECORATORS}{applications.WSGI_LOADED}{AFTER_FORK}"
    # The master has no exit hooks: it delivers while it runs.
    with uwsgi(tmp_path, application, FORK_HOOKS, KINESINK_LINGER="1") as server:
        server.wait_said("spawned uWSGI worker 2")
        expected = requests(server, 6)
        loaded = Counter([Event("loaded", server.process_id)])
        server.wait_until(lambda: once(server.landed(), "loaded") == loaded, "the master's event")
        wait_idle(server)
        assert server.end(signal.SIGINT) == 0
        server.assert_silent()
        events = server.landed()
    byes, forked = once(events, "bye"), once(events, "forked")
    assert len(byes) == 2
    assert processes(forked) == processes(byes)
    assert events == expected + loaded + forked + byes


def test_a_worker_that_is_recycled_delivers_first(tmp_path: Path) -> None:
    """``max-requests`` ends a worker by its exit hooks."""
    options = ("--workers=1", "--max-requests=2", "--min-worker-lifetime=0")
    with uwsgi(tmp_path, applications.WSGI, *options) as server:
        expected = requests(server, 5)
        wait_idle(server)
        assert server.end(signal.SIGINT) == 0
        server.assert_silent()
        events = server.landed()
    byes = once(events, "bye")
    assert len(processes(expected)) >= 2
    assert processes(expected) <= processes(byes)
    assert events == expected + byes


def test_a_reload_delivers_what_the_old_workers_have_logged(tmp_path: Path) -> None:
    """HUP ends them by their exit hooks, and the program begins anew in the same process."""
    with uwsgi(tmp_path, applications.WSGI, "--workers=1") as server:
        server.wait_said("spawned uWSGI worker 1")
        expected = requests(server, 2, "before")
        wait_idle(server)
        server.send(signal.SIGHUP)
        server.wait_said("spawned uWSGI worker 1", times=2)
        expected += requests(server, 2, "after")
        wait_idle(server)
        assert server.end(signal.SIGINT) == 0
        server.assert_silent()
        events = server.landed()
    byes = once(events, "bye")
    assert len(processes(expected)) == 2
    assert processes(byes) == processes(expected)
    assert events == expected + byes


def test_a_fork_amid_the_start_of_a_producer_hangs_no_worker(tmp_path: Path) -> None:
    """The master's thread imports nothing before the workers are there."""
    # Long enough for a thread to begin to import, and too short for it to be done.
    application = f"{applications.WSGI_LOADED}import time; time.sleep(0.2)\n"
    with uwsgi(tmp_path, application, FORK_HOOKS, KINESINK_LINGER="0.1") as server:
        server.wait_said("spawned uWSGI worker 2")
        expected = requests(server, 6)
        server.wait_until(lambda: once(server.landed(), "loaded"), "the master's event")
        wait_idle(server)
        assert server.end(signal.SIGINT) == 0
        server.assert_silent()
        events = server.landed()
    loaded, byes = once(events, "loaded"), once(events, "bye")
    assert loaded == Counter([Event("loaded", server.process_id)])
    assert len(byes) == 2
    assert events == expected + loaded + byes

"""Django's development server: every event once across the reloads of its code."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.servers.support import free_port, once, processes, requests, serving

if TYPE_CHECKING:
    from tests.servers.support import Server

pytestmark = pytest.mark.slow

SETTINGS = """
SECRET_KEY = "secret"
DEBUG = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "shop"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"kinesis": {"class": "kinesink.KinesisHandler", "stream_name": "app"}},
    "loggers": {"shop": {"handlers": ["kinesis"], "level": "INFO"}},
}
"""
SITE = """
import atexit, logging, os, threading
from django.http import HttpResponse
from django.urls import re_path

logger = logging.getLogger("shop")
atexit.register(logger.info, "bye")

def threads(request):
    return HttpResponse(sum(each.name == "kinesink app" for each in threading.enumerate()))

def order(request):
    logger.info(request.path)
    return HttpResponse(os.getpid())

urlpatterns = [re_path("^threads$", threads), re_path("", order)]
"""


def threads_of(process_id: int) -> int:
    """Return how many threads a process has."""
    return len(list(Path(f"/proc/{process_id}/task").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_a_reload_delivers_and_starts_one_thread_anew(tmp_path: Path) -> None:
    """The process that watches the code makes the handler as well, and starts none."""
    port = free_port()
    files = {"shop.py": SITE, "settings.py": SETTINGS}
    command = ("django", "runserver", f"127.0.0.1:{port}", "--settings=settings")
    with serving(tmp_path, files, *command) as server:
        server.port = port
        expected = requests(server, 2, "before")
        server.wait_until(lambda: server.get("/threads") == 1, "its thread")
        (before,) = processes(expected)
        assert threads_of(server.process_id) == 1
        server.wait_until(lambda: is_reloading(server, tmp_path / "shop.py", before), "reload")
        # It serves until it is gone.
        server.wait_until(lambda: not Path(f"/proc/{before}").exists(), "its end")
        expected += requests(server, 2, "after")
        server.wait_until(lambda: server.get("/threads") == 1, "its thread")
        assert threads_of(server.process_id) == 1
        (after,) = processes(expected) - {before}
        server.send(signal.SIGTERM, after)
        assert server.wait() == 0
        server.assert_silent()
        events = server.landed()
    byes = once(events, "bye")
    assert processes(byes) == {before, after}
    assert server.process_id not in processes(events)
    assert events == expected + byes


def is_reloading(server: Server, file: Path, process_id: int) -> bool:
    """Tell whether a process has ended its work; if not, make its code newer than it was.

    More than once, because a change before it has looked for the first time is none to it;
    and by more than any file system's clock tells apart.
    """
    if processes(once(server.landed(), "bye")) == {process_id}:
        return True
    later = file.stat().st_mtime + 10
    os.utime(file, (later, later))
    return False

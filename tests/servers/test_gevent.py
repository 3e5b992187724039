"""gevent: a patched process delivers from a greenlet."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.servers import applications
from tests.servers.support import Event, processes, serving

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

PATCH = "from gevent import monkey; monkey.patch_all()\n"
WORK = """
import gevent, kinesink, threading

def work(number):
    for turn in range(10):
        logger.info("%d %d", number, turn)
        gevent.sleep(0)

greenlets = [gevent.spawn(work, number) for number in range(5)]
gevent.joinall(greenlets, raise_error=True)
ticks = []

def tick():
    while True:
        ticks.append(1)
        gevent.sleep(0.001)

ticking = gevent.spawn(tick)
assert kinesink.flush()
assert ticks
ticking.kill()
account = logger.handlers[0].statistics()
assert (account.accepted, account.delivered, account.own) == (50, 50, 0), account
logger.info("last")
"""
PROGRAMS = {
    "patched first": f"{PATCH}{applications.LOGS}{WORK}",
    "patched after the import": f"{applications.LOGS}{PATCH}{WORK}",
}


@pytest.mark.parametrize(
    ("program", "backend"),
    [
        ("patched first", "asyncio"),
        ("patched first", "trio"),
        ("patched after the import", "asyncio"),
    ],
)
def test_a_patched_process_delivers(program: str, backend: str, tmp_path: Path) -> None:
    """On asyncio whatever is configured; others go on while one waits for a flush."""
    source = PROGRAMS[program]
    with serving(tmp_path, {"run.py": source}, "run", KINESINK_BACKEND=backend) as server:
        assert server.wait() == 0, server.said
        told = re.findall("^kinesink: (.*)$", server.said, re.MULTILINE)
        server.assert_silent(but="kinesink: stream 'app': trio does not work")
        events = server.landed()
    assert len(told) == (backend == "trio")
    texts = ["last", *(f"{number} {turn}" for number in range(5) for turn in range(10))]
    assert sorted(event.text for event in events.elements()) == sorted(texts)


FORK = """
import gevent, kinesink, os, sys

logger.info("before")
WAIT
if child := os.fork():
    logger.info("parent")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
else:
    logger.info("child")
    # Longer than a copy would wait before it sends.
    gevent.sleep(1)
sys.exit()
"""


@pytest.mark.parametrize(
    "wait", ["", "assert kinesink.flush(); logger.info('pending'); gevent.sleep(0.1)"],
    ids=["has not begun", "is at work"],
)  # fmt: skip
def test_the_copy_of_a_producer_in_a_forked_child_does_nothing(wait: str, tmp_path: Path) -> None:
    """A child of gevent's has a copy of each greenlet; what was pending is the parent's."""
    source = f"{PATCH}{applications.LOGS}{FORK.replace('WAIT', wait)}"
    with serving(tmp_path, {"run.py": source}, "run", KINESINK_LINGER="0.5") as server:
        assert server.wait() == 0, server.said
        server.assert_silent()
        events = server.landed()
    of_parent = ["before", "parent", *(["pending"] if wait else [])]
    (child,) = processes(events) - {server.process_id}
    assert events == Counter(
        [Event("child", child), *(Event(text, server.process_id) for text in of_parent)]
    )

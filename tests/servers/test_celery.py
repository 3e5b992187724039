"""celery: a child of the pool delivers although it ends without any exit hook."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.servers import applications
from tests.servers.support import Event, processes, serving

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.servers.support import Server

pytestmark = pytest.mark.slow


def celery(
    folder: Path, *options: str, application: str = applications.CELERY, **variables: str
) -> AbstractContextManager[Server]:
    """Run a worker of celery over a broker in ``folder``."""
    for name in ("broker", "control"):
        (folder / name).mkdir()
    command = ("celery", "--app=shop", "worker", "--loglevel=WARNING", "--without-gossip",
               "--without-mingle", "--without-heartbeat", *options)  # fmt: skip
    files = {"shop.py": application, "client.py": applications.CELERY_CLIENT}
    return serving(folder, files, *command, **variables)


def work(server: Server) -> Counter[Event]:
    """Have six tasks done, and return the events that they cause, once each."""
    server.run_beside("client")
    server.wait_said(r"done \d+ by \d+", times=6)
    done = re.findall(r"done (\d+) by (\d+)", server.said)
    return Counter(Event(f"/order-{number}", int(process)) for number, process in done)


@pytest.mark.parametrize(
    "options",
    [("--concurrency=2",), ("--concurrency=1", "--max-tasks-per-child=2")],
    ids=["told to end", "recycled"],
)
def test_children_of_the_pool_deliver_before_they_end(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    """Told by celery's own signal; what is pending at their fork is their parent's."""
    with celery(tmp_path, "--pool=prefork", *options) as server:
        expected = work(server)
        assert server.end() == 0
        server.assert_silent()
        events = server.landed()
    # No exit hook of a child has run.
    of_main = Counter([Event("loaded", server.process_id), Event("bye", server.process_id)])
    assert server.process_id not in processes(expected)
    assert len(processes(expected)) >= (3 if "--max-tasks-per-child=2" in options else 1)
    assert events == expected + of_main


#: Children say everything slowly, and tell what they have got through.
SLOW_WORDS = """
import os, time
import billiard.queues

def send_payload(queue, value):
    with queue._wlock:
        queue._writer.send_bytes(value)
        time.sleep(0.1)
    os.write(1, f"said by {os.getpid()}\\n".encode())

billiard.queues.SimpleQueue.send_payload = send_payload
"""


def test_a_child_gets_through_its_last_words(tmp_path: Path) -> None:
    """The signal by which its parent ends it comes to no thread of ours meanwhile.

    It is put off in the main thread only, and would come in the middle, with a lock taken that
    the next child waits for.
    """
    application = SLOW_WORDS + applications.CELERY
    options = ("--pool=prefork", "--concurrency=1", "--max-tasks-per-child=2")
    with celery(tmp_path, *options, application=application) as server:
        first, second, _ = Counter(event.process_id for event in work(server))
        said = Counter(re.findall(r"said by (\d+)", server.said))
    # That a task has come and that it is done, twice each; and the last.
    assert (said[str(first)], said[str(second)]) == (5, 5)


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_a_pool_in_the_main_process_delivers_at_its_exit(pool: str, tmp_path: Path) -> None:
    """There the exit hooks run."""
    with celery(tmp_path, f"--pool={pool}", "--concurrency=2") as server:
        expected = work(server)
        assert server.end() == 0
        server.assert_silent()
        events = server.landed()
    of_main = Counter([Event("loaded", server.process_id), Event("bye", server.process_id)])
    assert processes(expected) == {server.process_id}
    assert events == expected + of_main

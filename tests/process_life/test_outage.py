"""B4 in a real process: the service dies for some seconds, while the program goes on logging."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final

import pytest

from tests.shell.support import landed, make_fake, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink.testing.server import Server

pytestmark = pytest.mark.slow

OUTAGE: Final = 3.0
"""Seconds that the service is away."""

PROGRAM: Final = """
import json, os, sys, threading, time
import kinesink

sink = kinesink.Sink(kinesink.Config.from_environment(stream_name="app"))
logs, ends = threading.Event(), threading.Event()
emitted = 0

def log():
    global emitted
    while not ends.wait(0.01):
        if logs.is_set():
            sink.emit(b"%06d" % emitted)
            emitted += 1

def measure():
    account = sink.statistics()
    return {
        "cpu": time.process_time(),
        "wall": time.monotonic(),
        "threads": threading.active_count(),
        "files": len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0,
        "accepted": account.accepted,
        "delivered": account.delivered,
        "lost": account.lost,
        "pending": account.pending,
        "emitted": emitted,
    }

application = threading.Thread(target=log)
application.start()
logs.set()
for line in sys.stdin:
    if line.strip() == "pause":
        logs.clear()
    elif line.strip() == "end":
        ends.set()
        application.join()
        sink.close()
    print(json.dumps(measure()), flush=True)
"""


class Program:
    """A program that logs a hundred events a second, and says how it is when asked."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in: IO[str] = process.stdin
        self._out: IO[str] = process.stdout

    def ask(self, what: str = "measure") -> dict[str, Any]:
        """Have something done; return what is measured after it."""
        self._in.write(f"{what}\n")
        self._in.flush()
        measured: dict[str, Any] = json.loads(self._out.readline())
        assert measured["accepted"] == sum(
            measured[key] for key in ("delivered", "lost", "pending")
        )
        return measured


@contextmanager
def program(server: Server, backend: str) -> Iterator[Program]:
    """Run the program, and let it end."""
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "KINESINK_ENDPOINT_URL": server.endpoint_url,
        "KINESINK_BACKEND": backend,
        "KINESINK_SHUTDOWN_TIMEOUT": "20",
    }
    with subprocess.Popen(  # noqa: S603 - our own words
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Program(process)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(30) == 0
        finally:
            process.kill()


@pytest.mark.timeout(60)
def test_b4_a_program_outlives_the_service_and_loses_nothing(anyio_backend: str) -> None:
    """Meanwhile it is as good as idle, and opens nothing that it does not close."""
    fake = make_fake(1)
    with fake.serve() as server:
        port = server.port
        with program(server, anyio_backend) as running:
            wait_until(lambda: running.ask()["delivered"] > 50)
            before = running.ask()
            server.close()
            gone_at = time.monotonic()
            # What was on its way when the connections broke has failed by then.
            wait_until(lambda: running.ask()["pending"] > 50)
            begun = running.ask()
            time.sleep(max(0.0, gone_at + OUTAGE - time.monotonic()))
            ended = running.ask()
            assert ended["pending"] > begun["pending"]
            assert ended["delivered"] == begun["delivered"]
            # The program's own logging included; a loop that spins would take all of it.
            assert ended["cpu"] - begun["cpu"] <= (ended["wall"] - begun["wall"]) / 2
            assert ended["threads"] == before["threads"]
            with fake.serve(port):
                wait_until(lambda: running.ask()["delivered"] > ended["emitted"])
                after = running.ask("pause")
                assert after["threads"] == before["threads"]
                assert after["files"] <= before["files"] + 1
                last = running.ask("end")
                assert last["lost"] == last["pending"] == 0
                assert last["delivered"] == last["emitted"]
    copies = landed(fake)
    assert {int(data) for data in copies} == set(range(last["emitted"]))

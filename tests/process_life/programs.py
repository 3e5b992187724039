"""Programs that are talked to while they run, against a fake on a loopback port."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager
from queue import Empty, Queue
from typing import TYPE_CHECKING, Final

from tests.shell.scripts import Ran, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import IO

    from kinesink.testing import FakeKinesis

PATIENCE: Final = 45.0
"""Seconds after which a test gives up waiting; nothing is ever expected to take this long."""

PRELUDE: Final = """
import atexit, os, signal, sys, threading, time
import kinesink
sink = kinesink.Sink(kinesink.Config.from_environment(stream_name="app"))
def log(text):
    sink.emit(text.encode())
def say(text):
    # Not by print: a signal handler may interrupt one.
    os.write(1, f"{text}\\n".encode())
def idle():
    # Not one long sleep: a signal that comes right before it begins would be handled after it.
    while True:
        time.sleep(0.05)
def account(*_):
    known = sink.statistics()
    assert known.accepted == known.delivered + known.lost + known.pending
    say(f"{known.accepted} accepted, {known.delivered} delivered")
"""
"""What most programs begin with."""


class Program:
    """A process that runs, and the lines it has printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._began = time.monotonic()
        self._lines: Queue[str | None] = Queue()
        self._out: list[str] = []
        self._err: list[str] = []
        self._readers = [
            threading.Thread(target=self._read_out, args=(process.stdout,)),
            threading.Thread(target=self._read_err, args=(process.stderr,)),
        ]
        for reader in self._readers:
            reader.start()

    def _read_out(self, stream: IO[str]) -> None:
        for line in stream:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def _read_err(self, stream: IO[str]) -> None:
        self._err.extend(stream)

    def next_line(self) -> str:
        """Return the line that the program prints next."""
        try:
            line = self._lines.get(timeout=PATIENCE)
        except Empty:
            line = None
        assert line is not None, f"no more lines: {self._out} {self._err}"
        self._out.append(line)
        return line

    def wait_line(self, text: str) -> None:
        """Wait until the program has printed a line."""
        while self.next_line() != text:
            pass

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait until something is true that the program brings about."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None, f"ended: {self._err}"
            assert time.monotonic() < deadline, f"never came true: {self._err}"
            time.sleep(0.001)

    def send(self, number: int) -> None:
        """Send the program a signal."""
        self.process.send_signal(number)

    def answer(self) -> None:
        """Let the program go on that waits for a line."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> Ran:
        """Wait until the program has ended, and say what became of it."""
        status = self.process.wait(PATIENCE)
        seconds = time.monotonic() - self._began
        for reader in self._readers:
            reader.join(PATIENCE)
        while (line := self._lines.get(timeout=PATIENCE)) is not None:
            self._out.append(line)
        return Ran(status, "\n".join(self._out), "".join(self._err), seconds)

    def stop(self) -> None:
        """End the program, if it has not ended by itself."""
        self.process.kill()
        self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


@contextmanager
def running(fake: FakeKinesis, source: str, **variables: str) -> Iterator[Program]:
    """Run a program that finds the fake by a host name, which has to be looked up."""
    with _started(fake, ["-c", textwrap.dedent(source)], variables) as program:
        yield program


@contextmanager
def running_command(fake: FakeKinesis, *arguments: str, **variables: str) -> Iterator[Program]:
    """Run Python with arguments, in the same way."""
    with _started(fake, list(arguments), variables) as program:
        yield program


def run_file(fake: FakeKinesis, path: Path, source: str, **variables: str) -> Ran:
    """Run a program that others can import, to its end."""
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    with running_command(fake, str(path), **variables) as program:
        return program.end()


def not_delivered(err: str) -> list[str]:
    """Return the lines about what an end has cost."""
    return [line for line in err.splitlines() if "not delivered" in line]


@contextmanager
def _started(
    fake: FakeKinesis, arguments: list[str], variables: dict[str, str]
) -> Iterator[Program]:
    with fake.serve(port=0) as server:
        defaults = {
            "KINESINK_ENDPOINT_URL": server.endpoint_url.replace("127.0.0.1", "localhost"),
            "KINESINK_SHUTDOWN_TIMEOUT": "20",
        }
        process = subprocess.Popen(  # noqa: S603 - our own words
            [sys.executable, "-W", "error::ResourceWarning", *arguments],
            env=environment(**{**defaults, **variables}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        program = Program(process)
        try:
            yield program
        finally:
            program.stop()

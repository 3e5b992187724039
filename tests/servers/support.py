"""Servers that tests run as processes of their own, against a fake on a loopback port.

Events linger for a minute here, so what lands before that was delivered because a process
ended, or because it was asked to flush: nothing passes by good luck.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections import Counter
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from typing import TYPE_CHECKING, NamedTuple

from tests.shell.support import landed, make_fake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE = 40.0
"""Seconds after which a test gives up waiting; nothing is ever expected to take this long."""

LINGER = "60"


class Event(NamedTuple):
    """One event that landed: what was logged, and where."""

    text: str
    process_id: int


class Server:
    """A server under test: its process, what it says, and what lands in Kinesis."""

    def __init__(self, folder: Path, **variables: str) -> None:
        """Prepare; :meth:`start` starts it.

        :param folder: where its files are: the application, the socket, what it says.
        :param variables: of its environment.
        """
        self.folder = folder
        self.socket = folder / "s"
        #: Where it listens, if not on the socket.
        self.port: int | None = None
        self._fake = make_fake()
        self._loopback = self._fake.serve(port=0)
        self._said = folder / "said"
        self._variables = variables
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, name: str, source: str) -> Path:
        """Write a file beside the application."""
        path = self.folder / name
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return path

    def start(self, *command: str) -> None:
        """Start a program, in a session of its own; its first word is a module or a path."""
        url = self._loopback.__enter__().endpoint_url.replace("127.0.0.1", "localhost")
        self._variables["KINESINK_ENDPOINT_URL"] = url
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(  # noqa: S603 - our own words
                _program(*command),
                cwd=self.folder,
                env=self._environment(),
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run_beside(self, module: str) -> None:
        """Run another program in the same folder and environment to its end."""
        subprocess.run(  # noqa: S603 - our own words
            _program(module),
            cwd=self.folder,
            env=self._environment(),
            timeout=PATIENCE,
            check=True,
        )

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            # Servers leave files there.
            "HOME": str(self.folder),
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "KINESINK_LINGER": LINGER,
            "KINESINK_SHUTDOWN_TIMEOUT": "20",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(self.folder), *sys.path])),
            "PYTHONUNBUFFERED": "1",
            **self._variables,
        }

    # -- while it runs ---------------------------------------------------------

    @property
    def process_id(self) -> int:
        """The process that was started, a master where there is one."""
        assert self._process is not None
        return self._process.pid

    @property
    def said(self) -> str:
        """What all of its processes have written so far."""
        return self._said.read_text(encoding="utf-8", errors="replace")

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until something has come true; fail when the server has ended meanwhile."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert self._process is not None
            assert self._process.poll() is None, f"it ended before {what}:\n{self.said}"
            assert time.monotonic() < deadline, f"never came true: {what}\n{self.said}"
            time.sleep(0.01)

    def wait_said(self, pattern: str, times: int = 1) -> None:
        """Wait until it has said something so many times."""
        self.wait_until(lambda: len(re.findall(pattern, self.said)) >= times, pattern)

    def get(self, path: str) -> int:
        """Request something, and return the number that is the answer: the process, mostly."""
        answers: list[int] = []

        def is_answered() -> bool:
            with suppress(OSError), self.request(path) as connection:
                answers.append(int(connection.getresponse().read()))
            return bool(answers)

        # It may not listen yet, or be between two workers. Nothing that has connected is
        # refused after that, so the request is served once.
        self.wait_until(is_answered, f"an answer to {path}")
        return answers[0]

    @contextmanager
    def request(self, path: str) -> Iterator[HTTPConnection]:
        """Request something, and leave the answer to whoever asks."""
        if self.port is None:
            connection: HTTPConnection = _Connection(str(self.socket))
        else:
            connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.connect()
            connection.request("GET", path, headers={"Connection": "close", "Host": "localhost"})
            yield connection
        finally:
            connection.close()

    def landed(self) -> Counter[Event]:
        """Return the events in the stream, and how often each is there."""
        events = (json.loads(line) for line in landed(self._fake))
        return Counter(Event(event["message"], event["pid"]) for event in events)

    def send(self, number: signal.Signals, process_id: int | None = None) -> None:
        """Send a signal to the process that was started, or to another one of it."""
        os.kill(self.process_id if process_id is None else process_id, number)

    # -- its end ---------------------------------------------------------------

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal that ends it, and return its exit status."""
        self.send(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end, that of each of its processes, and return its exit status."""
        assert self._process is not None
        try:
            status = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end:\n{self.said}") from None
        deadline = time.monotonic() + PATIENCE
        while self._has_processes():
            assert time.monotonic() < deadline, f"it left processes behind:\n{self.said}"
            time.sleep(0.01)
        return status

    def _has_processes(self) -> bool:
        try:
            os.killpg(self.process_id, 0)
        except ProcessLookupError:
            return False
        return True

    def close(self) -> None:
        """Kill what is left of it, and close the fake."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process_id, signal.SIGKILL)
            self._process.wait()
            self._loopback.close()

    def assert_silent(self, *, but: str | None = None) -> None:
        """No part of it has failed, and kinesink had nothing to tell.

        :param but: what begins lines that may name it.
        """
        said = "".join(
            line for line in self.said.splitlines(keepends=True) if not but or but not in line
        )
        # Neither in a line of its own, nor as a thread's name or in the frames of a traceback.
        assert "kinesink" not in said, said
        # gunicorn shows how it leaves a request that it ends by force.
        left = len(re.findall("^SystemExit: [01]$", said, re.MULTILINE))
        assert said.count("Traceback") == left, said


def _program(name: str, *options: str) -> list[str]:
    start = [name] if os.sep in name else [sys.executable, "-m", name]
    return [*start, *options]


class _Connection(HTTPConnection):
    """To a socket in the file system, which needs no free port."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@contextmanager
def serving(
    folder: Path, files: dict[str, str], *command: str, **variables: str
) -> Iterator[Server]:
    """Run a server beside some files until the end of the block.

    :param files: the text of each, by its name.
    """
    server = Server(folder, **variables)
    for name, text in files.items():
        server.write(name, text)
    try:
        server.start(*command)
        yield server
    finally:
        server.close()


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        number: int = reserved.getsockname()[1]
        return number


def requests(server: Server, count: int, name: str = "order") -> Counter[Event]:
    """Make requests one after the other; return the events that they cause, once each."""
    paths = [f"/{name}-{number}" for number in range(count)]
    return Counter(Event(path, server.get(path)) for path in paths)


def once(events: Counter[Event], text: str) -> Counter[Event]:
    """Return the events of a text, which each process must have logged once at most."""
    found = Counter({event: count for event, count in events.items() if event.text == text})
    assert set(found.values()) <= {1}, found
    return found


def processes(events: Counter[Event]) -> set[int]:
    """Return the processes that have logged some events."""
    return {event.process_id for event in events}

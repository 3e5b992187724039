"""The tortured programs as seen from outside: started, killed, told to stop, and read."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PATIENCE: Final = 120.0
"""Seconds after which a test gives up waiting; nothing is ever expected to take this long."""

_HERE: Final = Path(__file__).parent


class Process:
    """A program that runs, or has run."""

    def __init__(
        self, folder: Path, name: str, program: str, environment: Mapping[str, str]
    ) -> None:
        self.folder = folder
        self.name = name
        #: When it was killed, in seconds since the epoch; None if it was not.
        self.killed_at: float | None = None
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(  # noqa: S603 - our own words
                [
                    sys.executable,
                    *("-W", "error::ResourceWarning", "-X", "faulthandler"),
                    str(_HERE / program),
                    str(folder),
                    name,
                ],
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                    **environment,
                },
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                text=True,
            )

    @property
    def _out(self) -> Path:
        return self.folder / f"{self.name}.out"

    @property
    def _err(self) -> Path:
        return self.folder / f"{self.name}.err"

    @property
    def told(self) -> list[dict[str, Any]]:
        """What it has printed, and its children."""
        lines = self._out.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    @property
    def err(self) -> str:
        """What it has said on standard error."""
        return self._err.read_text(encoding="utf-8")

    @property
    def logs(self) -> bool:
        """Whether every one of its threads has logged."""
        counts = [*self.folder.glob(f"{self.name}-t*.told")]
        return len(counts) > 1 and all(file.stat().st_size for file in counts)

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Wait until something is true that the program brings about."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert self._process.poll() is None, f"{self.name} ended before it {what}: {self.err}"
            assert time.monotonic() < deadline, f"{self.name} never {what}: {self.autopsy()}"
            time.sleep(0.02)

    def wait_until_it_logs(self) -> None:
        """Wait until every thread of it has logged."""
        self.wait_for(lambda: self.logs, "logged")

    def say(self, line: str) -> None:
        """Have the program read a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def tell_to_stop(self, name: str | None = None) -> None:
        """Tell the program, or a child of it, that it is enough."""
        (self.folder / f"{name or self.name}.stop").touch()

    def end(self) -> None:
        """Wait until it has ended, as it should."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            status = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.name} does not end: {self.autopsy()}")
        assert status == 0, self.err

    def autopsy(self) -> str:
        """Have it say where each of its threads is, and end by that."""
        self._process.send_signal(signal.SIGABRT)
        self._process.wait(PATIENCE)
        return self.err

    def kill(self) -> None:
        """Kill it, wherever it is."""
        self.killed_at = time.time()
        self._process.send_signal(signal.SIGKILL)
        assert self._process.wait(PATIENCE) == -signal.SIGKILL, self.err

    def dispose(self) -> None:
        """Leave nothing of it, whatever has happened."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(PATIENCE)
        assert self._process.stdin is not None
        self._process.stdin.close()


class Workers:
    """One worker after the other, each killed after a while."""

    def __init__(self, name: str, start: Callable[[str], Process], seed: int) -> None:
        self._name = name
        self._start = start
        self._dice = random.Random(f"{name} {seed}")
        self._over = threading.Event()
        self._trouble: BaseException | None = None
        #: All that there were.
        self.generations: list[Process] = []
        self._thread = threading.Thread(target=self._run, name=name)
        self._thread.start()

    def last(self) -> Process:
        """Let the worker live that runs now, or comes next."""
        self._over.set()
        self._thread.join()
        if self._trouble is not None:
            raise self._trouble
        return self.generations[-1]

    def _run(self) -> None:
        try:
            while True:
                worker = self._start(f"{self._name}g{len(self.generations)}")
                self.generations.append(worker)
                worker.wait_until_it_logs()
                if self._over.wait(self._dice.uniform(0, 4)):
                    return
                worker.kill()
        except BaseException as trouble:  # noqa: BLE001 - told by last()
            self._trouble = trouble

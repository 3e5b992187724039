"""Commands as a person runs them: in this process, as a program, and in a pseudo-terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from typer.testing import CliRunner

from kinesink.cli import app

if TYPE_CHECKING:
    from collections.abc import Mapping

PATIENCE: Final = 60.0
"""Seconds for whatever a busy machine may take."""

_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")

#: What decides about colours and widths, and belongs to whoever runs the tests.
_OF_THE_TERMINAL: Final = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM", "GITHUB_ACTIONS")


#: Makes the terminal the one whose Ctrl-C reaches it.
_IN_TERMINAL: Final = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "kinesink.cli", *sys.argv[1:]])
"""


class Ran(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str


def plain(text: str) -> str:
    """Return a text without colours."""
    return _ESCAPES.sub("", text)


def words(text: str) -> str:
    """Return a text without colours, frames and breaks."""
    return " ".join(plain(text).replace("│", " ").split())


def run(*arguments: str, answer: str = "", **variables: str) -> Ran:
    """Run a command in this process, its output going nowhere near a terminal."""
    result = CliRunner().invoke(app.app, arguments, input=answer, env=dict(variables))
    return Ran(result.exit_code, result.stdout, result.stderr)


def environment(**variables: str) -> dict[str, str]:
    """Return the variables of a program: those of the tests, less the terminal's."""
    inherited = {name: value for name, value in os.environ.items() if name not in _OF_THE_TERMINAL}
    return {**inherited, "TERM": "xterm-256color", **variables}


def start(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    **streams: Any,  # noqa: ANN401 - as Popen has them
) -> subprocess.Popen[str]:
    """Start a command as a program of its own."""
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "kinesink.cli", *arguments],
        env=environment(**(env or {})),
        text=True,
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        | streams,
    )


class Terminal:
    """A command in a pseudo-terminal of its own, as a person has it before them."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        """Start it."""
        self._master, slave = pty.openpty()
        try:
            self.program = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-c", _IN_TERMINAL, *arguments],
                env=environment(**{"COLUMNS": "120", **variables}),
                stdin=slave, stdout=slave, stderr=slave,
                start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(slave)
        self.screen = ""

    def wait_for(self, text: str) -> None:
        """Read until a text is on the screen."""
        while text not in plain(self.screen):
            if not self._read():
                raise AssertionError(f"{text!r} did not come: {self.screen!r}")

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def interrupt(self) -> int:
        """Press Ctrl-C until it has an effect, and return the exit status.

        Python misses one that comes between its prompt and the read that follows.
        """
        for _ in range(int(PATIENCE)):
            self.press("\x03")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.program.wait(1.0)
                break
        return self.end()

    def end(self) -> int:
        """Read what is left, and return the exit status."""
        while self._read():
            pass
        os.close(self._master)
        return self.program.wait(PATIENCE)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], PATIENCE)
        try:
            read = os.read(self._master, 65536) if ready else b""
        except OSError:
            # Linux's way to say that nobody is at the other end any more.
            read = b""
        self.screen += read.decode(errors="replace").replace("\r\n", "\n")
        return bool(read)

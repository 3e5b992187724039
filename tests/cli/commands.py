"""Commands as a person runs them: in this process, as a program, and in a pseudo-terminal."""

from __future__ import annotations

import os
import re
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

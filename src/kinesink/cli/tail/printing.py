"""Where a tail writes: events to stdout, everything it has to say itself to stderr."""

import os
import sys
from collections.abc import Iterable
from typing import Protocol

from rich.console import Console
from rich.text import Text

from kinesink.cli.tail.events import Event
from kinesink.cli.tail.show import json_line, pretty, safe


class Printer(Protocol):
    """Writes events."""

    shows_losses: bool
    """Whether a loss record is told by a remark, and no event."""

    def write(self, events: Iterable[Event]) -> None:
        """Write events, at once."""


class JsonLines:
    """A line of JSON for each event."""

    shows_losses = False

    def write(self, events: Iterable[Event]) -> None:
        """Write events, at once."""
        out = sys.stdout.buffer
        for_terminal = sys.stdout.isatty()
        for event in events:
            out.write(json_line(event, for_terminal=for_terminal))
        out.flush()


class _PlainConsole(Console):
    """No escapes at all where no colour is wanted; a broken pipe is left to the command."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(
            stderr=stderr,
            highlight=False,
            color_system=None if os.environ.get("NO_COLOR") else "auto",
        )

    def on_broken_pipe(self) -> None:
        """Let it be handled where every other end is."""
        raise BrokenPipeError


class Coloured:
    """A coloured line for each event."""

    shows_losses = True

    def __init__(self) -> None:
        self.console = _PlainConsole()

    def write(self, events: Iterable[Event]) -> None:
        """Write events, at once."""
        for event in events:
            self.console.print(pretty(event), soft_wrap=True)


class Remarks:
    """What is said beside the events."""

    def __init__(self) -> None:
        self._console = _PlainConsole(stderr=True)

    def warn(self, text: str) -> None:
        """Say that something is amiss."""
        self._say(text, "yellow")

    def note(self, text: str) -> None:
        """Say something else."""
        self._say(text, "dim")

    def _say(self, text: str, style: str) -> None:
        self._console.print(Text(f"kinesink: {safe(text)}", style), soft_wrap=True)

"""Where a tail writes: events to stdout, everything it has to say itself to stderr."""

import sys
from collections.abc import Iterable
from typing import Protocol

from rich.text import Text

from kinesink.cli.console import Console
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


class Coloured:
    """A coloured line for each event."""

    shows_losses = True

    def __init__(self) -> None:
        self._console = Console()

    def write(self, events: Iterable[Event]) -> None:
        """Write events, at once."""
        for event in events:
            self._console.print(pretty(event), soft_wrap=True)


class Remarks:
    """What is said beside the events."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)

    def warn(self, text: str) -> None:
        """Say that something is amiss."""
        self._say(text, "yellow")

    def note(self, text: str) -> None:
        """Say something else."""
        self._say(text, "dim")

    def _say(self, text: str, style: str) -> None:
        self._console.print(Text(f"kinesink: {safe(text)}", style), soft_wrap=True)

"""Where commands write to: a terminal in its colours, a pipe in plain text."""

import os

from rich.console import Console as RichConsole


class Console(RichConsole):
    """No escapes at all where no colour is wanted; a broken pipe is left to the command."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(
            stderr=stderr,
            highlight=False,
            color_system=None if os.environ.get("NO_COLOR") else "auto",
        )

    def on_broken_pipe(self) -> None:
        """Let it be handled where every other end is; rich would end the process by itself."""
        raise BrokenPipeError

"""How a command ends: the exit statuses, and one sentence instead of a traceback.

Law: a command that cannot do what it was asked raises :class:`CommandError` with one sentence
that says what to do; nothing but :func:`plainly` turns an end into an exit status.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import typer


class Exit(IntEnum):
    """The exit statuses of the commands."""

    DONE = 0
    """It did what it was asked."""
    FAILED = 1
    """It did not, or not wholly; the last line on stderr says why."""
    USAGE = 2
    """An option or an argument cannot be used as given."""
    INTERRUPTED = 130
    """Ctrl-C."""
    BROKEN_PIPE = 141
    """Whoever read the output has gone, as ``head`` does."""
    TERMINATED = 143
    """SIGTERM."""


class CommandError(Exception):
    """What a person is told in one sentence: what happened, to what, and what to do."""


@contextmanager
def plainly() -> Iterator[None]:
    """Turn whatever ends a command into its exit status, without a traceback.

    :raises typer.Exit: with the status, unless all is done.
    """
    try:
        yield
        # Here rather than by the interpreter, which would show a traceback.
        sys.stdout.flush()
    except CommandError as error:
        typer.echo(f"kinesink: {error}", err=True)
        raise typer.Exit(Exit.FAILED) from None
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None
    except BrokenPipeError:
        _mute()
        raise typer.Exit(Exit.BROKEN_PIPE) from None


def _mute() -> None:
    """Let what is still in the buffer of stdout go nowhere: the interpreter flushes it at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)

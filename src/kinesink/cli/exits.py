"""How a command ends: the exit statuses, and one sentence instead of a traceback.

Law: a command that cannot do what it was asked raises :class:`CommandError` with one sentence
that says what to do; nothing but :func:`plainly` turns an end into an exit status.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from types import FrameType
from typing import Final

import typer

_BY_SIGNAL: Final = 128
"""What shells add to the number of the signal that has ended a program."""


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


class Stopped(KeyboardInterrupt):
    """A signal has ended the command, as Ctrl-C does."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        #: The signal's.
        self.number = number


@contextmanager
def stopped_by(*names: str) -> Iterator[None]:
    """Have signals raise :class:`Stopped` in here: the first of them, for later ones are in vain.

    :param names: those of signals; one that the system does not know is left out.
    """
    stopped = False

    def stop(number: int, _: FrameType | None) -> None:
        nonlocal stopped
        if not stopped:
            stopped = True
            raise Stopped(number)

    known = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, stop) for number in known if _may_come(number)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _may_come(number: int) -> bool:
    # nohup means what it has ignored; a shell has every background job ignore SIGINT.
    return number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN


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
    except Stopped as stop:
        raise typer.Exit(_BY_SIGNAL + stop.number) from None
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

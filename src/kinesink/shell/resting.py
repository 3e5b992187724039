"""Moments in which a producer's thread lets others have the interpreter.

A thread of the application that has waited, an event loop say, needs the interpreter lock
to go on, and one that computes keeps it for 5 ms unless it waits for something itself
(``sys.setswitchinterval``). Preparing a large request takes some milliseconds: whatever the
application answers meanwhile would be late by that. So the producer rests between its
pieces of work, each time just long enough for another thread to wake up.

Law: only a thread that serves a producer and nobody else rests. In a loop of the
application's, resting would be what it is to prevent.
"""

from __future__ import annotations

import sys
import time
from threading import get_ident
from typing import Final

from kinesink.shell.fork import in_each_child

#: Seconds of work without a rest: waking up takes about as long.
_STRETCH: Final = 100e-6

#: Seconds asked for; the shortest sleep that is one. Linux makes some 55 µs of it.
_REST: Final = 1e-6

#: Before Python 3.11 the shortest sleep on Windows takes up to 16 ms.
_SLEEPS_BRIEFLY: Final = sys.platform != "win32" or sys.version_info >= (3, 11)

#: The threads that rest, and when each last did.
_rested_at: Final[dict[int, float]] = {}


def begin() -> None:
    """Have this thread rest where it calls :func:`rest`, until :func:`end`."""
    if _SLEEPS_BRIEFLY:
        _rested_at[get_ident()] = time.perf_counter()


def end() -> None:
    """Have this thread rest no more."""
    _rested_at.pop(get_ident(), None)


def rest() -> None:
    """Let others have the interpreter for a moment, if this thread has had it for a while."""
    thread = get_ident()
    rested_at = _rested_at.get(thread)
    if rested_at is not None and time.perf_counter() - rested_at >= _STRETCH:
        time.sleep(_REST)
        _rested_at[thread] = time.perf_counter()


in_each_child(_rested_at.clear)

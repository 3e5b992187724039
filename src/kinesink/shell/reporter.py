"""Tell an operator what needs attention: once per kind and minute, never by ``logging``.

Law: a report never raises, never waits and never makes a log event that is shipped. A
callback that raises is told about once; one that hangs, or a standard error that nobody
reads, holds up the reports after it and nothing else, because telling them happens in a
thread that does nothing else.
"""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from kinesink.core.limits import KIB, MIB
from kinesink.shell import origin
from kinesink.shell.courier import Courier

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.config import OnError

#: Seconds in which a kind of trouble is told at most once.
REPORT_INTERVAL: Final = 60.0

#: Reports kept while a callback is busy; the newest are kept.
_MOST_WAITING: Final = 100

#: Kinds remembered with the time they were told; beyond it those are forgotten that may be
#: told again anyway. Where that leaves many, the next time is at twice their number.
_MOST_REMEMBERED: Final = 1000


class Reporter:
    """Passes reports to ``on_error``, or to standard error. Safe from any thread.

    :param clock: returns seconds, in any thread, and of one origin as long as this lives: an
        event loop's clock is none, for the next loop's may begin anywhere.
    """

    def __init__(
        self, on_error: OnError | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._on_error = on_error or _write
        self._clock = clock
        #: When each kind was told last, by kind and what it was about.
        self._told_at: dict[tuple[str, str], float] = {}
        self._unheard: dict[tuple[str, str], int] = {}
        self._most_remembered = _MOST_REMEMBERED
        self._callback_failed = False
        self._courier = Courier("kinesink on_error", _MOST_WAITING)

    def report(self, kind: str, text: str, *, about: str = "") -> bool:
        """Tell ``text``, unless this kind was told less than a minute ago; return whether.

        :param about: what it is about, such as a stream; the same kind of trouble elsewhere
            is told by itself.
        """
        key, now = (kind, about), self._clock()
        told_at = self._told_at.get(key)
        if told_at is not None and now - told_at < REPORT_INTERVAL:
            self._unheard[key] = self._unheard.get(key, 0) + 1
            return False
        if len(self._told_at) >= self._most_remembered:
            self._forget(now)
        self._told_at[key] = now
        unheard = self._unheard.pop(key, 0)
        self.say(kind, f"{text} (and {unheard} times since it was last told)" if unheard else text)
        return True

    def _forget(self, now: float) -> None:
        # Copies, because other threads report meanwhile.
        told, unheard = self._told_at.copy(), self._unheard.copy()
        self._told_at = {key: at for key, at in told.items() if now - at < REPORT_INTERVAL}
        self._unheard = {key: n for key, n in unheard.items() if key in self._told_at}
        self._most_remembered = max(_MOST_REMEMBERED, 2 * len(self._told_at))

    def say(self, kind: str, text: str) -> None:
        """Tell ``text`` now, whatever was told before."""
        self._courier.send(partial(self._call, kind, text))

    def wait_told(self, timeout: float) -> bool:
        """Wait until the callback has returned from every report; return whether it has."""
        return self._courier.wait_idle(timeout)

    @property
    def idle(self) -> bool:
        """Whether everything has been told."""
        return self._courier.idle

    def _call(self, kind: str, text: str) -> None:
        # What the callback logs is kinesink's own: shipping it could go round for ever.
        origin.OWN.set(True)
        try:
            self._on_error(kind, text)
        except BaseException as error:  # noqa: BLE001 - a user's callback may raise anything
            if not self._callback_failed:
                self._callback_failed = True
                write_line(f"on_error raised {error!r}; reported was: {text}")


def _write(_: str, text: str) -> None:
    write_line(text)


def write_line(text: str) -> None:
    """Write one line to the process's standard error, if there is one.

    ``sys.__stderr__`` and not ``sys.stderr``: test runners and applications replace the
    latter, and at exit it may be closed. To its file and not through its buffer: a daemon
    thread that is frozen at exit while it holds the buffer's lock aborts the process.
    """
    stream = sys.__stderr__
    if stream is None or stream.closed:
        return
    try:
        os.write(stream.fileno(), f"kinesink: {text}\n".encode(errors="backslashreplace"))
    except (OSError, ValueError):
        # Closed under our hands: there is nobody left to tell.
        return


def events_in_words(events: int) -> str:
    """Return a number of events with its noun."""
    return "1 event" if events == 1 else f"{events} events"


def not_delivered(
    events: int, data_bytes: int, stream_name: str, timeout: float, last_error: str | None
) -> str:
    """Return the line about what a shutdown has cost."""
    text = (
        f"{events_in_words(events)} ({_size_in_words(data_bytes)}) not delivered to "
        f"{stream_name!r} within {timeout:.3g} s"
    )
    return f"{text}; last error: {last_error}" if last_error else text


def not_told_yet(events: int, data_bytes: int, untold: int) -> tuple[int, int]:
    """Return how many of the events that are lost were not told before, and their bytes.

    Which ones these are is not known: as many as there can be, of the average size.

    :param untold: events that have come since.
    """
    news = min(events, untold)
    return news, data_bytes * news // max(1, events)


def _size_in_words(size: int) -> str:
    if size < KIB:
        return f"{size} bytes"
    return f"{size / KIB:.0f} KiB" if size < MIB else f"{size / MIB:.1f} MiB"

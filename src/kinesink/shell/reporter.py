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
from collections import deque
from contextvars import copy_context
from threading import Thread
from typing import TYPE_CHECKING, Final

from kinesink.shell import origin

if TYPE_CHECKING:
    from kinesink.config import OnError

#: Seconds in which a kind of trouble is told at most once.
REPORT_INTERVAL: Final = 60.0

#: Seconds between two looks at whether everything has been told.
_LOOK_AGAIN: Final = 0.005

#: Reports kept while a callback is busy; the newest are kept.
_MOST_WAITING: Final = 100


class Reporter:
    """Passes reports to ``on_error``, or to standard error. Safe from any thread."""

    def __init__(self, on_error: OnError | None) -> None:
        self._on_error = on_error or _write
        self._told_at: dict[str, float] = {}
        self._unheard: dict[str, int] = {}
        self._callback_failed = False
        self._waiting: deque[tuple[str, str]] = deque(maxlen=_MOST_WAITING)
        # One token: who pops it starts the thread.
        self._may_start = deque([True])

    def report(self, kind: str, text: str, now: float) -> None:
        """Tell ``text``, unless this kind was told less than a minute ago.

        :param now: seconds on a monotonic clock.
        """
        told_at = self._told_at.get(kind)
        if told_at is not None and now - told_at < REPORT_INTERVAL:
            self._unheard[kind] = self._unheard.get(kind, 0) + 1
            return
        self._told_at[kind] = now
        unheard = self._unheard.pop(kind, 0)
        self.say(kind, f"{text} (and {unheard} times since it was last told)" if unheard else text)

    def say(self, kind: str, text: str) -> None:
        """Tell ``text`` now, whatever was told before."""
        self._waiting.append((kind, text))
        try:
            self._may_start.pop()
        except IndexError:
            return
        context = copy_context()

        def call_back() -> None:
            context.run(self._call_back)

        if sys.is_finalizing():
            # A thread would not run any more, and on Python 3.11 its start never return.
            call_back()
            return
        try:
            Thread(target=call_back, name="kinesink on_error", daemon=True).start()
        except RuntimeError:
            # No thread can be started any more: the interpreter is shutting down.
            call_back()

    def wait_told(self, timeout: float) -> bool:
        """Wait until the callback has returned from every report; return whether it has."""
        deadline = time.monotonic() + timeout
        # Looking again and again takes no lock, which the producer would have to take too.
        while not self.idle and time.monotonic() < deadline:
            time.sleep(_LOOK_AGAIN)
        return self.idle

    @property
    def idle(self) -> bool:
        """Whether everything has been told."""
        return bool(self._may_start) and not self._waiting

    def _call_back(self) -> None:
        # What the callback logs is kinesink's own: shipping it could go round for ever.
        origin.OWN.set(True)
        while True:
            while self._waiting:
                self._call(*self._waiting.popleft())
            self._may_start.append(True)
            # Whoever came since has found no token, or has taken it.
            if not self._waiting or not self._take_token():
                return

    def _take_token(self) -> bool:
        try:
            return self._may_start.pop()
        except IndexError:
            return False

    def _call(self, kind: str, text: str) -> None:
        try:
            self._on_error(kind, text)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's callback may raise anything
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
        f"{stream_name!r} within {timeout:g} s"
    )
    return f"{text}; last error: {last_error}" if last_error else text


def _size_in_words(size: int) -> str:
    if size < 1024:  # noqa: PLR2004 - below a KiB
        return f"{size} bytes"
    kib = size / 1024
    return f"{kib:.0f} KiB" if kib < 1024 else f"{kib / 1024:.1f} MiB"  # noqa: PLR2004 - below a MiB

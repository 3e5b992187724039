"""Tell an operator what needs attention: once per kind and minute, never by ``logging``.

Law: a report never raises, never waits and never makes a log event. A callback that
fails is told about once, and costs nothing else.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kinesink.config import OnError

#: Seconds in which a kind of trouble is told at most once.
REPORT_INTERVAL: Final = 60.0


class Reporter:
    """Passes reports to ``on_error``, or to standard error. One thread at a time."""

    def __init__(self, on_error: OnError | None) -> None:
        self._on_error = on_error
        self._told_at: dict[str, float] = {}
        self._unheard: dict[str, int] = {}
        self._callback_failed = False

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
        if self._on_error is None:
            write_line(text)
            return
        try:
            self._on_error(kind, text)
        except Exception as error:  # noqa: BLE001 - a user's callback may raise anything
            if not self._callback_failed:
                self._callback_failed = True
                write_line(f"on_error raised {error!r}; reported was: {text}")


def write_line(text: str) -> None:
    """Write one line to the process's standard error, if there is one.

    ``sys.__stderr__`` and not ``sys.stderr``: test runners and applications replace the
    latter, and at exit it may be closed.
    """
    stream = sys.__stderr__
    if stream is None or stream.closed:
        return
    try:
        stream.write(f"kinesink: {text}\n")
        stream.flush()
    except (OSError, ValueError):
        # Closed under our hands: there is nobody left to tell.
        return

"""Calls of the application's own code, made where they hold up nobody.

Law: who sends a call off never waits and never raises. Calls are made one after the
other in a thread that does nothing else; one that hangs holds up those after it, and
nothing else. The thread is there only while there is something to call.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from contextvars import copy_context
from threading import get_ident
from typing import TYPE_CHECKING, Final

from kinesink.shell.threads import Token, start_daemon

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds between two looks at whether every call has been made.
_LOOK_AGAIN: Final = 0.005


class Courier:
    """Makes calls in a thread of its own. Safe from any thread."""

    def __init__(self, name: str, most_waiting: int | None = None) -> None:
        """Do nothing yet.

        :param name: of the thread.
        :param most_waiting: calls that may wait; the newest are kept. None for any number.
        """
        self._name = name
        self._waiting: deque[Callable[[], object]] = deque(maxlen=most_waiting)
        self._token = Token()
        self._thread_id: int | None = None

    def send(self, call: Callable[[], object]) -> None:
        """Have something called soon; it must not raise."""
        self._waiting.append(call)
        if not self._token.take():
            return
        context = copy_context()

        def make_calls() -> None:
            context.run(self._make_calls)

        if sys.is_finalizing():
            # A thread would not run any more, and on Python 3.11 its start never return.
            make_calls()
            return
        if not start_daemon(make_calls, self._name):
            make_calls()

    def wait_idle(self, timeout: float) -> bool:
        """Wait until every call has returned; return whether it has.

        A call that is made here does not wait for its own end.
        """
        deadline = time.monotonic() + timeout
        # Looking again and again takes no lock, which the producer would have to take too.
        while not self.idle and not self._is_calling() and time.monotonic() < deadline:
            time.sleep(_LOOK_AGAIN)
        return self.idle

    @property
    def waiting(self) -> int:
        """How many calls have not begun."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether every call has returned."""
        return bool(self._token) and not self._waiting

    def _is_calling(self) -> bool:
        return self._thread_id == get_ident()

    def _make_calls(self) -> None:
        while True:
            self._thread_id = get_ident()
            try:
                while self._waiting:
                    self._waiting.popleft()()
            finally:
                # Whatever a call has raised: the next one must find somebody to make it.
                self._thread_id = None
                self._token.give_back()
            # Whoever came since has found no token, or has taken it.
            if not self._waiting or not self._token.take():
                return

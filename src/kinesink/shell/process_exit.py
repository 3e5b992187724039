"""The exit of the process: one deadline for all that is pending.

Law: nothing is torn down at exit, because hooks that run later may still log. What a
process has logged is delivered when it ends without anybody closing anything, within
one deadline for the whole process.
"""

from __future__ import annotations

import atexit
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


#: Seconds between two looks of whoever waits at whether the process exits.
_LOOK_AGAIN: Final = 0.25


class Serving(Protocol):
    """What has events to deliver at exit."""

    def begin_exit(self) -> Callable[[float], object]:
        """Begin to deliver; return what waits for the end of it, given a timeout."""

    def end_exit(self, timeout: float) -> None:
        """Say what is left, and serve alone what comes later."""

    def begin_flush(self) -> Callable[[float], object]:
        """Begin to deliver in a process that may go on; return what waits for that."""

    def tell_left(self) -> None:
        """Say what is left, unless that was said, and give it a moment to be heard."""

    @property
    def shutdown_timeout(self) -> float:
        """Seconds it wants to be waited for."""


class ProcessExit:
    """What has to be done at exit, and how much time is left for it."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything, as a forked child must."""
        self._serving: set[Serving] = set()
        self._deadline: float | None = None
        #: Seconds of the exit's time that waits before its beginning have used up.
        self._spent = 0.0
        self._delivers_in_main = False
        self._postponed: list[Callable[[], object]] = []
        #: Whether the exit hook has begun, and whether it has ended: then nobody waits
        #: for what is emitted.
        self.begun = self.over = False

    def watch(self, serving: Serving) -> None:
        """Wait for ``serving`` at exit. One operation in C: safe in signal handlers."""
        self._serving.add(serving)

    def forget(self, serving: Serving) -> None:
        """Do not wait for ``serving``: it has nothing to do."""
        self._serving.discard(serving)

    def within(self, timeout: float, at_exit: float | None = None) -> float:
        """Return the seconds that something may take which may take ``timeout`` otherwise.

        :param at_exit: seconds that the whole exit may take, if this is what begins it; None
            for ``timeout``.
        """
        if not self.leaving:
            return timeout
        if self._deadline is None:
            self._deadline = self._deadline_after(timeout if at_exit is None else at_exit)
        return min(timeout, max(0.0, self._deadline - self.now()))

    def wait(self, wait: Callable[[float], bool], timeout: float, at_exit: float) -> bool:
        """Wait for so many seconds at most; a wait that the exit finds under way ends with it.

        A hook of others may wait for the thread that waits.

        :param wait: waits, given a timeout; returns whether that was enough.
        :param at_exit: as for :meth:`within`.
        """
        deadline = self.now() + timeout
        left = timeout
        while left > _LOOK_AGAIN:
            if wait(_LOOK_AGAIN):
                return True
            left = self.within(max(0.0, deadline - self.now()), at_exit)
        return wait(left)

    @property
    def leaving(self) -> bool:
        """Whether the process ends: our exit hook has begun, or one of others has."""
        return self.begun or interpreter_exits()

    @staticmethod
    def now() -> float:
        """Return seconds on a monotonic clock."""
        return time.monotonic()

    def _deadline_after(self, timeout: float) -> float:
        return self.now() + max(0.0, timeout - self._spent)

    def run(self) -> None:
        """Deliver what is pending; the exit hook."""
        with self.delivering():
            self._run()

    def _run(self) -> None:
        self.begun = True
        serving = list(self._serving)
        timeout = _longest(serving)
        if serving and self._deadline is None:
            self._deadline = self._deadline_after(timeout)
        try:
            waits = [one.begin_exit() for one in serving]
            for wait in waits:
                wait(self.within(timeout))
        finally:
            # Also when somebody has lost patience and pressed Ctrl-C.
            self.over = True
            for one in serving:
                one.end_exit(self.within(timeout))

    # -- what may be the end, or not -------------------------------------------

    def flush(self) -> None:
        """Deliver what is pending, as the exit would, in a process that may go on.

        The exit has that much less time, until :meth:`go_on`.
        """
        serving = list(self._serving)
        began = self.now()
        timeout = _longest(serving)
        deadline = began + self.within(max(0.0, timeout - self._spent), timeout)
        try:
            waits = [one.begin_flush() for one in serving]
            for wait in waits:
                wait(max(0.0, deadline - self.now()))
        finally:
            self._spent += self.now() - began
            self.tell_left()

    def tell_left(self) -> None:
        """Say what is pending in each stream, unless that was said; give it a moment."""
        for one in list(self._serving):
            one.tell_left()

    def go_on(self) -> None:
        """Give a later exit its whole time again: this was not the end."""
        self._spent = 0.0

    @contextmanager
    def delivering(self) -> Iterator[None]:
        """Mark what delivers in this thread: if it is the main one, no signal cuts it short."""
        is_main = threading.get_ident() == threading.main_thread().ident
        if self._delivers_in_main or not is_main:
            yield
            return
        self._delivers_in_main = True
        try:
            yield
        finally:
            self._delivers_in_main = False
            while self._postponed:
                self._postponed.pop(0)()

    def postpone(self, call: Callable[[], object]) -> bool:
        """Have ``call`` made when the main thread has delivered; False if it does not deliver.

        For signal handlers, that is in the main thread, which cannot wait for what it is at.
        """
        if self._delivers_in_main:
            self._postponed.append(call)
        return self._delivers_in_main


def _longest(serving: Iterable[Serving]) -> float:
    return max((one.shutdown_timeout for one in serving), default=0.0)


def interpreter_exits() -> bool:
    """Tell whether exit hooks run: ours, or others that come before it and wait for us.

    The interpreter declares its main thread dead, waits for every thread that is no daemon,
    and then runs the hooks.
    """
    main = threading.main_thread()
    return not main.is_alive() and all(
        thread.daemon or thread is main for thread in threading.enumerate()
    )


process_exit = ProcessExit()

# Registered once and early, hence run late: hooks of others may still log.
atexit.register(process_exit.run)

"""The exit of the process: one deadline for all that is pending.

Law: nothing is torn down at exit, because hooks that run later may still log. What a
process has logged is delivered when it ends without anybody closing anything, within
one deadline for the whole process.
"""

from __future__ import annotations

import atexit
import threading
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Serving(Protocol):
    """What has events to deliver at exit."""

    def begin_exit(self) -> Callable[[float], object]:
        """Begin to deliver; return what waits for the end of it, given a timeout."""

    def end_exit(self, timeout: float) -> None:
        """Say what is left, and serve alone what comes later."""

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
            self._deadline = self.now() + (timeout if at_exit is None else at_exit)
        return min(timeout, max(0.0, self._deadline - self.now()))

    @property
    def leaving(self) -> bool:
        """Whether the process ends: our exit hook has begun, or one of others has."""
        return self.begun or interpreter_exits()

    @staticmethod
    def now() -> float:
        """Return seconds on a monotonic clock."""
        return time.monotonic()

    def run(self) -> None:
        """Deliver what is pending; the exit hook."""
        self.begun = True
        serving = list(self._serving)
        timeout = max((one.shutdown_timeout for one in serving), default=0.0)
        if serving and self._deadline is None:
            self._deadline = self.now() + timeout
        try:
            waits = [one.begin_exit() for one in serving]
            for wait in waits:
                wait(self.within(timeout))
        finally:
            # Also when somebody has lost patience and pressed Ctrl-C.
            self.over = True
            for one in serving:
                one.end_exit(self.within(timeout))


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

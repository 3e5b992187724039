"""Children of multiprocessing: they end without the interpreter's exit, and deliver all the same.

Law: nothing here imports multiprocessing; where nobody has, there are no such children.

A forked child ends by ``os._exit`` and runs, instead of exit hooks, what multiprocessing has
for its own ends. One that was spawned runs both, so the exit is one that can come twice.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final

from kinesink.shell.process_exit import process_exit

#: Before what multiprocessing itself does at the end: that waits for children of the child.
_PRIORITY: Final = 10


class _Children:
    """What is known of this process as a parent, and as a child."""

    def __init__(self) -> None:
        self._follows = False
        self._delivers_in: int | None = None

    def watch(self) -> None:
        util: Any = sys.modules.get("multiprocessing.util")
        process: Any = sys.modules.get("multiprocessing.process")
        follow = getattr(util, "register_after_fork", None)
        parent = getattr(process, "parent_process", None)
        if follow is None or parent is None:
            # Not imported, or in the middle of it.
            return
        if not self._follows:
            self._follows = True
            # A child forgets what its parent has for the end, and calls this next.
            follow(self, _Children.deliver_at_end)
        if parent() is None or self._delivers_in == os.getpid():
            return
        if getattr(util, "_exiting", False):
            # Its ends have been: this is a thread that the child waits for after them.
            self._delivers_in = os.getpid()
            process_exit.run()
        else:
            self.deliver_at_end()

    def deliver_at_end(self) -> None:
        """Deliver when this process ends, a child of multiprocessing."""
        self._delivers_in = os.getpid()
        sys.modules["multiprocessing.util"].Finalize(None, process_exit.run, exitpriority=_PRIORITY)


_children: Final = _Children()


def watch() -> None:
    """Deliver at the end of this process, if it is a child of multiprocessing; and of its own.

    To be called when a producer begins, which in a process that logs is early enough. Takes
    no lock, waits on nothing, and does nothing a second time. Safe from any thread and signal
    handler, and across forks.
    """
    _children.watch()

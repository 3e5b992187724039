"""Start a thread from wherever a log call may come from."""

from __future__ import annotations

import _thread
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def start_daemon(run: Callable[[], None], name: str) -> bool:
    """Have ``run`` called in a thread of its own; return whether there can be one.

    Not by Thread.start(), which takes a lock and waits: its caller, a signal handler, may have
    interrupted whoever holds that lock. A thread can wait for it.

    :param run: must not raise.
    """

    def begin() -> None:
        try:
            # A thread that the threading module knows has a name, is traced by debuggers,
            # and is forgotten when it ends.
            threading.Thread(target=run, name=name, daemon=True).start()
        except RuntimeError:
            # There are no more to be had, so this one must do.
            run()

    try:
        _thread.start_new_thread(begin, ())
    except RuntimeError:
        # Too many threads, or the exit has begun (Python 3.12).
        return False
    return True

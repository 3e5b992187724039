"""What a forked child must do before anything else in it.

On systems without fork (Windows) there is nothing to do. Servers that fork behind the
interpreter's back (uWSGI) run none of its hooks; there :func:`notice_fork` makes up for it.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class _Forks:
    """What is to be done, and in which process it was done last."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []
        self.renew()

    def renew(self) -> None:
        self.lock = threading.RLock()
        self.process_id = os.getpid()


def in_each_child(call: Callable[[], object]) -> None:
    """Have ``call`` run in every child forked from now on, for the life of the process.

    It runs in the child's only thread, before the code that forked goes on, and cannot
    be taken back. Calls run in the order in which they came here.
    """
    _forks.calls.append(call)
    _at_fork(after_in_child=call)


def around_each_fork(before: Callable[[], object], in_parent: Callable[[], object]) -> None:
    """Have ``before`` run before every fork from now on, and ``in_parent`` after it.

    Both run in the thread that forks, in the parent only. Of two callers the later one's
    ``before`` runs first. The interpreter's own ``before`` hooks, which were registered
    earlier, run later: the one that takes the lock of :mod:`logging` is one of them.
    """
    _at_fork(before=before, after_in_parent=in_parent)


def _at_fork(**calls: Callable[[], object]) -> None:
    register = getattr(os, "register_at_fork", None)
    if register is not None:
        register(**calls)


def notice_fork() -> None:
    """Do what a child must, if this process is one and nobody has told it.

    To be called before the first use of what a fork changes. Threads that come at the same
    time wait until it is done. Costs a system call: nothing for the way of an event, but
    where nothing else tells.
    """
    if os.getpid() == _forks.process_id:
        return
    # Nobody holds it at a fork: in the process it was made for it is never taken.
    with _forks.lock:
        # None for whoever has only waited for it.
        for call in _forks.calls if os.getpid() != _forks.process_id else ():
            call()
        # Last: whoever sees the new number goes on without waiting.
        _forks.renew()


_forks = _Forks()
_at_fork(after_in_child=_forks.renew)

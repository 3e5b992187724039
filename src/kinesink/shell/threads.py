"""Start a thread, one at a time, from wherever a log call may come from."""

from __future__ import annotations

import _thread
import signal
import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kinesink.shell import hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Token:
    """The right to start a thread: whoever has it may, and nobody else.

    No lock, which could be held by the very code that a signal handler interrupts: each method
    is one operation in C.
    """

    __slots__ = ("_here",)

    def __init__(self) -> None:
        self._here = deque([True])

    def __bool__(self) -> bool:
        """Tell whether nobody has it."""
        return bool(self._here)

    def take(self) -> bool:
        """Take it; return whether it was there."""
        try:
            return self._here.pop()
        except IndexError:
            return False

    def give_back(self) -> None:
        """Let the next one take it."""
        self._here.append(True)


def start_daemon(run: Callable[[], None], name: str) -> bool:
    """Have ``run`` called in a thread of its own; return whether there can be one.

    Not by Thread.start(), which takes a lock and waits: its caller, a signal handler, may have
    interrupted whoever holds that lock. A thread can wait for it.

    :param run: must not raise.
    """
    try:
        with _put_off():
            _thread.start_new_thread(run_in_known_thread, (run, name))
    except RuntimeError:
        # Too many threads, or the exit has begun (Python 3.12).
        return False
    return True


def run_in_known_thread(run: Callable[[], None], name: str) -> None:
    """Start a thread that the threading module knows; where there is none, call ``run`` here.

    Such a thread has a name, is traced by debuggers, and is forgotten when it ends.
    """
    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError:
        # There are no more to be had, so this one must do.
        run()


@contextmanager
def _put_off() -> Iterator[None]:
    """Have threads that are started in here put off the signal that none of ours may hear.

    What such a thread starts inherits that: threads, and a ``credential_process``.
    """
    number = hosts.unheard_signal()
    if number is None or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

"""Signals that end the process: what it has logged is delivered first.

Law: a handler never waits for the code it has interrupted. It waits for the producer's
thread, within the time that the exit may take, and then does what would have been done
without it. Where the producer may need something that the interrupted code holds, the
signal comes again a moment later.
"""

from __future__ import annotations

import _thread
import signal
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from kinesink.shell.background import Background
from kinesink.shell.overflow import owns_logging_lock
from kinesink.shell.process_exit import process_exit
from kinesink.shell.reporter import write_line

if TYPE_CHECKING:
    from types import CodeType, FrameType

#: Seconds until a signal that came at a bad time comes again, and for how long it does.
_MOMENT: Final = 0.01
_PATIENCE: Final = 1.0

#: What must not be waited for amid: a producer's thread that begins needs what they hold.
_WHOLE: Final[frozenset[CodeType]] = frozenset(
    {Background.start.__code__, threading.Thread.start.__code__}
)


def install_signal_handlers(*signals: int) -> None:
    """Deliver what was logged before a signal ends the process.

    Python runs no exit hooks when a signal such as SIGTERM ends it, and what is pending then
    is lost. With this, every sink of the process is flushed first, in the main thread, within
    the longest ``shutdown_timeout`` among them; what was not delivered by then is told in one
    line, as at exit. Then comes what would have come without it:

    - a handler that was there before is called, and decides. If it ends the process by
      :class:`SystemExit`, the exit has what is left of that time;
    - the default is restored, and the signal raised again: it ends the process, with the
      status that it would have had. A process that the system protects from the default (the
      first one of a container) goes on;
    - a signal that was ignored still is, and the process goes on.

    While the main thread runs an event loop, the loop stands still for so long. A handler
    that is set later, by :func:`signal.signal` or by an event loop, replaces this one unless
    it calls it. SIGINT needs none of this: its exception leads to the exit.

    Forked children inherit the handlers. A second call for the same signal changes nothing.
    To be called in the main thread, while no other thread sets handlers.

    :param signals: numbers of signals; none for SIGTERM and, where it exists, SIGHUP.
    :raises RuntimeError: outside the main thread, or if a signal is handled by code that is
        not Python's; nothing has changed.
    :raises OSError, ValueError: if a number is no signal, or one that cannot be handled.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("install_signal_handlers() is to be called in the main thread")
    numbers = signals or _usual()
    foreign = [number for number in numbers if signal.getsignal(number) is None]
    if foreign:
        raise RuntimeError(f"signal {foreign[0]:d} is handled by code that is not Python's")
    for number in numbers:
        previous = signal.getsignal(number)
        if not isinstance(previous, _Handler):
            signal.signal(number, _Handler(previous))


def _usual() -> tuple[int, ...]:
    # Windows has no SIGHUP.
    hang_up = getattr(signal, "SIGHUP", None)
    return (signal.SIGTERM,) if hang_up is None else (signal.SIGTERM, hang_up)


class _Handler:
    """Delivers, and then does what the previous handler of the signal stands for."""

    def __init__(self, previous: object) -> None:
        self._previous = previous
        self._put_off_at: float | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if process_exit.postpone(partial(signal.raise_signal, number)):
            # The exit hook, or what stands in for it: it delivers, and then ends.
            return
        if self._put_off(number, frame):
            return
        try:
            process_exit.flush()
        except Exception as error:  # noqa: BLE001 - the process must end all the same
            write_line(f"the flush before the handler of signal {number} failed: {error!r}")
        finally:
            self._go_on(number, frame)

    def _put_off(self, number: int, frame: FrameType | None) -> bool:
        """Have the signal come again if it came at a bad time; return whether it will."""
        if not owns_logging_lock() and not _is_amid(frame):
            self._put_off_at = None
            return False
        now = time.monotonic()
        if self._put_off_at is None:
            self._put_off_at = now
        if now < self._put_off_at + _PATIENCE:
            try:
                _thread.start_new_thread(_send_again, (number,))
            except RuntimeError:
                # No more threads: now or never.
                pass
            else:
                return True
        self._put_off_at = None
        return False

    def _go_on(self, number: int, frame: FrameType | None) -> None:
        if callable(self._previous):
            try:
                self._previous(number, frame)
            except SystemExit:
                raise
            except BaseException:
                process_exit.go_on()
                raise
        elif self._previous == signal.SIG_DFL:
            # Not always this one: a handler that was set later may have called it.
            current = signal.getsignal(number)
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
            signal.signal(number, current)
        process_exit.go_on()


def _is_amid(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code in _WHOLE:
            return True
        frame = frame.f_back
    return False


def _send_again(number: int) -> None:
    time.sleep(_MOMENT)
    send = getattr(signal, "pthread_kill", None)
    if send is None:
        # Windows: interrupts no call that waits, but what is put off here does not wait.
        _thread.interrupt_main(signal.Signals(number))
    else:
        send(threading.main_thread().ident, number)

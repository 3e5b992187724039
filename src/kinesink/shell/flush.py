"""A flush: what must have ended before it is done, and how others wait for it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from kinesink.shell import origin
from kinesink.shell.process_exit import process_exit

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.core.pipeline import Pipeline
    from kinesink.shell.background import Background
    from kinesink.shell.stream import Stream


class Flush:
    """A flush under way: what must have ended before it is done."""

    def __init__(self, done: Callable[[], None]) -> None:
        """Begin with nothing to wait for; the producer's task fills it in.

        :param done: called when everything has ended.
        """
        self.done = done
        #: Set by whoever does not wait any more, from any thread.
        self.given_up = False
        self._epochs: dict[Stream, tuple[Pipeline, int]] = {}

    def cover(self, stream: Stream) -> None:
        """Let nothing linger that the stream has taken in, and wait for it."""
        stream.touch()
        self._epochs[stream] = stream.pipeline, stream.pipeline.flush()

    def uncover(self, stream: Stream) -> None:
        """Wait no more for what the stream had taken in: it has ended, or goes on elsewhere."""
        self._epochs.pop(stream, None)

    def ended(self) -> bool:
        """Tell whether nothing is left to wait for."""
        return all(pipeline.ledger.ended(epoch) for pipeline, epoch in self._epochs.values())


class Latch:
    """Opened once, and waited for once, in another thread.

    Not a :class:`threading.Event`: setting that takes a lock which a waiting thread
    may hold, and the producer waits for nobody.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        #: Opens it; never waits.
        self.open = self._lock.release

    def wait(self, timeout: float) -> bool:
        """Wait until it is open; return whether it is."""
        return self._lock.acquire(timeout=max(0.0, min(timeout, threading.TIMEOUT_MAX)))


def begin_flush(background: Background) -> Callable[[float], bool]:
    """Begin to deliver what is pending; return what waits for that, given a timeout.

    So that several can be flushed at the same time.
    """
    if background.idle:
        return _nothing_to_wait_for
    done = Latch()
    flush = Flush(done.open)
    background.request_flush(flush)

    def wait(timeout: float) -> bool:
        if origin.is_own():
            return False
        try:
            usual = background.shutdown_timeout
            return process_exit.wait(done.wait, process_exit.within(timeout, usual), usual)
        finally:
            flush.given_up = True

    return wait


async def await_flush(background: Background, timeout: float) -> bool:
    """Do the same without blocking the event loop, asyncio or trio, and wait for it."""
    import anyio  # noqa: PLC0415 - importing kinesink must stay cheap

    from kinesink.shell.wakeup import WakeUp  # noqa: PLC0415 - it imports anyio

    if background.idle:
        return True
    done = False
    wake = WakeUp()

    def finish() -> None:
        nonlocal done
        done = True
        wake()

    flush = Flush(finish)
    background.request_flush(flush)
    try:
        patience = process_exit.within(timeout, background.shutdown_timeout)
        await wake.wait_until(anyio.current_time() + patience)
    finally:
        flush.given_up = True
    return done


def _nothing_to_wait_for(_: float) -> bool:
    return True

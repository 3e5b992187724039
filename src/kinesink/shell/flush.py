"""A flush: what must have ended before it is done, and how another thread waits for it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.core.pipeline import Pipeline
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

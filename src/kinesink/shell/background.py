"""The producer in a thread of its own: lazy start, clean end, exit, fork.

Law: nothing here runs before the first event, and nothing is torn down at exit: hooks
that run later may still log. What a process has logged is delivered when it ends
without anybody closing anything, within one deadline for the whole process.

The module imports neither anyio nor httpx nor botocore; the thread does. It does
import the thread pools of the standard library: they register with the interpreter when
they are imported, which fails once the exit has begun, and everything else needs them.
"""

from __future__ import annotations

import _thread
import atexit
import concurrent.futures.thread  # noqa: F401 - see above
import contextvars
import os
import threading
import time
import weakref
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from kinesink.core.records import DropReason
from kinesink.shell import origin
from kinesink.shell.reporter import Reporter
from kinesink.statistics import Statistics, combine

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.config import Config
    from kinesink.shell.intake import Intake
    from kinesink.shell.kinesis import KinesisClient
    from kinesink.shell.producer import Producer

    ClientFactory = Callable[[Config], KinesisClient]

#: Waits for a consistent reading of the account, and how long each one is in seconds.
_READING_ATTEMPTS: Final = 2000
_READING_PAUSE: Final = 0.0005

#: What belonged to the parent of a forked process. Never freed: a finalizer could close
#: sockets that the parent goes on using.
_parked: list[object] = []


class Background:
    """Runs a producer over an intake, in a daemon thread, from the first event on.

    Every method is safe from any thread; :meth:`start` from signal handlers too.
    """

    def __init__(
        self, config: Config, intake: Intake, make_client: ClientFactory | None = None
    ) -> None:
        self._config = config
        self._intake = intake
        self._make_client = make_client
        self._past = Statistics()
        self._reset()
        _everyone.add(self)

    def _reset(self) -> None:
        # One token: who pops it starts the thread. A lock could be held by the very
        # thread that a signal handler interrupts.
        self._may_start = deque([True])
        self._producer: Producer | None = None
        self._thread_id: int | None = None
        self._stop: Callable[[], None] | None = None
        self._stopping = False
        self._ended = threading.Event()
        self._ended.set()

    # -- from any thread -------------------------------------------------------

    def start(self) -> None:
        """Start the thread unless it runs; the intake's wake-up while there is none.

        Not :class:`threading.Thread`: its start takes a lock and waits.
        """
        try:
            self._may_start.pop()
        except IndexError:
            return
        self._ended.clear()
        self._stopping = False
        _active.add(self)
        try:
            _thread.start_new_thread(contextvars.Context().run, (self._run,))
        except RuntimeError:
            # The interpreter is shutting down (Python 3.12 and later): the exit hook
            # drains in its own thread. If that has run already, so do we.
            self._may_start.append(True)
            self._ended.set()
            if _exit.begun:
                self.drain_here()

    def request_flush(self, done: Callable[[], None]) -> None:
        """Ask for a flush of what is in the intake now; ``done`` is called when it ended."""
        self._intake.command(partial(self._begin_flush, done))

    def stop(self) -> None:
        """Ask the thread to deliver what is pending and to end."""
        self._stopping = True
        if not self._may_start:
            self._intake.command(self._stop_now)

    def wait_ended(self, timeout: float) -> bool:
        """Wait until the thread has ended; return whether it has."""
        return self._ended.wait(timeout)

    @property
    def in_own_thread(self) -> bool:
        """Whether the caller runs in the producer's thread."""
        return self._thread_id == threading.get_ident()

    @property
    def record_max_bytes(self) -> int | None:
        """Largest record of the stream in bytes; None before the first event."""
        producer = self._producer
        return producer.record_max_bytes() if producer else None

    def statistics(self, *, own: int = 0) -> Statistics:
        """Return the account, consistent in itself, from any thread.

        :param own: log records of the producer's own work, which the sink counts.
        """
        for _ in range(_READING_ATTEMPTS):
            producer = self._producer
            version = producer.version if producer else 0
            if version % 2 == 0 or self.in_own_thread:
                read = self._read(producer, own)
                unchanged = producer is None or producer.version == version
                if self._producer is producer and unchanged:
                    return read
            time.sleep(_READING_PAUSE)
        return self._read(self._producer, own)

    def _read(self, producer: Producer | None, own: int) -> Statistics:
        waiting, refused = len(self._intake), self._intake.refusals
        here = Statistics(
            accepted=waiting + refused,
            pending=waiting,
            dropped={DropReason.QUEUE_FULL: refused} if refused else {},
            own=own,
        )
        now = producer.statistics() if producer else Statistics()
        return combine(self._past, now, here)

    # -- the thread ------------------------------------------------------------

    def _run(self) -> None:
        threading.current_thread().name = f"kinesink {self._config.stream_name}"
        survived = False
        try:
            self._run_loop()
            survived = True
        except Exception as error:  # noqa: BLE001 - a dead producer must be heard of
            # While the interpreter exits, Python 3.12 lets no loop end in peace.
            if not _exit.begun:
                self._tell_of_the_end(error)
        finally:
            self._leave(survived=survived)

    def _tell_of_the_end(self, error: Exception) -> None:
        Reporter(self._config.on_error).say(
            "InternalError",
            f"stream {self._config.stream_name!r}: the producer ended by {error!r}; "
            "the next event starts another",
        )

    def _run_loop(self) -> None:
        import anyio  # noqa: PLC0415 - not before the first event

        origin.mark_thread()
        self._thread_id = threading.get_ident()
        try:
            anyio.run(self._main, backend=self._config.backend)
        finally:
            self._thread_id = None
            origin.unmark_thread()

    async def _main(self) -> None:
        import anyio  # noqa: PLC0415 - not before the first event

        from kinesink.shell import exit_safe  # noqa: PLC0415
        from kinesink.shell.producer import Producer  # noqa: PLC0415

        exit_safe.install(self._config.backend)
        client = self._make_client(self._config) if self._make_client else None
        producer = Producer(self._config, intake=self._intake, client=client)
        stopped = anyio.Event()
        self._stop = stopped.set
        self._producer = producer
        async with producer:
            if self._stopping:
                stopped.set()
            await stopped.wait()

    def _leave(self, *, survived: bool) -> None:
        """Hand the intake back to :meth:`start`, and miss nothing that came meanwhile.

        After an error only the next event starts a thread: it could fail the same way.
        """
        if self._producer is not None:
            past = combine(self._past, self._producer.statistics())
            self._past, self._producer = past, None
        self._stop = None
        self._intake.wake = self.start
        self._intake.awake = False
        self._may_start.append(True)
        _active.discard(self)
        self._ended.set()
        if survived and self._intake.waiting:
            self.start()

    def _begin_flush(self, done: Callable[[], None]) -> None:
        """Called by the producer, hence while there is one."""
        if self._producer is not None:
            self._producer.begin_flush(done)

    @property
    def idle(self) -> bool:
        """Whether there is no thread and nothing for one to do."""
        return bool(self._may_start) and not self._intake.waiting

    def _stop_now(self) -> None:
        if self._stop is not None:
            self._stop()

    # -- exit and fork ---------------------------------------------------------

    def drain_here(self) -> None:
        """Deliver what is pending in the calling thread; for exit hooks without a thread."""
        if not self._may_start or not self._intake.waiting:
            return
        self._may_start.clear()
        self._stopping = True
        self._ended.clear()
        contextvars.Context().run(self._run)

    def tell_what_is_left(self, timeout: float) -> None:
        """Say how much was not delivered at exit, in one line; nothing left is silence."""
        left = self.statistics()
        if not left.pending:
            return
        producer = self._producer
        error = producer.last_error if producer else None
        text = (
            f"{left.pending} events ({left.pending_bytes} bytes) not delivered to "
            f"{self._config.stream_name!r} within {timeout:g} s"
        )
        Reporter(self._config.on_error).say(
            "shutdown", f"{text}; last error: {error}" if error else text
        )

    def after_fork_in_child(self) -> None:
        """Begin anew: thread, loop, connections and what is pending are the parent's."""
        _parked.append((self._producer, self._stop, self._intake.wake))
        self._past = Statistics()
        self._reset()
        self._intake.reset(self.start)


class _Exit:
    """The exit of the process: one deadline for all that is pending."""

    def __init__(self) -> None:
        self.begun = False

    def run(self) -> None:
        """Flush every running producer, and drain where there is none."""
        self.begun = True
        producers = list(_active)
        if not producers:
            return
        timeout = max(background._config.shutdown_timeout for background in producers)
        deadline = time.monotonic() + timeout
        flushed = []
        for background in producers:
            done = threading.Event()
            background.drain_here()
            background.request_flush(done.set)
            flushed.append(done)
        for done in flushed:
            done.wait(max(0.0, deadline - time.monotonic()))
        for background in producers:
            background.tell_what_is_left(timeout)


_everyone: weakref.WeakSet[Background] = weakref.WeakSet()
_active: set[Background] = set()
_exit = _Exit()


def _after_fork_in_child() -> None:
    _active.clear()
    _exit.begun = False
    for background in list(_everyone):
        background.after_fork_in_child()


# Registered once and early, hence run late: hooks of others may still log.
atexit.register(_exit.run)
os.register_at_fork(after_in_child=_after_fork_in_child)

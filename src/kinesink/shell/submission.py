"""The futures of records that were handed over from any thread.

Law: a future is resolved exactly once, by whoever comes first, and is an open one until
it is. Resolving it runs nothing of the application's: done-callbacks are called in a
thread of their own, so that one which hangs or raises holds up no delivery and no result.
"""

from __future__ import annotations

import contextvars
import threading
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from kinesink.core.records import RecordResult
from kinesink.errors import ClosedError
from kinesink.shell.courier import Courier

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.core.records import DropReason

    Done = Callable[["Future[RecordResult]"], object]

#: Seconds to wait for the lock of a future. Whoever looks at it holds it for less, but for
#: a thread that a signal handler interrupts while it does: that may wait for the producer.
_A_MOMENT: Final = 0.05


class Submitted(Future[RecordResult]):
    """The result of one record, for whichever thread wants it."""

    def __init__(self, submissions: Submissions) -> None:
        super().__init__()
        self._submissions = submissions
        # Nothing can be called back once it was handed over, so cancel() returns False.
        self.set_running_or_notify_cancel()

    def resolve(self, result: RecordResult) -> None:
        """Take the result, unless there is one. Waits for a moment at most."""
        lock = self._condition
        if not lock.acquire(timeout=_A_MOMENT):
            self._submissions.resolve_later(self, result)
            return
        try:
            self.set_result(result)
        except InvalidStateError:
            return
        finally:
            lock.release()
        self._submissions.close(self)

    def add_done_callback(self, fn: Done) -> None:
        """Have ``fn(future)`` called when the result is there.

        Called in a thread that only does this, one callback after the other, and what it
        raises is reported. If the result is there already, called at once and here.
        """
        if self.done():
            super().add_done_callback(fn)
        else:
            super().add_done_callback(partial(self._submissions.call_back, fn))

    def fail_in_child(self, error: Exception) -> None:
        """Take an error in a forked child, where nobody else will ever resolve it."""
        # The old lock may be held by a thread that does not exist in this process.
        self._condition = threading.Condition()
        # Resolved in the very moment of the fork.
        with suppress(Exception):
            self.set_exception(error)


class Submissions:
    """The futures of one sink that have no result yet. Safe from any thread."""

    def __init__(self, report: Callable[[str, str], None]) -> None:
        """Begin without any.

        :param report: takes the kind and the text of trouble; must neither wait nor raise.
        """
        self._report = report
        # Each change is one operation in C.
        self._open: set[Submitted] = set()
        self._callbacks = Courier("kinesink results")
        self._late = Courier("kinesink late results")

    def begin(self) -> Submitted:
        """Return the future of a record that will be handed over now."""
        future = Submitted(self)
        self._open.add(future)
        return future

    def close(self, future: Submitted) -> None:
        """Take out a future that has its result."""
        self._open.discard(future)

    def resolve_later(self, future: Submitted, result: RecordResult) -> None:
        """Resolve a future whose lock is held for long, in a thread that can wait for it."""
        self._late.send(partial(future.resolve, result))

    def end_all(self, reason: DropReason, error: str) -> None:
        """Resolve every open future: nobody else will."""
        for future in self._open.copy():
            future.resolve(failed(reason, error))

    def fail_in_child(self) -> None:
        """Give every open future of the parent an error, in a forked child."""
        # The old one may count on a thread that does not exist in this process.
        self._callbacks = Courier("kinesink results")
        for future in self._open.copy():
            future.fail_in_child(
                ClosedError(
                    "this process was forked while the record was pending; its result is known "
                    "in the parent process only"
                )
            )

    def call_back(self, fn: Done, future: Future[RecordResult]) -> None:
        """Call a done-callback, in a thread of its own."""
        # In no context: that of the producer would mark what the callback logs as kinesink's.
        call = partial(contextvars.Context().run, self._call, fn, future)
        self._callbacks.send(call)

    def wait_called_back(self, timeout: float) -> bool:
        """Wait until every callback has returned; return whether it has."""
        return self._callbacks.wait_idle(timeout)

    def _call(self, fn: Done, future: Future[RecordResult]) -> None:
        try:
            fn(future)
        except BaseException as error:  # noqa: BLE001 - a user's callback may raise anything, asyncio's CancelledError among it
            self._report("DoneCallback", f"a done-callback of a submitted record raised {error!r}")


def failed(reason: DropReason, error: str) -> RecordResult:
    """Return the result of a record that was given up and never sent."""
    return RecordResult(
        success=False, shard_id=None, sequence_number=None, attempts=(), reason=reason, error=error
    )

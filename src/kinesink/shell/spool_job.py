"""Something that is done to the disk in a thread, and what follows from it in the task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from kinesink.shell.flush import Latch

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")


class Job(Generic[Result]):
    """Work of which the result is taken once, by whoever of the task comes first."""

    def __init__(
        self, work: Callable[[], Result], take: Callable[[Result], None], otherwise: Result
    ) -> None:
        """Do nothing yet.

        :param work: touches the disk, and raises nothing that the disk is to blame for.
        :param take: takes what it returned, in the task.
        :param otherwise: what is taken if an error of kinesink's own has cost the work.
        """
        self._work = work
        self._take = take
        self._otherwise = otherwise
        #: Whether such an error has.
        self.failed = False
        self._result: list[Result] = []
        self._ended = Latch()

    def run(self) -> None:
        """Do the work, in a thread.

        :raises Exception: what the work raised; it counts as done all the same.
        """
        result = self._otherwise
        self.failed = True
        try:
            result = self._work()
            self.failed = False
        finally:
            self._result.append(result)
            self._ended.open()

    def finish(self) -> bool:
        """Take the result, unless that was done; return whether the work has ended."""
        if not self._result:
            return False
        self._take(self._result[0])
        return True

    def wait(self, timeout: float) -> None:
        """Wait until the work has ended, in seconds at most. To be called once."""
        self._ended.wait(timeout)

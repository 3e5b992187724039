"""Something that is done to the disk in a thread, and what follows from it in the task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from kinesink.shell.flush import Latch

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")


class Job(Generic[Result]):
    """Work of which the result is taken once, by whoever of the task comes first."""

    def __init__(self, work: Callable[[], Result], take: Callable[[Result], None]) -> None:
        """Do nothing yet.

        :param work: touches the disk, and raises nothing.
        :param take: takes what it returned, in the task.
        """
        self._work = work
        self._take = take
        self._result: list[Result] = []
        self._ended = Latch()

    def run(self) -> None:
        """Do the work, in a thread."""
        self._result.append(self._work())
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

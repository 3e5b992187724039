"""Strike a task at its k-th checkpoint, on asyncio and on trio."""

from __future__ import annotations

from types import coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

Result = TypeVar("Result")


class Strikes:
    """Runs a coroutine and strikes where it is told to."""

    def __init__(
        self, strike: int, error: type[BaseException] | None = None, *, armed: bool = True
    ) -> None:
        """Cancel at the checkpoint with the number ``strike``, from 1, or raise ``error``.

        :param armed: False counts only what comes after the attribute was set.
        """
        self.armed = armed
        self._strike = strike
        self._error = error
        self.passed = 0

    @property
    def struck(self) -> bool:
        """Whether there was such a checkpoint."""
        return self.passed >= self._strike

    async def run(self, work: Coroutine[Any, Any, Result]) -> Result | None:
        """Return what the coroutine returns, None if it was cancelled."""
        with anyio.CancelScope() as scope:
            return await self._drive(work, scope)
        return None

    @coroutine
    def _drive(
        self, work: Coroutine[Any, Any, Result], scope: anyio.CancelScope
    ) -> Generator[Any, Any, Result]:
        answer: Any = None
        error: BaseException | None = None
        while True:
            try:
                trap = work.send(answer) if error is None else work.throw(error)
            except StopIteration as stop:
                result: Result = stop.value
                return result
            error = None
            self.passed += self.armed
            strikes = self.armed and self.passed == self._strike
            if strikes and self._error is not None:
                # Instead of going to sleep, as by a signal that comes right then.
                error = self._error()
                continue
            if strikes:
                scope.cancel()
            try:
                answer = yield trap
            except BaseException as thrown:  # noqa: BLE001 - it is the coroutine's
                error = thrown

"""Wake a task of one event loop from any thread, without waiting.

Law: :meth:`WakeUp.__call__` may be called at any moment, from any thread, signal
handler or finalizer, also after the loop has ended. An anyio portal would not do: its
calls wait for the loop.
"""

from __future__ import annotations

import asyncio
import math
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


class WakeUp:
    """An event of the running loop that any thread can set."""

    def __init__(self) -> None:
        """Bind to the running event loop, asyncio or trio."""
        self._event = anyio.Event()
        self._call_soon = thread_safe_scheduler()

    def __call__(self) -> None:
        """Wake the task; costs a system call, so once per drain and not per event."""
        # A loop that has ended has nobody to wake.
        with suppress(RuntimeError):
            self._call_soon(self.set)

    def set(self) -> None:
        """Wake the task from within its own loop."""
        self._event.set()

    async def wait_until(self, deadline: float) -> None:
        """Return when woken, at the latest at ``deadline`` (:func:`anyio.current_time`).

        A wake-up since the last call counts.
        """
        if math.isinf(deadline):
            await self._event.wait()
        else:
            with anyio.move_on_after(max(0.0, deadline - anyio.current_time())):
                await self._event.wait()
        self._event = anyio.Event()


def thread_safe_scheduler() -> Callable[[Callable[[], object]], object]:
    """Return what schedules a call in the running loop from any thread.

    What it returns neither waits nor takes a lock that the caller could hold, and
    raises RuntimeError when the loop has ended.
    """
    trio = sys.modules.get("trio")
    # Trio first: as a guest of asyncio it runs inside a running asyncio loop.
    if trio is not None and _in_task_of(trio):
        token = trio.lowlevel.current_trio_token()
        return lambda call: token.run_sync_soon(call, idempotent=True)
    return asyncio.get_running_loop().call_soon_threadsafe


def _in_task_of(trio: ModuleType) -> bool:
    # Not in_trio_task(), which came with 0.29: an application may have an older one.
    try:
        trio.lowlevel.current_task()
    except (RuntimeError, AttributeError):
        # No task of its own; or another thread, maybe of ours, is only importing it.
        return False
    return True

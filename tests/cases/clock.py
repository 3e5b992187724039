"""A virtual clock for both event loops: whoever sleeps is woken at once, at the right time.

Law: time stands still while anything can run, the threads that kinesink has started
included, and jumps to the next timer when nothing can.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import sys
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import anyio

from kinesink.shell.exit_safe import InlineFallbackExecutor
from kinesink.shell.wakeup import _in_task_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio.testing import MockClock

    from kinesink.shell.exit_safe import Arguments, Result

EPOCH: Final = 1_800_000_000.0
"""Seconds since the epoch at which virtual time begins."""

_LONGEST_WAIT: Final = 20.0
"""Real seconds that a loop without timers waits for a thread; it never takes so long."""


def wall_clock() -> float:
    """Return the virtual time in seconds since the epoch; in an event loop only."""
    return EPOCH + anyio.current_time()


def backend(name: str) -> tuple[str, dict[str, Any]]:
    """Return what anyio's plugin is to run a test on: the loop, and its clock."""
    if name == "asyncio":
        return name, {"loop_factory": VirtualLoop}
    from trio.testing import MockClock  # noqa: PLC0415 - an extra

    return name, {"clock": MockClock(autojump_threshold=0)}


class _JumpingSelector(selectors.DefaultSelector):
    """Lets time jump where others would sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        #: How many threads are at work on behalf of the loop.
        self.held = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; if nothing is, wait for threads or let the time pass."""
        events = super().select(0)
        if events or timeout == 0:
            return events
        if self.held or timeout is None:
            events = super().select(_LONGEST_WAIT)
            assert events, "the loop waits for something that never comes"
        else:
            self.now += max(0.0, timeout)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop of asyncio whose clock jumps."""

    def __init__(self) -> None:
        self.jumping = _JumpingSelector()
        super().__init__(self.jumping)

    def time(self) -> float:
        """Return the virtual time."""
        return self.jumping.now


class HeldTimeExecutor(InlineFallbackExecutor):
    """Starts threads as kinesink does; time stands still in the loop until they are done."""

    def submit(
        self, fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """Do the work in a thread, and let time go on after all who wait for it know."""
        future: Future[Result] = Future()
        call = partial(copy_context().run, fn, *args, **kwargs)
        let_go = _hold_time()

        def work() -> None:
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - whoever waits is told
                future.set_exception(error)
            else:
                future.set_result(result)
            # The loop may have ended meanwhile.
            with suppress(RuntimeError):
                let_go()

        Thread(target=work, daemon=True).start()
        return future


def _hold_time() -> Callable[[], object]:
    """Stop the clock of the running loop; return what starts it again, from any thread."""
    if "trio" in sys.modules:
        import trio  # noqa: PLC0415 - an extra
        from trio.testing import MockClock  # noqa: PLC0415 - as above

        if _in_task_of(trio):
            clock = trio.lowlevel.current_clock()
            token = trio.lowlevel.current_trio_token()
            if not isinstance(clock, MockClock):
                return int
            _hold(clock, 1)
            return lambda: token.run_sync_soon(_hold, clock, -1)
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        return int
    selector = loop.jumping
    selector.held += 1

    def let_go() -> None:
        selector.held -= 1

    return lambda: loop.call_soon_threadsafe(let_go)


_held: dict[MockClock, int] = {}


def _hold(clock: MockClock, change: int) -> None:
    held = _held.pop(clock, 0) + change
    if held:
        _held[clock] = held
    clock.autojump_threshold = math.inf if held else 0

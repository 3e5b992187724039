"""Waking a task from anywhere."""

from __future__ import annotations

import math
import sys
import threading
import time
import types

import anyio
import pytest

from kinesink.shell.wakeup import WakeUp, thread_safe_scheduler
from tests.shell.support import PATIENCE


async def test_another_thread_wakes_the_task() -> None:
    """However long the task would have slept."""
    wake = WakeUp()
    threading.Thread(target=wake).start()
    with anyio.fail_after(PATIENCE):
        await wake.wait_until(math.inf)


async def test_a_wake_up_before_the_wait_counts_once() -> None:
    """Nothing is lost between two waits, and nothing counts twice."""
    wake = WakeUp()
    wake.set()
    await wake.wait_until(math.inf)
    began = anyio.current_time()
    await wake.wait_until(began + 0.01)
    assert anyio.current_time() >= began + 0.01


async def test_a_deadline_that_has_passed_yields_to_the_loop() -> None:
    """The task cannot keep others from running, whatever deadlines it gets."""
    wake = WakeUp()
    others = 0

    async def count() -> None:
        nonlocal others
        while True:
            others += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        for _ in range(10):
            await wake.wait_until(anyio.current_time() - 1)
        tasks.cancel_scope.cancel()
    assert others >= 5


async def test_many_wake_ups_are_one() -> None:
    """A wake-up that is under way already is not repeated without need."""
    wake = WakeUp()
    for _ in range(100):
        wake()
    await wake.wait_until(math.inf)


def test_nobody_is_woken_after_the_loop_has_ended(anyio_backend: str) -> None:
    """A late event finds no loop, and that is no error of the caller's."""

    async def make() -> WakeUp:
        return WakeUp()

    wake = anyio.run(make, backend=anyio_backend)
    wake()


def test_a_scheduler_says_when_its_loop_has_ended(anyio_backend: str) -> None:
    """RuntimeError on both backends, so that callers need to know none."""

    async def make() -> object:
        return thread_safe_scheduler()

    schedule = anyio.run(make, backend=anyio_backend)
    assert callable(schedule)
    with pytest.raises(RuntimeError):
        schedule(time.monotonic)


async def test_a_trio_that_is_only_being_imported_runs_nobody(
    anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread may be in the middle of that, while asyncio runs this one."""
    if anyio_backend_name == "asyncio":
        monkeypatch.setitem(sys.modules, "trio", types.ModuleType("trio"))
    wake = WakeUp()
    wake()
    await wake.wait_until(math.inf)

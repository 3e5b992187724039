"""Connections are shared out by equal parts."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from kinesink.shell.connections import Connections


class Calls:
    """Calls that last until they are ended."""

    def __init__(self, total: int) -> None:
        self.connections = Connections(total)
        self.begun: list[str] = []
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._ends: dict[str, anyio.Event] = {}

    async def make(self, name: str) -> None:
        """Make a call; the first letter of its name is its party."""
        self._ends[name] = anyio.Event()
        with anyio.CancelScope() as self._scopes[name]:
            async with self.connections.call(name[0]):
                self.begun.append(name)
                await self._ends[name].wait()

    async def end(self, name: str) -> None:
        """Let a call end, and others begin."""
        self._ends[name].set()
        await anyio.wait_all_tasks_blocked()

    async def cancel(self, name: str) -> None:
        """Cancel a call, wherever it is."""
        self._scopes[name].cancel()
        await anyio.wait_all_tasks_blocked()


async def begin(tasks: anyio.abc.TaskGroup, calls: Calls, *names: str) -> None:
    """Begin calls one after the other."""
    for name in names:
        tasks.start_soon(calls.make, name)
        await anyio.wait_all_tasks_blocked()


async def test_one_party_may_use_all_and_no_more() -> None:
    """The next begins when one ends, in their order."""
    calls = Calls(2)
    async with anyio.create_task_group() as tasks:
        await begin(tasks, calls, "a1", "a2", "a3", "a4")
        assert calls.begun == ["a1", "a2"]
        await calls.end("a2")
        assert calls.begun == ["a1", "a2", "a3"]
        for name in ("a1", "a3", "a4"):
            await calls.end(name)
    assert calls.begun == ["a1", "a2", "a3", "a4"]
    assert not calls.connections._under_way


async def test_a_party_that_comes_later_has_its_part_at_once() -> None:
    """Though another has taken everything; it has to wait for more than its part."""
    calls = Calls(4)
    async with anyio.create_task_group() as tasks:
        await begin(tasks, calls, "a1", "a2", "a3", "a4", "a5", "b1", "b2", "b3")
        assert calls.begun == ["a1", "a2", "a3", "a4", "b1", "b2"]
        await calls.end("a1")
        await calls.end("a2")
        assert calls.begun[6:] == []
        await calls.end("a3")
        # Who has least goes first.
        assert calls.begun[6:] == ["a5"]
        tasks.cancel_scope.cancel()
    assert not calls.connections._under_way
    assert not calls.connections._waiting


@pytest.mark.parametrize("parties", [1, 3, 10])
async def test_every_party_has_one_at_least(parties: int) -> None:
    """However many there are."""
    calls = Calls(2)
    names = [chr(ord("a") + number) for number in range(parties)]
    async with anyio.create_task_group() as tasks:
        await begin(tasks, calls, *names)
        assert calls.begun == names
        tasks.cancel_scope.cancel()


async def test_a_call_cancelled_in_line_takes_nobodys_place() -> None:
    """Nor does it keep one."""
    calls = Calls(1)
    async with anyio.create_task_group() as tasks:
        await begin(tasks, calls, "a1", "a2", "a3")
        await calls.cancel("a2")
        assert calls.begun == ["a1"]
        await calls.cancel("a1")
        assert calls.begun == ["a1", "a3"]
        await calls.end("a3")
    assert not calls.connections._under_way


async def test_a_call_cancelled_at_the_moment_of_its_turn_gives_it_back() -> None:
    """The turn was given, and nobody is there to take it."""
    calls = Calls(1)
    async with anyio.create_task_group() as tasks:
        await begin(tasks, calls, "a1", "a2", "a3")
        calls._ends["a1"].set()
        while calls.connections._under_way["a"] == 1 and len(calls.connections._waiting) == 2:
            await anyio.lowlevel.checkpoint()
        await calls.cancel("a2")
        assert "a3" in calls.begun
        tasks.cancel_scope.cancel()
    assert not calls.connections._under_way

"""A machine that slept: what was connected before is not used, and no answer is waited for."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest

from kinesink.config import Config
from kinesink.core.records import Failure
from kinesink.shell.exchange import Answer, Exchange
from tests.shell.test_exchange import OK, answer_twice, peer, request_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.shell.test_exchange import Connection, Peer


class Clocks:
    """By how much the wall clock is ahead: a suspended machine's other clock stands still."""

    def __init__(self) -> None:
        self.ahead = 1_000_000.0

    def __call__(self) -> float:
        """Return it, in seconds."""
        return self.ahead


@asynccontextmanager
async def exchange(server: Peer, clocks: Clocks) -> AsyncIterator[Exchange]:
    """Keep connections to a server, by these clocks."""
    kept = Exchange(Config("s"), request_to(server.url).destination, None, clocks)
    try:
        yield kept
    finally:
        await kept.aclose()


@pytest.mark.parametrize(
    ("moved", "connections"), [(0.0, 1), (4.0, 1), (-3600.0, 1), (6.0, 2), (600.0, 2)]
)
async def test_a_connection_of_before_a_sleep_is_not_used_after_it(
    moved: float, connections: int
) -> None:
    """Though it looks open; a clock that is set by seconds, or back, costs no connection."""
    clocks = Clocks()
    async with peer(answer_twice) as server, exchange(server, clocks) as kept:
        assert isinstance(await kept.post(request_to(server.url)), Answer)
        clocks.ahead += moved
        assert isinstance(await kept.post(request_to(server.url)), Answer)
        assert server.connections == connections


async def test_an_answer_that_was_due_before_a_sleep_is_not_waited_for() -> None:
    """It can go again at once: its timeout may not have run on while the machine slept."""
    clocks = Clocks()
    first_is_there = anyio.Event()

    async def never_answer_the_first(connection: Connection) -> None:
        if server.connections == 1:
            await connection.read_request()
            first_is_there.set()
            await anyio.sleep_forever()
        await connection.answer(OK)

    outcomes: list[Answer | Failure] = []
    async with peer(never_answer_the_first) as server, exchange(server, clocks) as kept:

        async def ask() -> None:
            outcomes.append(await kept.post(request_to(server.url)))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await first_is_there.wait()
            clocks.ahead += 600.0
            second = await kept.post(request_to(server.url))
        assert isinstance(second, Answer)
        (first,) = outcomes
        assert isinstance(first, Failure)
        assert first.code == "StaleConnection"
        assert first.message.startswith("the machine slept while an answer was due (127.0.0.1")
        assert not kept._under_way

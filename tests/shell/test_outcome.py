"""What the caller of Producer.put may await."""

from __future__ import annotations

import anyio

from kinesink.core.records import RecordResult
from kinesink.shell.outcome import Outcome

RESULT = RecordResult(
    success=True, shard_id="shardId-000000000000", sequence_number="1", attempts=()
)


async def test_any_number_of_tasks_may_wait() -> None:
    """Each gets the result; whoever comes later, at once."""
    outcome, got = Outcome(), list[RecordResult]()

    async def wait() -> None:
        got.append(await outcome.wait())

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert (got, outcome.done) == ([], False)
        outcome.resolve(RESULT)
    assert got == [RESULT] * 3
    assert await outcome.wait() is RESULT


async def test_one_that_gives_up_leaves_the_others() -> None:
    """Cancelling a wait changes nothing for the record."""
    outcome = Outcome()
    with anyio.move_on_after(0):
        await outcome.wait()
    outcome.resolve(RESULT)
    assert (outcome.done, await outcome.wait()) == (True, RESULT)

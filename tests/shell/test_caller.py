"""Calls that the core asks for, and the time they have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import anyio

from kinesink.core.collector import PutRecordsRequest
from kinesink.core.effects import SendRequest
from kinesink.core.records import Failure
from kinesink.core.retry_policy import READ_TIMEOUT
from kinesink.shell.caller import Caller
from tests.shell.support import PATIENCE, make_config

if TYPE_CHECKING:
    from kinesink.shell.kinesis import KinesisClient


class Client:
    """Never answers."""

    def __init__(self) -> None:
        self.timeouts: list[float] = []

    async def put_records(self, *_: object, timeout: float) -> None:  # noqa: ASYNC109 - as the real one
        """Wait for ever, against all promises."""
        self.timeouts.append(timeout)
        await anyio.sleep_forever()


class Pipeline:
    """Takes what came of a request."""

    outcome: Any = None

    def take(self, outcome: Any) -> None:  # noqa: ANN401 - a partial of a verb
        """Keep the outcome."""
        self.outcome = outcome.keywords["outcome"]


async def test_t1_a_call_that_gets_no_connection_ends_when_its_time_is_over() -> None:
    """It has waited for another of its own kind, and never reached the client."""
    client, pipeline = Client(), Pipeline()
    caller = Caller(make_config(max_connections=1), cast("KinesisClient", client), _no_report)
    first, second = (
        SendRequest(PutRecordsRequest([], []), timeout=timeout) for timeout in (PATIENCE, 0.05)
    )
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(caller.make, "app", first)
            await anyio.wait_all_tasks_blocked()
            pipeline.take(await caller.make("app", second))
            tasks.cancel_scope.cancel()
    assert client.timeouts == [PATIENCE]
    assert pipeline.outcome == Failure(READ_TIMEOUT, "no connection was free in 0.05 s")


def _no_report(stream_name: str, error: Exception) -> None:
    raise AssertionError(stream_name) from error

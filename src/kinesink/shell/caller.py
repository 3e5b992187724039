"""The calls to Kinesis that the core asks for: made, and their outcome handed back.

Law: every call ends in an outcome for the pipeline that asked, whatever it raises; and
the calls of one stream, however long they hang, keep none of another from beginning.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import anyio

from kinesink.core.effects import ListShards, SendRequest
from kinesink.core.pipeline import Pipeline
from kinesink.core.records import Failure
from kinesink.core.retry_policy import OWN_ERROR, READ_TIMEOUT
from kinesink.shell.connections import Connections

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kinesink.config import Config
    from kinesink.core.effects import DescribeStream
    from kinesink.shell.kinesis import KinesisClient

    Call = SendRequest | ListShards | DescribeStream
    Report = Callable[[str, Exception], None]

Result = TypeVar("Result")

#: The code of calls that fail for what the machine lacks: tried again after a while.
LACKING: Final = "LocalResourceError"


class Caller:
    """Makes calls, each in a task of its own."""

    def __init__(self, config: Config, client: KinesisClient, report: Report) -> None:
        """Begin without any call.

        :param report: called with the stream's name and what a call has raised.
        """
        self._client = client
        self._timeout = config.request_timeout
        self._connections = Connections(config.max_connections)
        self._report = report

    async def make(self, stream_name: str, call: Call) -> Callable[[Pipeline], None]:
        """Make a call; return what takes its outcome into the pipeline."""
        match call:
            case SendRequest(request=request, timeout=timeout):
                put = partial(self._client.put_records, stream_name, request.wire)
                sent = await self._outcome_of(stream_name, "PutRecords", put, timeout)
                now = anyio.current_time()
                return partial(Pipeline.request_done, request=request, outcome=sent, now=now)
            case ListShards():
                ask = partial(self._client.list_shards, stream_name)
                listing = await self._outcome_of(stream_name, "ListShards", ask, self._timeout)
                now = anyio.current_time()
                return partial(Pipeline.shards_listed, listing=listing, now=now)
            case _:
                describe = partial(self._client.describe_stream_summary, stream_name)
                summary = await self._outcome_of(
                    stream_name, "DescribeStreamSummary", describe, self._timeout
                )
                now = anyio.current_time()
                return partial(Pipeline.stream_described, summary=summary, now=now)

    async def _outcome_of(
        self,
        stream_name: str,
        operation: str,
        call: Callable[..., Awaitable[Result]],
        timeout: float,  # noqa: ASYNC109 - its end is an outcome like others
    ) -> Result | Failure:
        """Await a call; a question whose answer never came would never be asked again."""
        began = anyio.current_time()
        try:
            with anyio.move_on_after(timeout) as waiting:
                async with self._connections.call((stream_name, operation)):
                    # From here on the client keeps the time, and knows what took so long.
                    waiting.deadline = math.inf
                    # Rounded, because people read it.
                    waited = round(anyio.current_time() - began, 2)
                    return await call(timeout=timeout - waited)
        except Exception as error:  # noqa: BLE001 - see above
            self._report(stream_name, error)
            # What the machine lacks, such as memory or file handles, is no record's fault.
            lacking = isinstance(error, (OSError, MemoryError))
            return Failure(LACKING if lacking else OWN_ERROR, repr(error))
        return Failure(READ_TIMEOUT, f"no connection was free in {timeout:g} s")

"""What a Lambda function runs in, as far as kinesink meets it: a loop, and a client for results.

Invocations come in by standard input and results go out by standard output, each a line of
JSON. The names that matter are those of AWS's own runtime: of the module, of the class, of
its methods, and of the argument that holds the end of the invocation's time.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    Handler = Callable[[Any, Any], object]


class Invocation(NamedTuple):
    """What is to be done, and by when, in milliseconds since the epoch."""

    id: str
    event: object
    deadline: int


class Context:
    """What a handler is told beside the event."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def get_remaining_time_in_millis(self) -> int:
        """Return how much is left of the invocation's time."""
        return max(0, int(self._deadline - time.time() * 1000))


class LambdaRuntimeClient:
    """Gets invocations and hands in what came of them."""

    def __init__(self) -> None:
        self._deadline = 0

    def wait_next_invocation(self) -> Invocation | None:
        """Return the next invocation; None if there will be none."""
        line = sys.stdin.readline()
        if not line:
            return None
        told = json.loads(line)
        self._deadline = int((time.time() + told["seconds"]) * 1000)
        return Invocation(told["id"], told["event"], self._deadline)

    def post_invocation_result(
        self, invoke_id: str, result_data: str, content_type: str = "application/json"
    ) -> None:
        """Hand in a result."""
        self._say(id=invoke_id, result=json.loads(result_data), content_type=content_type)

    def post_invocation_error(self, invoke_id: str, error_response_data: str) -> None:
        """Hand in the exception that a handler has ended with."""
        self._say(id=invoke_id, error=error_response_data)

    def _say(self, **members: object) -> None:
        members["left"] = self._deadline / 1000 - time.time()
        os.write(1, json.dumps(members).encode() + b"\n")


def handle_event_request(
    client: LambdaRuntimeClient,
    handler: Handler,
    invoke_id: str,
    event: object,
    epoch_deadline_time_in_ms: int,
) -> None:
    """Call the handler once and hand in what comes of it."""
    try:
        result = json.dumps(handler(event, Context(epoch_deadline_time_in_ms)))
    except Exception as error:  # noqa: BLE001 - whatever the handler raises
        client.post_invocation_error(invoke_id, repr(error))
    else:
        client.post_invocation_result(invoke_id, result)


def run(handler: Handler) -> None:
    """Call the handler for each invocation until there are no more."""
    client = LambdaRuntimeClient()
    while (invocation := client.wait_next_invocation()) is not None:
        handle_event_request(client, handler, *invocation)

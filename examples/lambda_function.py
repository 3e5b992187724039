"""AWS Lambda: what an invocation has logged is in the stream before its result is handed in.

Between two invocations Lambda freezes the process, threads and all. In its own runtime for Python
kinesink delivers by itself before that, without the decorator below; the decorator does so in any
runtime, lets a function choose how long to wait, and shows here what happens.

Runs without AWS, on a Kinesis in memory, and calls the handler twice as Lambda would. On AWS the
function needs no more than the part between the two lines.
"""

import json
import logging
import os
import time
from typing import Any

import kinesink
from kinesink.testing import FakeKinesis

DUMMIES = {
    "AWS_ACCESS_KEY_ID": "dummy",
    "AWS_SECRET_ACCESS_KEY": "dummy",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "NO_PROXY": "127.0.0.1",
}

# ---- the function ----------------------------------------------------------------------

logger = logging.getLogger("orders")
logger.setLevel(logging.INFO)


def begin() -> None:
    """Configure logging; on AWS this stands in the module itself, and runs once."""
    logger.addHandler(kinesink.KinesisHandler("app-logs"))
    # Logged while the function begins, so that the sink begins then as well, and not in the
    # time of the first invocation.
    logger.info("cold start")


@kinesink.lambda_handler(timeout="10s")
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Place an order."""
    request_id = getattr(context, "aws_request_id", None)
    logger.info("order %s paid", event["order"], extra={"request_id": request_id})
    if event["amount"] < 0:
        raise ValueError("nobody pays a negative amount")
    return {"order": event["order"]}


# ---- Lambda, in a few lines --------------------------------------------------------------


class Context:
    """What Lambda tells a handler beside the event."""

    def __init__(self, request_id: str, seconds: float) -> None:
        self.aws_request_id = request_id
        self._deadline = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        """Return how much is left of the invocation's time."""
        return int((self._deadline - time.monotonic()) * 1000)


fake = FakeKinesis()
fake.create_stream("app-logs", shards=2)


def messages() -> list[tuple[str, str | None]]:
    """Return what is in the stream: each message, and the request that logged it."""
    events = [json.loads(record.data) for record in fake.user_records("app-logs")]
    return [(each["message"], each.get("attributes", {}).get("request_id")) for each in events]


with fake.serve() as server:
    # On AWS: without these two lines, the role of the function is enough.
    os.environ.update(DUMMIES)
    os.environ["KINESINK_ENDPOINT_URL"] = server.endpoint_url

    begin()
    began = time.monotonic()
    assert handler({"order": 17, "amount": 12.5}, Context("r-1", 30)) == {"order": 17}
    print(f"first invocation, the sink's start included: {time.monotonic() - began:.3f} s")
    # Nothing was flushed or waited for out here.
    assert set(messages()) == {("cold start", None), ("order 17 paid", "r-1")}

    began = time.monotonic()
    try:
        handler({"order": 18, "amount": -1}, Context("r-2", 30))
    except ValueError as error:
        print(f"second invocation: {time.monotonic() - began:.3f} s, and its own error: {error}")
    assert ("order 18 paid", "r-2") in messages()

print(*messages(), sep="\n")

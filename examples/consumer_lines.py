"""Lines, compressed, for a consumer that knows nothing of aggregated records: a Lambda function.

Runs without AWS, on a Kinesis in memory. `kinesink.deaggregate` reads every framing, so the
function below also takes aggregated records, should the producer be configured otherwise.
"""

import base64
import json
import os
from typing import Any

import kinesink
from kinesink.testing import FakeKinesis

DUMMIES = {
    "AWS_ACCESS_KEY_ID": "dummy",
    "AWS_SECRET_ACCESS_KEY": "dummy",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "NO_PROXY": "127.0.0.1",
}


def lambda_handler(event: dict[str, Any], _context: object) -> int:
    """Return how many orders a batch from a Kinesis event source holds."""
    orders = 0
    for record in event["Records"]:
        data = base64.b64decode(record["kinesis"]["data"])
        for logged in kinesink.deaggregate(data):
            orders += "order" in json.loads(logged.data)
    return orders


fake = FakeKinesis()
fake.create_stream("orders", shards=2)
with fake.serve() as server:
    os.environ.update(DUMMIES)

    # On AWS: without endpoint_url, and region_name="eu-west-1" if the environment names none.
    config = kinesink.Config(
        "orders", framing="lines", compression="gzip", endpoint_url=server.endpoint_url
    )
    sink = kinesink.Sink(config)
    for number in range(5_000):
        sink.put(b'{"order":%d,"currency":"EUR","positions":[]}' % number)
    assert sink.close(), sink.statistics()

stored = fake.records("orders")
batch = {
    "Records": [{"kinesis": {"data": base64.b64encode(record.data).decode()}} for record in stored]
}
assert lambda_handler(batch, None) == 5_000
statistics = sink.statistics()
print(f"{len(stored)} records, {statistics.delivered_bytes} bytes of events")
print(f"sent as {statistics.sent_bytes} bytes")
assert statistics.sent_bytes < statistics.delivered_bytes / 3

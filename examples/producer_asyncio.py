"""A Producer in an asyncio program: each record's own result, with every attempt."""

import asyncio
import os

from kinesink import Config, Producer
from kinesink.testing import FakeKinesis, ThrottleEntries

DUMMIES = {
    "AWS_ACCESS_KEY_ID": "dummy",
    "AWS_SECRET_ACCESS_KEY": "dummy",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "NO_PROXY": "127.0.0.1",
}


async def main(endpoint_url: str) -> None:
    """Put some records, and look at what became of them."""
    # On AWS: Config("orders").
    async with Producer(Config("orders", endpoint_url=endpoint_url)) as producer:
        outcomes = [
            await producer.put(f"order {number}".encode(), partition_key=f"customer-{number % 7}")
            for number in range(100)
        ]
        results = [await outcome.wait() for outcome in outcomes]

    assert all(result.success for result in results)
    first = results[0]
    print(f"in {first.shard_id} as {first.sequence_number}")
    for attempt in first.attempts:
        print(f"  {attempt.duration * 1000:.0f} ms: {attempt.error_code or 'taken'}")


fake = FakeKinesis()
fake.create_stream("orders", shards=2)
fake.script(ThrottleEntries(times=2))  # so that there is something to retry
with fake.serve() as server:
    os.environ.update(DUMMIES)
    asyncio.run(main(server.endpoint_url))
assert {record.data for record in fake.user_records("orders")} == {
    f"order {number}".encode() for number in range(100)
}

"""A Producer in a trio program. The same code as on asyncio; ``pip install 'kinesink[trio]'``."""

import os

import trio

from kinesink import Config, Producer
from kinesink.testing import FakeKinesis

DUMMIES = {
    "AWS_ACCESS_KEY_ID": "dummy",
    "AWS_SECRET_ACCESS_KEY": "dummy",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "NO_PROXY": "127.0.0.1",
}


async def put(producer: Producer, number: int) -> None:
    """Put one record and wait for its result; any number of tasks may."""
    outcome = await producer.put(f"order {number}".encode())
    result = await outcome.wait()
    assert result.success, result.error


async def main(endpoint_url: str) -> None:
    """Put records from many tasks."""
    # On AWS: Config("orders").
    async with Producer(Config("orders", endpoint_url=endpoint_url)) as producer:
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                for number in range(100):
                    nursery.start_soon(put, producer, number)
        print(producer.statistics())


fake = FakeKinesis()
fake.create_stream("orders", shards=2)
with fake.serve() as server:
    os.environ.update(DUMMIES)
    trio.run(main, server.endpoint_url)
assert {record.data for record in fake.user_records("orders")} == {
    f"order {number}".encode() for number in range(100)
}

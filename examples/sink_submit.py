"""A Sink that tells what became of each record: futures, from threads and from asyncio."""

import asyncio
import os

from kinesink import Config, Sink
from kinesink.testing import FakeKinesis

DUMMIES = {
    "AWS_ACCESS_KEY_ID": "dummy",
    "AWS_SECRET_ACCESS_KEY": "dummy",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "NO_PROXY": "127.0.0.1",
}


async def from_asyncio(sink: Sink) -> None:
    """Wait for a result without blocking the event loop; in trio: in a worker thread."""
    result = await asyncio.wrap_future(sink.submit(b"from asyncio"))
    assert result.success, result


fake = FakeKinesis()
fake.create_stream("payments", shards=2)
with fake.serve() as server:
    os.environ.update(DUMMIES)

    # On AWS: without endpoint_url.
    sink = Sink(Config("payments", endpoint_url=server.endpoint_url))

    # submit returns at once; result() waits, in whichever thread asks.
    future = sink.submit(b"payment 17", partition_key="customer-4")
    print(future.result(timeout=10))

    # A callback runs in a thread of its own: it holds up no delivery.
    failures: list[object] = []
    for number in range(100):
        sink.submit(b"payment %d" % number).add_done_callback(
            lambda done: None if done.result().success else failures.append(done.result())
        )
    asyncio.run(from_asyncio(sink))
    assert sink.close(), sink.statistics()

assert not failures
assert sink.statistics().delivered == 102
print(sink.statistics())

"""One Producer, many streams: each with its own shards and account, none in another's way."""

import asyncio
import os

from kinesink import Config, Producer
from kinesink.testing import AccessDenied, FakeKinesis

DUMMIES = {
    "AWS_ACCESS_KEY_ID": "dummy",
    "AWS_SECRET_ACCESS_KEY": "dummy",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "NO_PROXY": "127.0.0.1",
}


async def main(endpoint_url: str) -> None:
    """Send events of several kinds, one stream each; one of them may not be written to."""
    # On AWS: without endpoint_url, and region_name="eu-west-1" if the environment names none.
    config = Config("orders", endpoint_url=endpoint_url, on_error=lambda _, text: print(text))
    async with Producer(config) as producer:
        forbidden = await producer.put(b"who did what", stream_name="audit")
        for number in range(50):
            await producer.put(b"order %d" % number)
            await producer.put(b"click %d" % number, stream_name="clicks")
        result = await forbidden.wait()
        print(result)

        # Deliver and account now; leaving the block would do the same.
        await producer.aclose()
        assert producer.statistics("orders").delivered == 50
        assert producer.statistics("clicks").delivered == 50
        assert producer.statistics("audit").lost == 1
    print(producer.statistics())


fake = FakeKinesis()
for name in ("orders", "clicks", "audit"):
    fake.create_stream(name, shards=2)
fake.script(AccessDenied(stream="audit", operation="PutRecords"))
with fake.serve() as server:
    os.environ.update(DUMMIES)
    asyncio.run(main(server.endpoint_url))

"""A Sink: bytes of your own, from any thread, without an event loop and without waiting."""

import os
import threading

from kinesink import Config, Sink
from kinesink.testing import FakeKinesis

DUMMIES = {
    "AWS_ACCESS_KEY_ID": "dummy",
    "AWS_SECRET_ACCESS_KEY": "dummy",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "NO_PROXY": "127.0.0.1",
}


def measure(sink: Sink, sensor: str) -> None:
    """Send what one sensor measures; its name as key keeps its values in one shard, in order."""
    for value in range(1000):
        sink.put(f"{sensor},{value}\n".encode(), partition_key=sensor)


fake = FakeKinesis()
fake.create_stream("measurements", shards=4)
with fake.serve() as server:
    os.environ.update(DUMMIES)

    # On AWS: without endpoint_url.
    sink = Sink(Config("measurements", endpoint_url=server.endpoint_url))
    sensors = [f"sensor-{number}" for number in range(4)]
    threads = [threading.Thread(target=measure, args=(sink, sensor)) for sensor in sensors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sink.close(), sink.statistics()

arrived = fake.user_records("measurements")
for sensor in sensors:
    values = [
        int(each.data.decode().split(",")[1]) for each in arrived if each.partition_key == sensor
    ]
    assert values == list(range(1000))
print(sink.statistics())

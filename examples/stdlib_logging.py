"""Five lines: a handler, and whatever the program logs is in the stream when it ends.

Runs without AWS, on a Kinesis in memory. On AWS you need neither the fake nor the variables:

    logging.basicConfig(level="INFO", handlers=[kinesink.KinesisHandler("app-logs")])
"""

import json
import logging
import os

import kinesink
from kinesink.testing import FakeKinesis

DUMMIES = {
    "AWS_ACCESS_KEY_ID": "dummy",
    "AWS_SECRET_ACCESS_KEY": "dummy",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "NO_PROXY": "127.0.0.1",
}

fake = FakeKinesis()
fake.create_stream("app-logs", shards=2)
with fake.serve() as server:
    os.environ.update(DUMMIES)

    # On AWS: without endpoint_url, and region_name="eu-west-1" if the environment names none.
    handler = kinesink.KinesisHandler("app-logs", endpoint_url=server.endpoint_url)
    logging.basicConfig(level="INFO", handlers=[handler])

    logger = logging.getLogger("shop")
    logger.info("order %s paid", 17, extra={"amount": 12.5})
    try:
        int("a dozen")
    except ValueError:
        logger.exception("order %s has no quantity", 18)

    # At exit this happens by itself; here the fake would be gone by then.
    assert handler.flush(), handler.statistics()

paid, failed = (json.loads(record.data) for record in fake.user_records("app-logs"))
print(json.dumps(paid, indent=2))
assert paid["message"] == "order 17 paid"
assert paid["attributes"] == {"amount": 12.5}
assert failed["exception"]["type"] == "ValueError"
print(handler.statistics())

"""The handler in ``logging.config.dictConfig``, as Django and most frameworks configure it.

The text below is JSON, which is YAML as well: every parameter is a plain value, sizes and times
may have units. The same keys work in a YAML file and in Django's ``LOGGING``.
"""

import json
import logging
import logging.config
import os

import kinesink
from kinesink.testing import FakeKinesis

LOGGING = """{
  "version": 1,
  "disable_existing_loggers": false,
  "handlers": {
    "kinesis": {
      "class": "kinesink.KinesisHandler",
      "level": "INFO",
      "stream_name": "app-logs",
      "partition_key": "logger",
      "linger": "250ms",
      "static_fields": {"team": "checkout"},
      "redact": "default",
      "time_to_live": "10min",
      "max_pending_bytes": "16MiB"
    }
  },
  "root": {"level": "DEBUG", "handlers": ["kinesis"]}
}"""

DUMMIES = {
    "AWS_ACCESS_KEY_ID": "dummy",
    "AWS_SECRET_ACCESS_KEY": "dummy",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "NO_PROXY": "127.0.0.1",
}

fake = FakeKinesis()
fake.create_stream("app-logs", shards=4)
with fake.serve() as server:
    # On AWS: without these two lines. Any parameter may come from a KINESINK_ variable.
    os.environ.update(DUMMIES)
    os.environ["KINESINK_ENDPOINT_URL"] = server.endpoint_url

    logging.config.dictConfig(json.loads(LOGGING))
    for number in range(100):
        logging.getLogger("shop.orders").info("order %d paid", number)
        logging.getLogger("shop.orders").debug("not shipped: the handler begins at INFO")
        logging.getLogger("shop.cart").warning("cart %d is empty", number)
    logging.getLogger("shop.orders").info("card added", extra={"card": {"token": "4711"}})

    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, kinesink.KinesisHandler)
    assert handler.flush(), handler.statistics()

arrived = fake.user_records("app-logs")
assert len(arrived) == 201
events = [json.loads(record.data) for record in arrived]
assert {event["team"] for event in events} == {"checkout"}
(added,) = (event for event in events if event["message"] == "card added")
assert added["attributes"] == {"card": {"token": "[redacted]"}}
# partition_key "logger": all events of one logger are in one shard, in their order.
for logger in ("shop.orders", "shop.cart"):
    shards = [
        record.shard_id
        for record, event in zip(arrived, events, strict=True)
        if event["logger"] == logger
    ]
    assert len(set(shards)) == 1
    print(f"{logger}: {len(shards)} events in {shards[0]}")

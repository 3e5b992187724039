"""The handler in ``logging.config.fileConfig``; the configuration is logging_fileconfig.ini."""

import json
import logging
import logging.config
import os
from pathlib import Path

import kinesink
from kinesink.testing import FakeKinesis

DUMMIES = {
    "AWS_ACCESS_KEY_ID": "dummy",
    "AWS_SECRET_ACCESS_KEY": "dummy",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "NO_PROXY": "127.0.0.1",
}

fake = FakeKinesis()
fake.create_stream("app-logs")
with fake.serve() as server:
    # On AWS: without these two lines.
    os.environ.update(DUMMIES)
    os.environ["KINESINK_ENDPOINT_URL"] = server.endpoint_url

    logging.config.fileConfig(Path(__file__).with_suffix(".ini"), disable_existing_loggers=False)
    logging.getLogger("shop").info("order %s paid", 17)

    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, kinesink.KinesisHandler)
    assert handler.flush(), handler.statistics()

(event,) = (json.loads(record.data) for record in fake.user_records("app-logs"))
assert event["message"] == "order 17 paid"
print(event)

"""loguru: a KinesisHandler is one of its sinks; needs ``loguru``.

loguru turns each message into a LogRecord for the handler. Two things make fields of what would
be text: a format that is the message alone (loguru's own would put time, level and traceback into
it, which the event has as fields), and a filter that makes each bound value an attribute. The
handler never waits, so ``enqueue=True`` is not needed.
"""

import json
import logging
import os
from typing import TYPE_CHECKING

from loguru import logger

import kinesink
from kinesink.testing import FakeKinesis

if TYPE_CHECKING:
    import loguru

DUMMIES = {
    "AWS_ACCESS_KEY_ID": "dummy",
    "AWS_SECRET_ACCESS_KEY": "dummy",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "NO_PROXY": "127.0.0.1",
}


def message_alone(_: "loguru.Record") -> str:
    """Return a format; as a function, because loguru adds the traceback to one that is text."""
    return "{message}"


def bound_values_as_attributes(record: logging.LogRecord) -> bool:
    """Make one mapping of message and bound values; a filter, and everything passes.

    loguru hands bound values over as one attribute named ``extra``. The record is the handler's
    own, so it may be changed.
    """
    record.msg = {**record.__dict__.pop("extra"), "message": record.msg}
    return True


fake = FakeKinesis()
fake.create_stream("app-logs", shards=2)
with fake.serve() as server:
    os.environ.update(DUMMIES)

    # On AWS: without endpoint_url, and region_name="eu-west-1" if the environment names none.
    handler = kinesink.KinesisHandler("app-logs", endpoint_url=server.endpoint_url)
    handler.addFilter(bound_values_as_attributes)
    logger.remove()  # without its sink on standard error, to keep this example quiet
    logger.add(handler, level="INFO", format=message_alone)

    with logger.contextualize(request_id="r-1"):
        logger.bind(amount=12.5).success("order {order} paid", order=17)
        logger.debug("not shipped: the sink begins at INFO")
        try:
            int("a dozen")
        except ValueError:
            logger.exception("order {order} has no quantity", order=18)

    # At exit this happens by itself; here the fake would be gone by then.
    assert handler.flush(), handler.statistics()

paid, failed = (json.loads(record.data) for record in fake.user_records("app-logs"))
print(json.dumps(paid, indent=2))
assert paid["message"] == "order 17 paid"
assert paid["level"] == "SUCCESS"
assert paid["attributes"] == {"request_id": "r-1", "amount": 12.5, "order": 17}
assert failed["message"] == "order 18 has no quantity"
assert failed["exception"]["type"] == "ValueError"
assert failed["attributes"] == {"request_id": "r-1", "order": 18}
print(handler.statistics())

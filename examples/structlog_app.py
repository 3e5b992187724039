"""structlog: each event goes to Kinesis and on to the console; needs ``kinesink[structlog]``.

KinesisProcessor stands before the renderer, so the stream gets fields and the console gets text.
The second chain has Kinesis as its only output: KinesisLoggerFactory, at the end of a chain that
renders JSON of its own. Both share one sink: one thread, one connection pool, one account.
"""

import json
import os
import sys

import structlog

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
    # On AWS: without this line. What is given by variable counts for both chains.
    os.environ["KINESINK_ENDPOINT_URL"] = server.endpoint_url

    to_kinesis = kinesink.KinesisProcessor("app-logs")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            to_kinesis,
            structlog.dev.ConsoleRenderer(
                colors=False, exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("INFO"),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    log = structlog.get_logger()

    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        log.info("order paid", order=17, amount=12.5)
        log.debug("not shipped: the chain begins at info")
        try:
            int("a dozen")
        except ValueError:
            log.exception("no quantity", order=18)

    factory = kinesink.KinesisLoggerFactory("app-logs")
    audit = structlog.wrap_logger(
        factory("audit"),
        processors=[
            structlog.stdlib.add_logger_name,
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
    )
    audit.info("logged in", user="ann")

    # At exit this happens by itself; here the fake would be gone by then.
    assert to_kinesis.flush(), to_kinesis.statistics()

paid, failed, seen = (json.loads(record.data) for record in fake.user_records("app-logs"))
assert paid["message"] == "order paid"
assert paid["level"] == "INFO"
assert paid["attributes"] == {"request_id": "r-1", "order": 17, "amount": 12.5}
assert failed["level"] == "ERROR"
assert failed["exception"]["type"] == "ValueError"
assert failed["attributes"] == {"request_id": "r-1", "order": 18}
# What a renderer has made is shipped as it is.
assert seen == {"event": "logged in", "logger": "audit", "user": "ann"}
# Two doors of one configuration, one account.
assert to_kinesis.statistics() == factory.statistics()
assert factory.statistics().delivered == 3
print(json.dumps(paid, indent=2))
print(factory.statistics())

"""How to see losses: the account of a handler, and a callback that hears of trouble.

The first event arrives. Then the service fails, and the next ones are too old before it takes
them: dropped, counted by reason, and reported once.
"""

import logging
import os
import time

import kinesink
from kinesink.testing import FakeKinesis, RequestError

DUMMIES = {
    "AWS_ACCESS_KEY_ID": "dummy",
    "AWS_SECRET_ACCESS_KEY": "dummy",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "NO_PROXY": "127.0.0.1",
}

reports: list[tuple[str, str]] = []


def on_error(kind: str, text: str) -> None:
    """Tell the operator; called in the producer's thread, once a minute and kind at most."""
    reports.append((kind, text))
    print(f"{kind}: {text}")


fake = FakeKinesis()
fake.create_stream("app-logs")
with fake.serve() as server:
    os.environ.update(DUMMIES)

    # On AWS: without endpoint_url. The default time to live is ten minutes.
    handler = kinesink.KinesisHandler(
        "app-logs", endpoint_url=server.endpoint_url, time_to_live=1.0, on_error=on_error
    )
    logger = logging.getLogger("shop")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)

    logger.info("order 0 paid")
    assert handler.flush()

    fake.script(RequestError("InternalFailure", "out of order", 500, operation="PutRecords"))
    for number in range(1, 11):
        logger.info("order %d paid", number)
    assert handler.flush()  # not "all delivered", but "all accounted for"

account = handler.statistics()
print(account)
assert account.accepted == account.delivered + account.lost + account.pending
assert (account.delivered, account.lost, account.pending) == (1, 10, 0)
assert account.dropped == {kinesink.DropReason.EXPIRED: 10}
# It is called in a thread of its own, maybe a moment later.
deadline = time.monotonic() + 10
while not any(kind == "dropped:expired" for kind, _ in reports):
    assert time.monotonic() < deadline
    time.sleep(0.01)
assert len(fake.user_records("app-logs")) == 1

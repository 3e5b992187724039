"""The whole way: logging in many threads, one stream, a consumer with the rules of the KCL."""

from __future__ import annotations

import json
import logging
import math
import threading
from typing import TYPE_CHECKING

import pytest

from kinesink import Config, KinesisHandler, Sink
from kinesink.shell.kinesis import KinesisClient
from kinesink.testing import FakeKinesis

if TYPE_CHECKING:
    from kinesink.config import Backend

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

THREADS = 8
EVENTS = 12_500


def test_a_hundred_thousand_events_of_eight_threads_arrive_each_once(
    anyio_backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consumer drops aggregated records with a stray sub-record; so none has one."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    fake = FakeKinesis(keep_calls=0)
    fake.create_stream("app", shards=4)
    config = Config(
        "app",
        region_name="eu-west-1",
        backend=anyio_backend,
        shard_rate_limit=math.inf,
        shutdown_timeout=60.0,
    )
    sink = Sink(config, make_client=lambda c: KinesisClient(c, transport=fake.transport()))
    logger = logging.Logger("shop", logging.INFO)  # noqa: LOG001 - nobody else shall have it
    logger.addHandler(KinesisHandler(sink=sink))

    def log(thread: int) -> None:
        for number in range(EVENTS):
            logger.info("%d/%d", thread, number)

    threads = [threading.Thread(target=log, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sink.close()
    account = sink.statistics()
    assert account.accepted == account.delivered == THREADS * EVENTS
    texts = [json.loads(record.data)["message"] for record in fake.user_records("app")]
    assert len(texts) == THREADS * EVENTS
    assert set(texts) == {f"{t}/{n}" for t in range(THREADS) for n in range(EVENTS)}
    assert len({record.shard_id for record in fake.records("app")}) == 4

"""What tests of producers and sinks share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from kinesink import Config, Sink
from kinesink.shell.kinesis import KinesisClient
from kinesink.testing import FakeKinesis

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink import Statistics

PATIENCE = 40.0
"""Seconds after which a test gives up waiting; nothing is ever expected to take this long.

Long enough for a machine that stands still for some seconds, as virtual ones do.
"""


def make_fake(shards: int = 4) -> FakeKinesis:
    """Return a fake with the stream ``app``."""
    fake = FakeKinesis()
    fake.create_stream("app", shards=shards)
    return fake


def make_config(**parameters: object) -> Config:
    """Return a quick configuration for the stream ``app``.

    No call is given up and made again for a machine that stands still.
    """
    defaults: dict[str, Any] = {
        "region_name": "eu-west-1",
        "linger": 0.01,
        "request_timeout": PATIENCE,
        "shutdown_timeout": PATIENCE,
        "shard_rate_limit": float("inf"),
    }
    return Config("app", **{**defaults, **parameters})


def make_client(fake: FakeKinesis, config: Config) -> KinesisClient:
    """Return the real client, talking to a fake."""
    return KinesisClient(config, transport=fake.transport())


def make_sink(fake: FakeKinesis, **parameters: object) -> Sink:
    """Return a sink whose producer talks to a fake."""
    return Sink(make_config(**parameters), make_client=lambda config: make_client(fake, config))


def landed(fake: FakeKinesis) -> list[bytes]:
    """Return the data of the user records a consumer sees, sorted."""
    return sorted(record.data for record in fake.user_records("app"))


def wait_until(condition: Callable[[], object]) -> None:
    """Wait in a plain thread until ``condition`` is true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"never came true: {condition}"
        time.sleep(0.001)


def adds_up(account: Statistics) -> bool:
    """Tell whether every event accepted is somewhere."""
    return account.accepted == account.delivered + account.lost + account.pending

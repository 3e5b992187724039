"""From a log call to the stream, with everything in between."""

from __future__ import annotations

import json
import logging.config
from typing import TYPE_CHECKING

import pytest

from kinesink import KinesisHandler
from kinesink.testing import FakeKinesis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink.config import Backend


@pytest.fixture
def fake() -> FakeKinesis:
    """Return a service with one stream."""
    fake = FakeKinesis()
    fake.create_stream("app-logs", shards=4)
    return fake


@pytest.fixture
def endpoint_url(fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve it, and give whoever asks what credentials they need."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "dummy")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "dummy")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with fake.serve() as server:
        yield server.endpoint_url


class TestEndToEnd:
    """What the user sees, on each event loop."""

    def test_events_arrive_as_they_were_logged(
        self, fake: FakeKinesis, endpoint_url: str, anyio_backend: Backend
    ) -> None:
        """Each once, keyed or not, with the sink's own traffic left out."""
        name = f"end.to.end.{anyio_backend}"
        logger = logging.getLogger(name)
        handlers = [
            KinesisHandler("app-logs", endpoint_url=endpoint_url, backend=anyio_backend),
            KinesisHandler(
                "app-logs",
                endpoint_url=endpoint_url,
                backend=anyio_backend,
                partition_key="attr:user",
            ),
        ]
        for handler in handlers:
            logger.addHandler(handler)
        try:
            for number in range(50):
                logger.warning("event %d", number, extra={"user": f"user-{number % 7}"})
            assert all(handler.flush(20) for handler in handlers)
            statistics = handlers[0].statistics()
        finally:
            for handler in handlers:
                logger.removeHandler(handler)
                handler.close()
        events = [json.loads(record.data) for record in fake.user_records("app-logs")]
        assert sorted(event["message"] for event in events) == sorted(
            f"event {number}" for number in range(50) for _ in handlers
        )
        assert {event["logger"] for event in events} == {name}
        assert (statistics.accepted, statistics.delivered) == (100, 100)

"""With trio: the background thread's loop, and the application's."""

import logging

import trio

import kinesink
from kinesink.testing import capture_events


async def send() -> None:
    """Put a record."""
    async with kinesink.Producer(kinesink.Config("orders")) as producer:
        assert (await (await producer.put(b'{"order":17}')).wait()).success


with capture_events() as captured:
    handler = kinesink.KinesisHandler("app-logs", backend="trio")
    handler.handle(logging.makeLogRecord({"msg": "order 17 paid"}))
    captured.assert_logged(message="order 17 paid")
    trio.run(send)
    captured.assert_logged(order=17)

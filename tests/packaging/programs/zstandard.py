"""With Zstandard: lines that are compressed by it."""

import logging

import kinesink
from kinesink.testing import capture_events

with capture_events() as captured:
    handler = kinesink.KinesisHandler("app-logs", framing="lines", compression="zstd")
    handler.handle(logging.makeLogRecord({"msg": "order 17 paid"}))
    captured.assert_logged(message="order 17 paid")
    (record,) = captured.kinesis.records("app-logs")
    assert record.data.startswith(b"\x28\xb5\x2f\xfd")

"""With structlog: its processor and its factory."""

import structlog

from kinesink import KinesisLoggerFactory, KinesisProcessor
from kinesink.testing import capture_events

with capture_events() as captured:
    structlog.configure(
        processors=[structlog.processors.add_log_level, KinesisProcessor("app-logs", drop=True)]
    )
    structlog.get_logger().info("order paid", order=17)
    captured.assert_logged(level="INFO", message="order paid", order=17)
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()],
        logger_factory=KinesisLoggerFactory("app-logs"),
    )
    structlog.get_logger().info("order refused")
    captured.assert_logged(event="order refused")

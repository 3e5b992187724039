"""What a user would pick instead: other handlers, as far as they are installed.

Each is configured as its documentation shows it, with what it sends to replaced by
something that takes it at once: what is compared is the cost in the thread that logs.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import queue
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.benchmarks.calls import Row

if TYPE_CHECKING:
    from collections.abc import Callable


class Peer(NamedTuple):
    """A handler to compare with."""

    name: str
    handler: logging.Handler
    forget: Callable[[], object]
    """Forgets what one run has left behind, unmeasured."""


def queue_handler() -> Peer:
    """Return the standard library's own way to log without waiting."""
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()

    def forget() -> None:
        with suppress(queue.Empty):
            while True:
                waiting.get_nowait()

    return Peer("QueueHandler", logging.handlers.QueueHandler(waiting), forget)


def opentelemetry() -> Peer:
    """Return OpenTelemetry's handler, its batch processor, and an exporter that does nothing."""
    from opentelemetry.instrumentation.logging.handler import LoggingHandler
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    from tests.benchmarks.door_calls import NoExporter

    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(NoExporter()))
    handler: logging.Handler = LoggingHandler(logger_provider=provider)
    return Peer("OpenTelemetry, BatchLogRecordProcessor", handler, provider.force_flush)


def watchtower() -> Peer:
    """Return watchtower's handler for CloudWatch Logs, its client taking everything."""
    # By name: it is not among the test dependencies.
    peer = import_module("watchtower")

    class Client:
        """Takes everything."""

        def put_log_events(self, **_: object) -> dict[str, Any]:
            """Take them."""
            return {}

    handler: logging.Handler = peer.CloudWatchLogHandler(
        boto3_client=Client(), create_log_group=False, create_log_stream=False
    )
    return Peer("watchtower", handler, lambda: None)


def installed(*makers: Callable[[], Peer]) -> list[Peer]:
    """Return those peers that are installed."""
    found = []
    for make in makers:
        with suppress(ImportError):
            found.append(make())
    return found


def loguru_rows() -> list[Row]:
    """Return a log call of loguru's, serialized and handed to the queue of its own thread."""
    try:
        from loguru import logger
    except ImportError:
        return []
    logger.remove()
    logger.add(os.devnull, serialize=True, enqueue=True)
    return [Row("loguru, enqueue, serialize", lambda: logger.info("user {} did {}", "bob", 7))]

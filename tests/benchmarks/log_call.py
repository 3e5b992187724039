"""What a log call costs, handler by handler, in one run on one machine.

Run it alone: ``python tests/benchmarks/log_call.py [rounds]``. It needs no network and no
stream: the sink is the smallest that a sink can be.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

sys.path.insert(0, str(Path(__file__).parents[2]))

from kinesink.adapters.stdlib import KinesisHandler
from tests.benchmarks.calls import Row, SmallestSink, print_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.shell.sink import Sink

    LogCall = Callable[[logging.Logger], None]


class JsonFormatter(logging.Formatter):
    """A formatter as applications have it: a dictionary per event."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a quarter of the fields that kinesink writes."""
        fields = {
            "timestamp": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def plain(logger: logging.Logger) -> None:
    """Log a template with two arguments."""
    logger.info("user %s did %d", "bob", 7)


def with_extras(logger: logging.Logger) -> None:
    """Log the same with three extras."""
    logger.info("user %s did %d", "bob", 7, extra={"user_id": 17, "path": "/a/b", "took": 0.25})


def with_exception(logger: logging.Logger) -> None:
    """Log the same with an exception of one frame."""
    try:
        raise ValueError("boom")  # noqa: TRY301 - what is measured
    except ValueError:
        logger.info("user %s did %d", "bob", 7, exc_info=True)


def rows(
    logger: logging.Logger, sink: SmallestSink, devnull: logging.StreamHandler[TextIO]
) -> list[Row]:
    """Return what is compared: each handler under each call, NullHandler first."""
    handlers = {
        "NullHandler": logging.NullHandler(),
        "StreamHandler, json": devnull,
        "KinesisHandler": KinesisHandler(sink=cast("Sink", sink)),
    }
    calls: list[tuple[str, LogCall]] = [
        ("plain", plain), ("3 extras", with_extras), ("exception", with_exception),
    ]  # fmt: skip

    def use(handler: logging.Handler) -> None:
        logger.handlers = [handler]

    return [
        Row(f"{name}, {label}", partial(call, logger), partial(use, handler), name == "NullHandler")
        for label, call in calls
        for name, handler in handlers.items()
    ]


def main() -> None:
    """Print the table."""
    logger = logging.getLogger("app.orders")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    sink = SmallestSink()
    with Path(os.devnull).open("w", encoding="utf-8") as stream:
        devnull: logging.StreamHandler[TextIO] = logging.StreamHandler(stream)
        devnull.setFormatter(JsonFormatter())
        print_table(rows(logger, sink, devnull), sink)


if __name__ == "__main__":
    main()

"""What a log call costs, handler by handler, in one run on one machine.

Run it alone: ``python tests/benchmarks/log_call.py``. It needs no network and no stream:
the sink is the smallest that a sink can be. The runs of the rows are interleaved, so that
a busy moment of the machine falls on all of them; medians and their ratios are what to
compare, absolute times are not.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import statistics
import sys
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from kinesink.adapters.stdlib import KinesisHandler

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.shell.sink import Sink

    LogCall = Callable[[logging.Logger], None]

CALLS = 1_000
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 201


class SmallestSink:
    """The work of a hand-off that nobody can avoid: a bound, an append, a flag."""

    def __init__(self) -> None:
        self.intake: deque[bytes] = deque()
        self.pending = 0
        self.bound = 1 << 40
        self.awake = True

    def emit(self, data: bytes, partition_key: str | None = None) -> bool:  # noqa: ARG002
        """Take the event and forget about its size at the next round."""
        size = len(data) + 150
        if self.pending + size > self.bound:
            return False
        self.pending += size
        self.intake.append(data)
        if not self.awake:
            self.awake = True
        return True

    def flush(self, timeout: float | None = None) -> bool:  # noqa: ARG002
        """Have nothing to wait for."""
        return True


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
    sink: SmallestSink, devnull: logging.StreamHandler[TextIO]
) -> list[tuple[str, logging.Handler, LogCall]]:
    """Return what is compared: a name, a handler, a log call."""
    kinesis = KinesisHandler(sink=cast("Sink", sink))
    nothing = logging.NullHandler()
    calls = [("plain", plain), ("3 extras", with_extras), ("exception", with_exception)]
    return [
        (f"{name}, {label}", handler, call)
        for label, call in calls
        for name, handler in (
            ("NullHandler", nothing), ("StreamHandler, json", devnull), ("KinesisHandler", kinesis),
        )
    ]  # fmt: skip


def microseconds(logger: logging.Logger, call: LogCall) -> float:
    """Return the time of one of :data:`CALLS` calls."""
    start = time.perf_counter()
    for _ in range(CALLS):
        call(logger)
    return (time.perf_counter() - start) / CALLS * 1e6


def main() -> None:
    """Print the table."""
    logger = logging.getLogger("app.orders")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    sink = SmallestSink()
    with Path(os.devnull).open("w", encoding="utf-8") as stream:
        devnull: logging.StreamHandler[TextIO] = logging.StreamHandler(stream)
        devnull.setFormatter(JsonFormatter())
        table = rows(sink, devnull)
        times: dict[str, list[float]] = {name: [] for name, _, _ in table}
        gc.disable()
        for _ in range(ROUNDS):
            for name, handler, call in table:
                logger.handlers = [handler]
                times[name].append(microseconds(logger, call))
                sink.intake.clear()
                sink.pending = 0
            gc.collect()
    print(f"Python {sys.version.split()[0]}, {ROUNDS} rounds of {CALLS} calls")
    print(f"{'':32}{'median':>10}{'quartiles':>16}{'ratio':>8}")
    baseline = 1.0
    for name, _, _ in table:
        low, median, high = statistics.quantiles(times[name], n=4)
        baseline = median if name.startswith("NullHandler") else baseline
        print(f"{name:32}{median:8.2f} µs{low:8.2f}-{high:.2f}{median / baseline:8.2f}")


if __name__ == "__main__":
    main()

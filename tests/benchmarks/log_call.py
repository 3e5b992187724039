"""What a log call costs, handler by handler, in one run on one machine.

Run it alone: ``python tests/benchmarks/log_call.py [rounds]``. Peers that are not installed
are left out. It needs no network and no
stream: the sink is the smallest that a sink can be.
"""

from __future__ import annotations

import logging
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

sys.path.insert(0, str(Path(__file__).parents[2]))

from kinesink.adapters.stdlib import KinesisHandler
from tests.benchmarks import peers
from tests.benchmarks.calls import Row, SmallestSink, print_table
from tests.benchmarks.json_formatter import JsonFormatter
from tests.benchmarks.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Callable

    LogCall = Callable[[logging.Logger], None]


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


CALLS: Final[list[tuple[str, LogCall, int]]] = [
    ("plain", plain, 1), ("3 extras", with_extras, 1), ("exception", with_exception, 1),
    ("4 threads", plain, 4), ("16 threads", plain, 16),
]  # fmt: skip
"""What is called, and in how many threads."""


def rows(logger: logging.Logger, handlers: list[Peer]) -> list[Row]:
    """Return what is compared: each handler under each call, NullHandler first."""

    def use(handler: logging.Handler) -> None:
        logger.handlers = [handler]

    null = Peer("NullHandler", logging.NullHandler(), lambda: None)
    return [
        Row(
            f"{peer.name}, {label}",
            partial(call, logger),
            partial(use, peer.handler),
            is_baseline=peer is null,
            forget=peer.forget,
            threads=threads,
        )
        for label, call, threads in CALLS
        for peer in (null, *handlers)
    ]


def main() -> None:
    """Print the tables."""
    logger = logging.getLogger("app.orders")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    sink = SmallestSink()
    ours = Peer("KinesisHandler", KinesisHandler(sink=sink), sink.forget)
    with Path(os.devnull).open("w", encoding="utf-8") as stream:
        as_json: logging.StreamHandler[TextIO] = logging.StreamHandler(stream)
        as_json.setFormatter(JsonFormatter())
        others = peers.installed(peers.queue_handler, peers.watchtower)
        json_first = [Peer("StreamHandler, JSON", as_json, lambda: None), ours, *others]
        print_table([*rows(logger, json_first), *peers.loguru_rows()], sink)
        # Where OpenTelemetry is loaded, each event looks for the span it belongs to.
        print("\nWith OpenTelemetry loaded")
        print_table(rows(logger, [ours, *peers.installed(peers.opentelemetry)]), sink)


if __name__ == "__main__":
    main()

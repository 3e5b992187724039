"""A sink that keeps what it is given, and a record to give it."""

from __future__ import annotations

import json
import logging
from typing import Any

from kinesink.config import Config
from kinesink.shell.sink import Sink
from kinesink.statistics import Statistics

_NUMBERED = ("boot_id", "seq")


class RecordingSink(Sink):
    """A real sink as far as a handler can see, but nothing leaves it."""

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config or Config(stream_name="orders"))
        self.lines: list[bytes] = []
        self.partition_keys: list[str | None] = []
        self.levels: list[int | None] = []
        self.flushes: list[float | None] = []
        self.flushed = True
        self.own = 0
        self.reports: list[tuple[str, str]] = []

    def emit(
        self,
        data: bytes,
        partition_key: str | None = None,
        explicit_hash_key: int | None = None,  # noqa: ARG002 - as the real one
        level: int | None = None,
    ) -> bool:
        """Keep the event."""
        self.lines.append(data)
        self.levels.append(level)
        self.partition_keys.append(partition_key)
        return True

    def report(self, kind: str, text: str) -> None:
        """Keep what the operator would be told."""
        self.reports.append((kind, text))

    def count_own(self) -> None:
        """Count a record of the producer's own."""
        self.own += 1

    def flush(self, timeout: float | None = None) -> bool:
        """Say what the test wants to hear, and keep for how long it may take."""
        self.flushes.append(timeout)
        return self.flushed

    def statistics(self) -> Statistics:
        """Return how many events were kept."""
        return Statistics(accepted=len(self.lines), own=self.own)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The kept events, parsed, without what is :attr:`numbers`."""
        return [
            {name: value for name, value in event.items() if name not in _NUMBERED}
            for event in map(json.loads, self.lines)
        ]

    @property
    def numbers(self) -> list[tuple[str, int]]:
        """The process and the number of each event."""
        return [(event["boot_id"], event["seq"]) for event in map(json.loads, self.lines)]

    @property
    def event(self) -> dict[str, Any]:
        """The one event there is."""
        (event,) = self.events
        return event


def a_record(
    msg: object = "order %s accepted", *args: object, **fields: object
) -> logging.LogRecord:
    """Return a record with every field known; ``fields`` are set on it, extras as well."""
    record = logging.LogRecord(
        "app.orders", logging.INFO, "/srv/app/orders.py", 12, msg, args or (7,), None, "place"
    )  # fmt: skip
    if not isinstance(msg, str) or (not args and "%" not in msg):
        record.args = ()
    known = {"created": 1767323045.678901, "process": 7, "threadName": "MainThread"}
    for name, value in {**known, **fields}.items():
        setattr(record, name, value)
    return record

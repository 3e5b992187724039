"""Which rows are run, how, and against what: tables alone."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tests.benchmarks.endpoint import Nature
from tests.benchmarks.rows import Case


class Plan(NamedTuple):
    """A row to run."""

    group: str
    label: str
    row: str
    """The function in rows.py."""
    case: Case = Case()
    nature: Nature = Nature()
    sends: bool = True
    """Whether what it counts must have arrived."""


_BACKENDS: Final = ("asyncio", "trio")
_DOORS: Final = (
    ("logging", "handler"), ("structlog", "structlog"), ("OpenTelemetry", "opentelemetry"),
    ("Sink, keyless", "sink"), ("Sink, keyed", "sink_keyed"), ("Producer", "producer"),
)  # fmt: skip
_FEW: Final = 50_000
_SIZES: Final = ((100, 100_000), (200, 100_000), (1_000, 50_000), (10_000, 10_000))
_SHARDS: Final = (1, 4, 64, 1_000, 10_000)
_FRAMINGS: Final[dict[str, dict[str, Any]]] = {
    "kpl": {},
    "lines": {"framing": "lines"},
    "lines, gzip": {"framing": "lines", "compression": "gzip"},
    "lines, zstd": {"framing": "lines", "compression": "zstd"},
    "none": {"framing": "none"},
}

DELIVERED: Final = [
    Plan("delivered", "NullHandler", "null_handler", sends=False),
    *(
        Plan("delivered", f"{name}, {backend}", row, Case(events=_FEW, backend=backend))
        for name, row in _DOORS
        for backend in _BACKENDS
    ),
]
PEERS: Final = [
    Plan("peers", "kinesink Sink, keyless", "sink"),
    Plan("peers", "kinesink Sink, keyed", "sink_keyed", Case(events=_FEW)),
    Plan("peers", "kinesink Producer", "producer", Case(events=_FEW)),
    Plan("peers", "aws-kinesis-agg + boto3", "aws_kinesis_agg", Case(events=_FEW)),
    Plan("peers", "boto3 put_records of 500", "boto3_put_records", Case(events=_FEW)),
    Plan("peers", "async-kinesis", "async_kinesis", Case(events=20_000)),
    Plan("peers", "aiokpl", "aiokpl", Case(events=10_000)),
]
SIZES: Final = [
    Plan("sizes", f"{name}, {size:,} bytes", row, Case(events=events, size=size))
    for name, row in (("logging", "handler"), ("Sink, keyless", "sink"))
    for size, events in _SIZES
]
SHARDS: Final = [
    Plan("shards", f"{name}, {shards:,}", row, Case(events=_FEW), Nature(shards=shards))
    for name, row in (("Sink, keyless", "sink"), ("Sink, keyed", "sink_keyed"))
    for shards in _SHARDS
]
FRAMINGS: Final = [
    *(
        Plan("framings", f"{name}, JSON", "handler", Case(events=_FEW, options=options))
        for name, options in _FRAMINGS.items()
    ),
    Plan("framings", "kpl, CBOR", "handler", Case(events=_FEW, options={"protocol": "cbor"})),
]
LATENCIES: Final = [
    Plan(
        "latency", f"{rate:,}/s, {round(delay * 1000)} ms", "latency",
        Case(events=max(1_000, rate * 5), rate=rate), Nature(latency=delay),
    )
    for delay in (0.0, 0.02)
    for rate in (100, 1_000, 10_000)
]  # fmt: skip
PACED: Final = [
    *(
        Plan("paced", f"{name}, 4 shards", "paced", Case(events=5_000, options=options))
        for name, options in _FRAMINGS.items()
    ),
    Plan(
        "paced", "kpl, 1,000 shards", "paced", Case(events=5_000), Nature(shards=1_000),
    ),
    Plan(
        "paced", "kpl, 4 shards with their limits", "paced",
        Case(events=20_000, rate=4_000), Nature(limits=True),
    ),
]  # fmt: skip
APPLICATION: Final = [
    Plan(
        "application", label, "application",
        Case(events=160_000, rate=20_000.0, target=target), sends=target == "kinesink",
    )
    for label, target in (
        ("NullHandler", "null"), ("kinesink", "kinesink"), ("StreamHandler, JSON", "json"),
        ("QueueHandler to StreamHandler, JSON", "queue"),
    )
]  # fmt: skip
RESOURCES: Final = [
    Plan("resources", "queued events", "queued_memory", Case(events=_FEW), sends=False),
    Plan("resources", "outage", "outage_memory", Case(events=400_000), sends=False),
    Plan("resources", "idle", "idle"),
    Plan("resources", "first delivery", "first_delivery"),
]

PLANS: Final = (
    *DELIVERED, *PEERS, *SIZES, *SHARDS, *FRAMINGS, *LATENCIES, *PACED, *APPLICATION, *RESOURCES,
)  # fmt: skip
GROUPS: Final = tuple(dict.fromkeys(plan.group for plan in PLANS))

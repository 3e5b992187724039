"""A fake of Amazon Kinesis Data Streams for tests, demonstrations and local work.

:class:`FakeKinesis` keeps streams in memory and behaves like the service on the wire:
hash key ranges, resharding, limits, errors, JSON and CBOR. What the service does rarely —
throttling, resets, hangs, half answers — is scripted with the faults of this package.

    fake = FakeKinesis()
    fake.create_stream("app-logs", shards=4)
    fake.script(ThrottleEntries(share=0.1), Latency(answer=0.3, times=1))
    client = httpx.AsyncClient(transport=fake.transport())

:func:`check_completeness` tells of the events in any stream, also in the service's own, what
is missing and what came twice; :func:`deduplicated` leaves out the latter.

:func:`capture_events` has everything that an application logs by way of kinesink delivered into
memory, where its tests look at it; with pytest by the fixture ``kinesis_sink``.

Names are resolved at first use: pytest imports this package to know the fixture, also for those
who do not use it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kinesink.testing.capture import KinesisCapture, capture_events
    from kinesink.testing.completeness import (
        Completeness,
        Verdict,
        Writer,
        check_completeness,
        deduplicated,
    )
    from kinesink.testing.consumer import ConsumedRecord
    from kinesink.testing.errors import ApiError
    from kinesink.testing.exchange import Call, Ending, Held, Reply, Request
    from kinesink.testing.fake import FakeKinesis
    from kinesink.testing.faults import (
        AccessDenied,
        CallFault,
        EntryFault,
        FailEntries,
        Fault,
        FaultScript,
        Hang,
        Latency,
        RawAnswer,
        RejectRequest,
        RequestError,
        Reset,
        Rewrite,
        ThrottleEntries,
        Truncate,
        WrongResultCount,
    )
    from kinesink.testing.limits import ShardLimits
    from kinesink.testing.marks import ToldLoss
    from kinesink.testing.server import Server
    from kinesink.testing.snapshot import SnapshotError
    from kinesink.testing.streams import (
        AUTO,
        ON_DEMAND,
        PROVISIONED,
        USER_PARTITION_KEY,
        Put,
        ShardView,
        StoredRecord,
    )
else:
    # Not for type checkers, which would take every name for one that is there.
    def __getattr__(name: str) -> object:
        """Return a public name."""
        return _resolve(name)


_HOMES = {
    "AUTO": "kinesink.testing.streams",
    "ON_DEMAND": "kinesink.testing.streams",
    "PROVISIONED": "kinesink.testing.streams",
    "USER_PARTITION_KEY": "kinesink.testing.streams",
    "AccessDenied": "kinesink.testing.faults",
    "ApiError": "kinesink.testing.errors",
    "Call": "kinesink.testing.exchange",
    "CallFault": "kinesink.testing.faults",
    "Completeness": "kinesink.testing.completeness",
    "ConsumedRecord": "kinesink.testing.consumer",
    "Ending": "kinesink.testing.exchange",
    "EntryFault": "kinesink.testing.faults",
    "FailEntries": "kinesink.testing.faults",
    "FakeKinesis": "kinesink.testing.fake",
    "Fault": "kinesink.testing.faults",
    "FaultScript": "kinesink.testing.faults",
    "Hang": "kinesink.testing.faults",
    "Held": "kinesink.testing.exchange",
    "KinesisCapture": "kinesink.testing.capture",
    "Latency": "kinesink.testing.faults",
    "Put": "kinesink.testing.streams",
    "RawAnswer": "kinesink.testing.faults",
    "RejectRequest": "kinesink.testing.faults",
    "Reply": "kinesink.testing.exchange",
    "Request": "kinesink.testing.exchange",
    "RequestError": "kinesink.testing.faults",
    "Reset": "kinesink.testing.faults",
    "Rewrite": "kinesink.testing.faults",
    "Server": "kinesink.testing.server",
    "ShardLimits": "kinesink.testing.limits",
    "ShardView": "kinesink.testing.streams",
    "SnapshotError": "kinesink.testing.snapshot",
    "StoredRecord": "kinesink.testing.streams",
    "ThrottleEntries": "kinesink.testing.faults",
    "ToldLoss": "kinesink.testing.marks",
    "Truncate": "kinesink.testing.faults",
    "Verdict": "kinesink.testing.completeness",
    "Writer": "kinesink.testing.completeness",
    "WrongResultCount": "kinesink.testing.faults",
    "capture_events": "kinesink.testing.capture",
    "check_completeness": "kinesink.testing.completeness",
    "deduplicated": "kinesink.testing.completeness",
}

__all__ = [
    "AUTO",
    "ON_DEMAND",
    "PROVISIONED",
    "USER_PARTITION_KEY",
    "AccessDenied",
    "ApiError",
    "Call",
    "CallFault",
    "Completeness",
    "ConsumedRecord",
    "Ending",
    "EntryFault",
    "FailEntries",
    "FakeKinesis",
    "Fault",
    "FaultScript",
    "Hang",
    "Held",
    "KinesisCapture",
    "Latency",
    "Put",
    "RawAnswer",
    "RejectRequest",
    "Reply",
    "Request",
    "RequestError",
    "Reset",
    "Rewrite",
    "Server",
    "ShardLimits",
    "ShardView",
    "SnapshotError",
    "StoredRecord",
    "ThrottleEntries",
    "ToldLoss",
    "Truncate",
    "Verdict",
    "Writer",
    "WrongResultCount",
    "capture_events",
    "check_completeness",
    "deduplicated",
]


def _resolve(name: str) -> object:
    """Import a public name from its home."""
    if name not in _HOMES:
        message = f"module 'kinesink.testing' has no attribute {name!r}"
        raise AttributeError(message)
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    """Return the public names, whether they were used yet or not."""
    return sorted(__all__)

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
"""

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
    "check_completeness",
    "deduplicated",
]

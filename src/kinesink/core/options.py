"""The tunables of the pipeline: every default once, in seconds and bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kinesink.core import limits

Framing = Literal["kpl", "lines", "none"]
Compression = Literal["gzip", "zstd"]
RecordDistribution = Literal["detect", "auto", "user_partition_key"]


@dataclass(frozen=True, kw_only=True)
class PipelineOptions:
    """What the core needs to know; :class:`kinesink.Config` extends it.

    Defaults follow the KPL 1.0.7 (``KinesisProducerConfiguration``) unless said.
    """

    linger: float = 0.1
    """Longest wait of an event for company, in seconds (KPL ``recordMaxBufferedTime``)."""

    time_to_live: float = 600.0
    """Longest life of an event from its arrival, in seconds; ``math.inf`` for no end.
    The KPL gives up after 30; for a log, late is better than lost, and memory is
    bounded by ``max_pending_bytes`` anyway."""

    framing: Framing = "kpl"
    """``kpl``: many events in one aggregated record, which consumers take apart.
    ``lines``: many events in one record, each ended by a line feed, for consumers that
    do not. ``none``: one record per event."""

    compression: Compression | None = None
    """Compress each record of ``lines``; consumers know it by its first bytes."""

    aggregate_max_bytes: int = 51_200
    """Largest aggregated record, in bytes; KPL ``aggregationMaxSize``. With ``lines``, the
    wanted size of a record, after compression."""

    aggregate_max_events: int | None = None
    """Most events in one aggregated record or record of lines; None for no limit but the
    size."""

    request_max_entries: int = limits.REQUEST_MAX_ENTRIES
    """Most entries of one PutRecords call, 1 to 500."""

    request_max_bytes: int = limits.REQUEST_DEFAULT_BYTES
    """Largest PutRecords call in bytes of data and partition keys, at most 10 MiB."""

    request_max_bytes_per_shard: int = 256 * limits.KIB
    """Most bytes for one shard in one PutRecords call; the rest is first in line for
    the next. A single larger entry still goes. The KPL's own smoothing, not a limit
    of the service."""

    record_max_bytes: int | None = None
    """Largest record (data and partition key); None takes the stream's own limit."""

    record_distribution: RecordDistribution = "detect"
    """Whether the stream honours keys. ``detect`` asks DescribeStreamSummary."""

    shard_rate_limit: float = 1.0
    """Ceiling of the adaptive rate per shard, as a fraction of what a shard takes
    (1,000 records/s and 1 MiB/s); ``math.inf`` switches pacing off."""

    fail_if_throttled: bool = False
    """Give events up at the first throttle instead of retrying them."""

    request_timeout: float = 6.0
    """Longest time for one call to Kinesis, in seconds; KPL ``requestTimeout``."""

    max_requests_in_flight: int = 8
    """Most PutRecords calls of one stream at the same time."""

"""What DescribeStreamSummary says of the stream, and what follows for aggregation.

Law: a stream is taken to honour keys unless the service says, or placements prove,
that it does not. The wrong guess is never silent loss: an aggregated record that
landed outside its range is never counted as delivered.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from kinesink.core import limits
from kinesink.core.refresh import Refresh

if TYPE_CHECKING:
    from kinesink.core.options import PipelineOptions
    from kinesink.core.records import StreamSummary

#: Seconds between two reads; the account has 20 calls/s for all its streams
#: (API reference of DescribeStreamSummary).
SUMMARY_PERIOD: Final = 300.0

#: Shortest time between two reads for refused records, in seconds, for the same reason: an
#: application that goes on logging what the stream refuses would have it read after each.
SUMMARY_SPACING: Final = 10.0


class Distribution(str, Enum):
    """Where Kinesis puts a record."""

    UNKNOWN = "unknown"
    """Not asked yet, or not allowed to ask."""
    USER_PARTITION_KEY = "user_partition_key"
    """Where its hash key says."""
    AUTO = "auto"
    """Where the service likes (``RecordDistributionStrategy`` AUTO)."""


_CONFIGURED: Final = {
    "detect": Distribution.UNKNOWN,
    "auto": Distribution.AUTO,
    "user_partition_key": Distribution.USER_PARTITION_KEY,
}


class StreamFacts:
    """The facts of one stream, as far as they are known."""

    def __init__(self, options: PipelineOptions) -> None:
        self.refresh = Refresh(period=SUMMARY_PERIOD, longest_delay=SUMMARY_PERIOD)
        self._configured_record_max = options.record_max_bytes
        self._configured = _CONFIGURED[options.record_distribution]
        self._stated: Distribution = Distribution.UNKNOWN
        self._proven_auto = False
        #: Whether placements have spoken against the description, and whether a later
        #: description has stood by it.
        self._doubted = False
        self._contradicted = False
        self._summary: StreamSummary | None = None

    @property
    def distribution(self) -> Distribution:
        """Where records go: configured, else stated by the service, else proven."""
        if self._configured is not Distribution.UNKNOWN:
            return self._configured
        if self._proven_auto:
            return Distribution.AUTO
        return self._stated

    @property
    def record_max_bytes(self) -> int:
        """Largest record (data and partition key) in bytes; 1 MiB while unknown."""
        stated = self._summary.record_max_bytes if self._summary else None
        known = stated or limits.RECORD_DEFAULT_BYTES
        configured = self._configured_record_max
        return known if configured is None else min(configured, stated or configured)

    def described(self, summary: StreamSummary, now: float, jitter: float) -> bool:
        """Take a summary; return whether the stream was deleted and created anew."""
        recreated = (
            self._summary is not None
            and None not in (self._summary.created, summary.created)
            and self._summary.created != summary.created
        )
        self._summary = summary
        auto = summary.record_distribution == "AUTO"
        self._contradicted = not auto and (self._doubted or self._contradicted)
        self._proven_auto = self._doubted = False
        self._stated = Distribution.AUTO if auto else Distribution.USER_PARTITION_KEY
        self.refresh.answered(now, jitter)
        return recreated

    def doubt_placement(self, seen_at: float, now: float, *, after: float = 0.0) -> None:
        """Take note of a record in a shard whose range excludes its hash key.

        The service is asked; placements that it does not explain make it no difference to
        be asked after each.

        :param seen_at: when the record was sent.
        :param after: shortest wait before the question, in seconds.
        """
        self._doubted = True
        spacing = SUMMARY_SPACING if self._contradicted else 0.0
        self.refresh.need(seen_at, now, after=after, spacing=spacing)

    def doubt_limit(self, sent_at: float, now: float) -> None:
        """Take note that a record was refused: the record limit may have changed.

        :param sent_at: when the record was sent.
        """
        self.refresh.need(sent_at, now, spacing=SUMMARY_SPACING)

    def prove_auto(self, seen_at: float, now: float) -> None:
        """Take note of a record outside the range of the shard that took it.

        Ranges never change, so a fresh map and such a placement leave one
        explanation. The service is asked as well, and its word then counts; what it
        has said since then counts already.

        :param seen_at: when the record was sent.
        """
        if seen_at < self.refresh.answered_at:
            return
        self._proven_auto = True
        self.doubt_placement(seen_at, now)

"""What the core may ask for, and what it has to tell.

The core decides and returns these; the shell carries them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kinesink.core.collector import PutRecordsRequest
    from kinesink.core.records import Content, DropReason, RecordResult, UserRecord


@dataclass(frozen=True, slots=True)
class SendRequest:
    """Call PutRecords and report with ``Pipeline.request_done``."""

    request: PutRecordsRequest
    timeout: float
    """Seconds the whole call may take."""


@dataclass(frozen=True, slots=True)
class ListShards:
    """Call ListShards and report with ``Pipeline.shards_listed``."""


@dataclass(frozen=True, slots=True)
class DescribeStream:
    """Call DescribeStreamSummary and report with ``Pipeline.stream_described``."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """Kinesis has acknowledged a record somebody waits for."""

    record: UserRecord
    result: RecordResult


@dataclass(frozen=True, slots=True)
class Dropped:
    """Events were given up."""

    contents: list[Content]
    reason: DropReason
    error: str
    """Why, in words."""
    result: RecordResult | None = None
    """The result for the one user record in ``contents`` that somebody waits for."""


@dataclass(frozen=True, slots=True)
class Report:
    """Something an operator should know."""

    kind: str
    """Error code or drop reason; repetitions of a kind are told once in a while."""
    text: str
    """What happened and what to do, in one line."""
    operation: str = ""
    """The call it is about; repetitions are told apart by it."""


Effect = SendRequest | ListShards | DescribeStream | Delivered | Dropped | Report

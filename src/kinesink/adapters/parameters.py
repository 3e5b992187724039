"""The parameters of an adapter's constructor, as keywords."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinesink.adapters.partition_key import PartitionKey
    from kinesink.aws_options import Credentials
    from kinesink.config import (
        Backend,
        DeadLetterReceiver,
        OnError,
        OnStatistics,
        Overflow,
        Protocol,
        SpoolMode,
    )
    from kinesink.core.options import Compression, Framing, RecordDistribution
    from kinesink.event.options import Extra, Oversize, Redact, Schema


class ConfigParameters(TypedDict, total=False):
    """What :class:`kinesink.Config` takes besides the stream's name, for editors and type checkers.

    A parameter left out comes from its ``KINESINK_`` variable, else from Config's default.
    Sizes are bytes, times seconds; both as text, too (``"64MiB"``, ``"250ms"``).
    """

    region_name: str | None
    endpoint_url: str | None
    stream_arn: str | None
    account_id_endpoint: bool | str
    use_fips_endpoint: bool | str | None
    use_dualstack_endpoint: bool | str | None
    proxy: str | None
    profile_name: str | None
    credentials: Credentials | None
    role_arn: str | None
    role_session_name: str | None
    external_id: str | None
    verify: bool | str
    protocol: Protocol
    connect_timeout: float | str
    max_connections: int | str
    max_pending_bytes: int | str
    max_pending_events: int | str | None
    overflow: Overflow
    block_timeout: float | str
    loss_records: bool | str
    shutdown_timeout: float | str
    backend: Backend
    on_error: OnError | None
    on_statistics: OnStatistics | None
    statistics_interval: float | str
    spool_path: str | None
    spool_mode: SpoolMode
    spool_max_bytes: int | str
    dead_letter: DeadLetterReceiver | str | None
    linger: float | str
    time_to_live: float | str
    framing: Framing
    compression: Compression | None
    aggregate_max_bytes: int | str
    aggregate_max_events: int | str | None
    request_max_entries: int | str
    request_max_bytes: int | str
    request_max_bytes_per_shard: int | str
    record_max_bytes: int | str | None
    record_distribution: RecordDistribution
    shard_rate_limit: float | str
    fail_if_throttled: bool | str
    request_timeout: float | str
    max_requests_in_flight: int | str


class EventParameters(TypedDict, total=False):
    """What :class:`kinesink.EventOptions` takes: how each event is written.

    A parameter left out or None comes from its ``KINESINK_`` variable, else from the default.
    """

    schema: Schema | None
    extra: Extra | None
    rename: Mapping[str, str] | str | None
    static_fields: Mapping[str, Any] | str | None
    redact: Redact | None
    oversize: Oversize | None
    max_event_bytes: int | str | None
    sequence: bool | str | None
    partition_key: PartitionKey


class Parameters(EventParameters, ConfigParameters, total=False):
    """Everything that every adapter takes besides the stream's name and ``sink``."""

"""What a check-up is about, and what its checks have found so far."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kinesink.aws_options import StreamArn
from kinesink.cli.doctor.service import Service
from kinesink.cli.doctor.session import Session

if TYPE_CHECKING:
    from kinesink.config import Config
    from kinesink.core.records import Failure, ShardDescription, StreamSummary
    from kinesink.shell.aws_session import Destinations, Keys
    from kinesink.shell.exchange import Answer


@dataclass
class Subject:
    """One stream, as the configuration has it.

    What has no value from the beginning is set by one check, and read by those that need it.
    """

    config: Config
    session: Session = field(init=False)
    service: Service = field(init=False)
    keys: Keys = field(init=False)
    destinations: Destinations = field(init=False)
    hello: Answer | Failure = field(init=False)
    """What came of the request without signature."""
    hello_at: float = field(init=False)
    """The time of this machine in the middle of it, in seconds since the epoch."""
    summary: StreamSummary | Failure = field(init=False)
    shards: list[ShardDescription] = field(init=False)
    iterator: str = field(init=False)
    probe: Probe = field(init=False)
    region: str | None = None
    account_id: str | None = None

    def __post_init__(self) -> None:
        """Begin without any I/O."""
        self.session = Session(self.config)
        self.service = Service(self.config)

    @property
    def arn(self) -> str:
        """The stream's ARN; words in capitals stand for what is not known."""
        if self.config.stream_arn:
            return self.config.stream_arn
        region = self.region or "REGION"
        account = self.account_id or "ACCOUNT"
        partition = self.session.partition(region)
        return str(StreamArn(partition, region, account, self.config.stream_name))

    @property
    def on_loopback(self) -> bool:
        """Whether the endpoint is on this machine."""
        return is_loopback(self.destinations.data.url)


@dataclass(frozen=True)
class Probe:
    """The probe, as Kinesis has acknowledged it."""

    events: list[bytes]
    shard_id: str
    sequence_number: str


def is_loopback(url: str) -> bool:
    """Tell whether a URL names this machine's loopback interface."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

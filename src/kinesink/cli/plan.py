"""What a demonstration is asked to do."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from kinesink.config import Backend

STREAM_NAME: Final = "app-logs"
REGION: Final = "eu-west-1"

Door = Literal["logging", "structlog", "otel"]
"""By which library the application logs."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The options of ``kinesink demo``."""

    seconds: float = 3.0
    """How long to log."""
    rate: int = 2_000
    """Events per second, all threads together."""
    shards: int = 4
    threads: int = 4
    backend: "Backend" = "asyncio"
    door: Door = "logging"
    faults: bool = False
    """Whether the service misbehaves."""

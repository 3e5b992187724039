"""How tests make a client of a fake, and the calls that must succeed or fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kinesink.config import Config
from kinesink.core.records import Answered, Failure, PutRecordsEntry
from kinesink.shell.kinesis import KinesisClient

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from kinesink.shell.wire import Protocol

HELLO = PutRecordsEntry(b"hello", "p")


def client_of(
    transport: httpx.AsyncBaseTransport,
    *,
    protocol: Protocol = "json",
    clock: Callable[[], float] | None = None,
) -> KinesisClient:
    """Return a client of a fake."""
    config = Config(
        "s", region_name="us-east-1", endpoint_url="http://kinesis.test", protocol=protocol
    )
    options: dict[str, Any] = {} if clock is None else {"clock": clock}
    return KinesisClient(config, transport=transport, **options)


async def put(client: KinesisClient, *entries: PutRecordsEntry, timeout: float = 5) -> Answered:
    """Write entries, which must be answered."""
    answered = await client.put_records("s", entries or (HELLO,), timeout=timeout)
    assert isinstance(answered, Answered)
    return answered


async def fail_to_put(client: KinesisClient, *, timeout: float = 5) -> Failure:
    """Write an entry, which must fail."""
    failure = await client.put_records("s", [HELLO], timeout=timeout)
    assert isinstance(failure, Failure)
    return failure

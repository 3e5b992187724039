"""The client of what is captured: the real one, with neither network nor account.

Law: what it sends never leaves the process, and no environment variable, file or metadata
service has a say in it. Everything else, from the encoding on the wire to what is made of an
answer, is as in production.
"""

from __future__ import annotations

import ssl
import time
from dataclasses import replace
from time import gmtime, strftime
from typing import TYPE_CHECKING, Final

from kinesink.shell.credentials import SignedRequest, Signer
from kinesink.shell.endpoints import SERVICE, Destination
from kinesink.shell.kinesis import KinesisClient

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kinesink.config import Config
    from kinesink.core.records import (
        Answered,
        Failure,
        PutRecordsEntry,
        ShardDescription,
        StreamSummary,
    )
    from kinesink.shell.credentials import DestinationKind
    from kinesink.testing.fake import FakeKinesis

__all__ = ["MemoryClient"]

_REGION: Final = "us-east-1"
_URL: Final = "http://kinesis-in-memory/"
"""Only messages show it: the transport looks up no host."""


class MemoryClient(KinesisClient):
    """Talks to a fake in this process.

    :param config: the application's.
    :param kinesis: where requests go.
    :param prepare: called with the name of a stream before a request about it is sent.
    """

    def __init__(
        self, config: Config, kinesis: FakeKinesis, prepare: Callable[[str], None]
    ) -> None:
        # The fake knows a stream by its name, whosever account its ARN tells of. A proxy of the
        # configuration would take the transport's place.
        config = replace(config, proxy=None, stream_arn=None)
        super().__init__(config, transport=kinesis.transport())
        self._signer = _MemorySigner(config, time.time)
        self._prepare = prepare

    async def put_records(
        self,
        stream_name: str,
        entries: Sequence[PutRecordsEntry],
        *,
        timeout: float,
    ) -> Answered | Failure:
        """Write entries to a stream that is made if need be."""
        self._prepare(stream_name)
        return await super().put_records(stream_name, entries, timeout=timeout)

    async def list_shards(
        self,
        stream_name: str,
        *,
        timeout: float,
    ) -> list[ShardDescription] | Failure:
        """Return the shards of a stream that is made if need be."""
        self._prepare(stream_name)
        return await super().list_shards(stream_name, timeout=timeout)

    async def describe_stream_summary(
        self,
        stream_name: str,
        *,
        timeout: float,
    ) -> StreamSummary | Failure:
        """Return the facts about a stream that is made if need be."""
        self._prepare(stream_name)
        return await super().describe_stream_summary(stream_name, timeout=timeout)


class _MemorySigner(Signer):
    """Signs with nothing, as far as a fake looks at a signature."""

    async def sign(
        self,
        headers: Mapping[str, str],
        body: bytes,
        to: DestinationKind = "data",  # noqa: ARG002 - both go into memory
    ) -> SignedRequest:
        """Return the request with a date and somebody's name."""
        stamp = strftime("%Y%m%dT%H%M%SZ", gmtime(self._clock()))
        scope = f"captured/{stamp[:8]}/{_REGION}/{SERVICE}/aws4_request"
        signed = {
            **headers,
            "X-Amz-Date": stamp,
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=, Signature=",
        }
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return SignedRequest(Destination(_REGION, _URL, tls), signed, body, 0, ())

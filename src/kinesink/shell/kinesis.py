"""Kinesis Data Streams as three calls whose failures are data.

Law of this file: a call returns within its timeout, raises nothing for what service,
network, credentials or clock do, and sends what it was given once. The one exception
is the first request in CBOR, which is sent again in JSON where nobody speaks CBOR.
Whether anything else is tried again is decided in :mod:`kinesink.core.retry_policy`.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import anyio

from kinesink.aws_options import StreamArn
from kinesink.core import retry_policy
from kinesink.core.records import Answered, Failure
from kinesink.shell import resting, wire
from kinesink.shell.credentials import Signer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType

    import httpx
    from typing_extensions import Self

    from kinesink.config import Config
    from kinesink.core.records import PutRecordsEntry, ShardDescription, StreamSummary
    from kinesink.shell.aws_session import Destination
    from kinesink.shell.credentials import DestinationKind, SignedRequest
    from kinesink.shell.exchange import Answer, Exchange

Result = TypeVar("Result")

#: How a service says that it does not speak CBOR. moto answers 500 with a page.
_CBOR_REFUSALS: Final = frozenset({
    "SerializationException", "UnknownOperationException", "UnsupportedMediaType",
    "UnsupportedMediaTypeException", "HTTP 415", "HTTP 500",
})  # fmt: skip

_EXPIRED_NEXT_TOKEN: Final = "ExpiredNextTokenException"  # noqa: S105 - an error code


# The timeout is a parameter, against ASYNC109, because its end is a failure like any
# other here and not the caller's exception.
class KinesisClient:
    """Talks to Kinesis in one region, with httpx and botocore's credentials.

    Constructing it does no I/O; the first call finds credentials, region and endpoint in
    a thread. Belongs to one event loop (asyncio or trio); neither thread- nor fork-safe,
    but any number of tasks of its loop may call it. Close it with :meth:`aclose` or use
    it as an async context manager.

    :param config: where and how; see :class:`kinesink.Config`.
    :param transport: instead of the network, for tests.
    :param clock: seconds since the epoch, for signatures.
    """

    def __init__(
        self,
        config: Config,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._transport = transport
        self._clock = clock
        self._signer = Signer(config, clock)
        self._exchange: Exchange | None = None
        self._protocol: wire.Protocol = config.protocol
        self._cbor_works = False
        self._arn = StreamArn.parse(config.stream_arn)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection; calls in flight fail. Idempotent."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            await exchange.aclose()

    async def put_records(
        self,
        stream_name: str,
        entries: Sequence[PutRecordsEntry],
        *,
        timeout: float,  # noqa: ASYNC109 - see above
    ) -> Answered | Failure:
        """Write entries, and return what came of each or why the call failed.

        The results are as many as the service sent: comparing is the caller's. A failure
        without status may have written all the same.

        :param timeout: seconds for all of it, credentials and connecting included.
        :raises ValueError, TypeError: if UTF-8 cannot hold a key; see
            :func:`kinesink.shell.wire.encode_put_records`.
        """
        encode = partial(
            wire.encode_put_records, self._stream(stream_name), entries, rest=resting.rest
        )
        results = await self._within(
            timeout, partial(self._ask, "PutRecords", encode, wire.decode_put_records), "data"
        )
        return results if isinstance(results, Failure) else Answered(results)

    async def list_shards(
        self,
        stream_name: str,
        *,
        timeout: float,  # noqa: ASYNC109 - see above
    ) -> list[ShardDescription] | Failure:
        """Return every open shard.

        A listing whose token expired on the way begins once more.

        :param timeout: seconds for all pages together.
        """
        return await self._within(timeout, partial(self._list_shards, stream_name))

    async def describe_stream_summary(
        self,
        stream_name: str,
        *,
        timeout: float,  # noqa: ASYNC109 - see above
    ) -> StreamSummary | Failure:
        """Return what the pipeline needs to know of the stream.

        :param timeout: seconds for all of it.
        """
        encode = partial(wire.encode, wire.stream_member(self._stream(stream_name)))
        decode = wire.decode_describe_stream_summary
        return await self._within(
            timeout, partial(self._ask, "DescribeStreamSummary", encode, decode)
        )

    def _stream(self, stream_name: str) -> str:
        """Return how requests name a stream: by its ARN if the configured one has one.

        Only an ARN reaches the stream of another account. Every stream of a producer is
        taken to be where the configured one is.
        """
        if self._arn is None:
            return stream_name
        return str(self._arn._replace(stream_name=stream_name))

    async def _within(
        self,
        timeout: float,  # noqa: ASYNC109 - see above
        call: Callable[[], Awaitable[Result | Failure]],
        to: DestinationKind = "control",
    ) -> Result | Failure:
        with anyio.move_on_after(timeout):
            return await call()
        destinations = self._signer.destinations
        if destinations is None:
            text = "no AWS credentials and settings were found"
        else:
            text = f"no complete answer from {getattr(destinations, to).host}"
        return Failure(retry_policy.READ_TIMEOUT, f"{text} in {timeout:g} s")

    async def _list_shards(self, stream_name: str) -> list[ShardDescription] | Failure:
        listed = await self._list_pages(stream_name)
        if isinstance(listed, Failure) and listed.code == _EXPIRED_NEXT_TOKEN:
            return await self._list_pages(stream_name)
        return listed

    async def _list_pages(self, stream_name: str) -> list[ShardDescription] | Failure:
        shards: list[ShardDescription] = []
        next_token: str | None = None
        while True:
            members = wire.list_shards_members(self._stream(stream_name), next_token)
            encode = partial(wire.encode, members)
            page = await self._ask("ListShards", encode, wire.decode_list_shards)
            if isinstance(page, Failure):
                return page
            more, following = page
            shards += more
            if following is None:
                return shards
            if following == next_token:
                return Failure(retry_policy.UNDECODABLE_RESPONSE, "ListShards goes in circles")
            next_token = following

    async def _ask(
        self,
        operation: wire.Operation,
        encode: Callable[[wire.Protocol], bytes],
        decode: Callable[[str, bytes], Result],
    ) -> Result | Failure:
        """Make one call, or two if the first shows that CBOR is not understood."""
        protocol = self._protocol
        outcome = await self._send(operation, protocol, encode(protocol), decode)
        if protocol == "json" or self._cbor_works:
            return outcome
        if not isinstance(outcome, Failure):
            self._cbor_works = True
        elif outcome.code in _CBOR_REFUSALS:
            self._protocol = "json"
            return await self._send(operation, "json", encode("json"), decode)
        return outcome

    async def _send(
        self,
        operation: wire.Operation,
        protocol: wire.Protocol,
        body: bytes,
        decode: Callable[[str, bytes], Result],
    ) -> Result | Failure:
        to: DestinationKind = "data" if operation == "PutRecords" else "control"
        signed = await self._signer.sign(wire.request_headers(operation, protocol), body, to)
        if isinstance(signed, Failure):
            return signed
        resting.rest()
        connections = self._connections(signed.destination)
        if isinstance(connections, Failure):
            return connections
        answer = await connections.post(signed)
        if isinstance(answer, Failure):
            return answer
        if not answer.success:
            return self._refused(signed, answer)
        try:
            return decode(answer.headers.get("content-type", ""), answer.body)
        except ValueError as error:
            return wire.undecodable(
                answer.status, answer.headers, error, host=signed.destination.host
            )

    def _connections(self, destination: Destination) -> Exchange | Failure:
        if self._exchange is None:
            from kinesink.shell import exchange  # noqa: PLC0415 - the signer loaded it

            opened = exchange.open_exchange(self._config, destination, self._transport)
            if isinstance(opened, Failure):
                return opened
            self._exchange = opened
        return self._exchange

    def _refused(self, signed: SignedRequest, answer: Answer) -> Failure:
        """Return what the service says, and take from it what the next request needs."""
        failure = wire.decode_failure(
            answer.status,
            answer.headers,
            answer.body,
            host=signed.destination.host,
            now=self._clock(),
            secrets=signed.secrets,
        )
        if retry_policy.is_clock_failure(failure.code, failure.message):
            server_time = wire.server_time(answer.headers, failure.message)
            if server_time is not None:
                self._signer.correct_clock(server_time)
        elif failure.code in retry_policy.CREDENTIAL_CODES:
            self._signer.reject(signed.generation)
        return failure

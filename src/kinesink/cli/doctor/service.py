"""The calls of a check-up, over the library's own signatures, connections and formats.

Law: each call is made once, or twice if the library would repeat it at once; what goes wrong
is a value. Belongs to one event loop.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import anyio

from kinesink.core import retry_policy
from kinesink.core.records import Failure
from kinesink.shell import exchange, wire
from kinesink.shell.credentials import SignedRequest, Signer
from kinesink.shell.kinesis import KinesisClient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import TypeVar

    from kinesink.config import Config
    from kinesink.core.records import ShardDescription, StreamSummary
    from kinesink.shell.aws_session import Destination
    from kinesink.shell.exchange import Answer, Exchange

    Found = TypeVar("Found")

_TARGET: Final = "Kinesis_20131202."


class Service:
    """Talks to Kinesis about one stream; constructing it does no I/O."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._timeout = config.request_timeout
        self._client = KinesisClient(config)
        self._signer = Signer(config, time.time)
        self._exchange: Exchange | None = None
        #: How requests name the stream.
        self.stream: Final = wire.stream_member(config.stream_arn or config.stream_name)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()
        if self._exchange is not None:
            await self._exchange.aclose()

    async def hello(self, destination: Destination) -> Answer | Failure:
        """Send an empty request without signature: whatever answers, answers."""
        return await self._post(SignedRequest(destination, {}, b"", 0, ()))

    async def describe_stream_summary(self) -> StreamSummary | Failure:
        """Return what the library asks before it writes."""
        name, timeout = self._config.stream_name, self._timeout
        return await _repeated(lambda: self._client.describe_stream_summary(name, timeout=timeout))

    async def list_shards(self) -> list[ShardDescription] | Failure:
        """Return the open shards, as the library finds them."""
        name, timeout = self._config.stream_name, self._timeout
        return await _repeated(lambda: self._client.list_shards(name, timeout=timeout))

    async def ask(self, operation: str, members: Mapping[str, object]) -> dict[str, Any] | Failure:
        """Make a call that the library does not make."""
        return await _repeated(lambda: self._ask(operation, members))

    async def _ask(self, operation: str, members: Mapping[str, object]) -> dict[str, Any] | Failure:
        body = wire.encode(members, "json")
        headers = {
            "Content-Type": wire.CONTENT_TYPES["json"],
            "X-Amz-Target": _TARGET + operation,
        }
        signed = await self._signer.sign(headers, body)
        if isinstance(signed, Failure):
            return signed
        answer = await self._post(signed)
        if isinstance(answer, Failure):
            return answer
        host = signed.destination.host
        try:
            if answer.success:
                return wire.decode(answer.headers.get("content-type", ""), answer.body)
        except ValueError as error:
            return wire.undecodable(answer.status, answer.headers, error, host=host)
        failure = wire.decode_failure(
            answer.status, answer.headers, answer.body,
            host=host, now=time.time(), secrets=signed.secrets,
        )  # fmt: skip
        if retry_policy.is_clock_failure(failure.code, failure.message):
            moment = wire.server_time(answer.headers, failure.message)
            self._signer.correct_clock(time.time() if moment is None else moment)
        return failure

    async def _post(self, request: SignedRequest) -> Answer | Failure:
        if self._exchange is None:
            opened = exchange.open_exchange(self._config, request.destination, None)
            if isinstance(opened, Failure):
                return opened
            self._exchange = opened
        with anyio.move_on_after(self._timeout):
            return await self._exchange.post(request)
        text = f"no complete answer from {request.destination.host} in {self._timeout:g} s"
        return Failure(retry_policy.READ_TIMEOUT, text)


async def _repeated(call: Callable[[], Awaitable[Found | Failure]]) -> Found | Failure:
    """Make a call, once more if the library would repeat it at once."""
    outcome = await call()
    if isinstance(outcome, Failure):
        kind = retry_policy.classify_request(outcome.code, outcome.message)
        if retry_policy.can_resend_at_once(outcome.code, kind):
            return await call()
    return outcome

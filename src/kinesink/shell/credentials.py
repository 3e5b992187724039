"""Signed requests without waiting where it can be helped: what is slow runs in a thread.

Law of this file: at most one look-up or refresh of credentials is under way at a time,
in a thread of its own; who needs its result waits for it and may stop waiting, and the
result serves whoever comes next. Credentials that still work go on serving meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Final, Literal

from kinesink.core.records import Failure
from kinesink.shell.exit_safe import start_in_thread, wait_finished
from kinesink.shell.readable import worth_hiding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

    from kinesink.config import Config
    from kinesink.shell.aws_session import AwsSession, Destination, Destinations, Keys
    from kinesink.shell.exit_safe import Arguments

#: With less time left than this the credentials may end while a request travels, so
#: requests wait for the refresh. Ten request timeouts; botocore's 10 minutes would make
#: them wait for a service that is down while the credentials still work.
_LAST_MOMENT: Final = 60.0

#: Pause between refreshes that are not yet urgent, in seconds: credentials that live
#: less than botocore's 15 minutes of advance notice always look due.
_REFRESH_PAUSE: Final = 60.0


DestinationKind = Literal["data", "control"]
"""What a request is about: records, or the stream."""


class SetupError(Exception):
    """There is nothing to sign with, or nowhere to send to."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        #: One of the client's own codes.
        self.code = code


@dataclass(frozen=True)
class SignedRequest:
    """What to send, and what signed it."""

    destination: Destination
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    generation: int
    """Which credentials signed it, for :meth:`Signer.reject`."""
    secrets: tuple[str, ...] = field(repr=False)
    """Texts that must not show up in a message, should an answer repeat them."""


@dataclass(frozen=True)
class _Identity:
    """Who we are and where requests go, until the next look-up or refresh."""

    session: AwsSession
    keys: Keys
    destinations: Destinations
    generation: int


class Signer:
    """Signs every request anew, with credentials that are fetched and refreshed in time.

    Belongs to one event loop and is not thread-safe; not usable in a forked child. Takes
    the time from ``clock`` (seconds since the epoch) and adds the offset learnt from the
    service.
    """

    def __init__(self, config: Config, clock: Callable[[], float]) -> None:
        self._config = config
        self._clock = clock
        self._offset = 0.0
        self._identity: _Identity | None = None
        self._rejected: int | None = None
        self._work: Future[_Identity] | None = None
        self._next_refresh = 0.0

    @property
    def destinations(self) -> Destinations | None:
        """Where requests go; None before the first :meth:`sign` that found out."""
        return None if self._identity is None else self._identity.destinations

    async def sign(
        self, headers: Mapping[str, str], body: bytes, to: DestinationKind = "data"
    ) -> SignedRequest | Failure:
        """Return the request signed as of now, or why it cannot be signed.

        Waits only while there are no credentials that could serve.

        :param to: which of the destinations.
        """
        try:
            identity = await self._usable_identity()
        except SetupError as error:
            return Failure(error.code, str(error))
        from kinesink.shell import aws_session  # noqa: PLC0415 - loaded by the look-up's thread

        keys, destination = identity.keys, getattr(identity.destinations, to)
        now = self._clock() + self._offset
        signed = aws_session.sign(keys, destination, headers=headers, body=body, now=now)
        secrets = worth_hiding(
            (keys.token, keys.access_key, signed["Authorization"].rpartition("=")[2])
        )
        return SignedRequest(destination, signed, body, identity.generation, secrets)

    def reject(self, generation: int) -> None:
        """Note that the service refused credentials; the next request looks them up anew.

        What was signed with older ones is no news, so many requests in flight cause one
        look-up.
        """
        self._adopt()
        if self._identity is not None and self._identity.generation == generation:
            self._rejected = generation

    def correct_clock(self, server_time: float) -> None:
        """Sign from now on with the time of the service, in seconds since the epoch."""
        self._offset = server_time - self._clock()

    async def _usable_identity(self) -> _Identity:
        self._adopt()
        identity = self._identity
        if identity is None or identity.generation == self._rejected:
            return await self._wait_for(_look_up, self._config, identity)
        if identity.session.refresh_due():
            if identity.session.refresh_due(within=_LAST_MOMENT):
                return await self._wait_for(_refresh, identity)
            now = self._clock()
            if self._work is None and now >= self._next_refresh:
                self._next_refresh = now + _REFRESH_PAUSE
                self._work = start_in_thread(_refresh, identity)
        return identity

    async def _wait_for(
        self,
        fetch: Callable[Arguments, _Identity],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> _Identity:
        """Wait for what is under way, and start ``fetch`` if nothing is."""
        if self._work is None:
            self._work = start_in_thread(fetch, *args, **kwargs)
        try:
            return await wait_finished(self._work)
        finally:
            self._adopt()

    def _adopt(self) -> None:
        """Take over what a finished thread has found; its failure was its waiters' news."""
        work = self._work
        if work is None or not work.done():
            return
        self._work = None
        if work.exception() is None:
            self._identity = work.result()


def _look_up(config: Config, known: _Identity | None) -> _Identity:
    """Find credentials afresh, and the destination unless it is known. In a thread."""
    aws_session = import_module("kinesink.shell.aws_session")
    import_module("kinesink.shell.exchange")  # 0.1 s of imports that the loop need not wait for
    session: AwsSession = aws_session.AwsSession(config)
    keys = session.find_keys()
    if known is None:
        return _Identity(session, keys, session.destinations(), 0)
    return _Identity(session, keys, known.destinations, known.generation + 1)


def _refresh(known: _Identity) -> _Identity:
    """Let botocore refresh the credentials that are known. In a thread."""
    return replace(known, keys=known.session.refreshed_keys(), generation=known.generation + 1)

"""The streams of one producer, by name, and the account of those it has let go.

Law: a stream exists from its first record on, and as long as anything of it is pending
or under way. One that nobody has used for a while costs nothing but its account.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from kinesink.shell.account import total
from kinesink.shell.stream import Stream
from kinesink.statistics import Statistics, combine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink.config import Config
    from kinesink.core.ledger import Ledger
    from kinesink.core.records import UserRecord

#: Seconds after which a stream that nobody uses is let go: its map of shards, its rates
#: and its next questions. The configured one stays, for a log may be silent for long.
IDLE_SECONDS: Final = 600.0

#: Seconds between two looks for such streams.
_TIDY_INTERVAL: Final = 60.0

#: Streams whose account is kept after they were let go; older ones are in the sum only.
_MOST_ACCOUNTS: Final = 1000


class Streams:
    """The streams in use. Not thread-safe: one task owns it."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._streams: dict[str, Stream] = {}
        #: What streams that were let go have done, together and each.
        self.past = Statistics()
        self._past_of: dict[str, Statistics] = {}
        #: What is pending: events, their data and overhead in bytes, and in how many streams.
        self.held_events = 0
        self.held_bytes = 0
        self.held_streams = 0
        self._tidy_at = -math.inf

    def __iter__(self) -> Iterator[Stream]:
        return iter(self._streams.values())

    def get(self, name: str) -> Stream | None:
        """Return a stream, if it is in use."""
        return self._streams.get(name)

    def use(self, name: str, now: float) -> Stream:
        """Return a stream that is used now."""
        stream = self._streams.get(name)
        if stream is None:
            stream = self._streams[name] = Stream(self._config, name, now)
        stream.used_at = now
        return stream

    def hold(self, stream: Stream, record: UserRecord) -> None:
        """Count a record that came in since the account was settled."""
        held_bytes = stream.held_bytes
        self.held_streams += not stream.held_events
        stream.hold(record)
        self.held_bytes += stream.held_bytes - held_bytes
        self.held_events += 1

    def settle(self) -> list[Ledger]:
        """Return the account as it is now, for other threads to read, and count what is held."""
        ledgers: list[Ledger] = []
        self.held_bytes = self.held_events = self.held_streams = 0
        for stream in self:
            stream.settle()
            ledgers += stream.frozen_ledgers
            self.held_bytes += stream.held_bytes
            self.held_events += stream.held_events
            self.held_streams += stream.held_events > 0
        return ledgers

    def tidy(self, now: float) -> None:
        """Forget now and then the streams that nobody has used for long."""
        if now >= self._tidy_at:
            self._tidy_at = now + _TIDY_INTERVAL
            self.let_go(now)

    def let_go(self, now: float) -> None:
        """Forget the streams that nobody has used for long, but for their account."""
        oldest = now - IDLE_SECONDS
        for name, stream in list(self._streams.items()):
            if stream.used_at <= oldest and stream.idle and name != self._config.stream_name:
                del self._streams[name]
                account = total(stream.ledgers)
                self.past = combine(self.past, account)
                self._past_of[name] = combine(self._past_of.pop(name, Statistics()), account)
        while len(self._past_of) > _MOST_ACCOUNTS:
            del self._past_of[next(iter(self._past_of))]

    def statistics(self, name: str | None) -> Statistics:
        """Return the account of one stream, or of all of them."""
        if name is None:
            return combine(self.past, total(self.ledgers()))
        stream = self._streams.get(name)
        past = self._past_of.get(name, Statistics())
        return past if stream is None else combine(past, total(stream.ledgers))

    def ledgers(self) -> list[Ledger]:
        """Return the account of the streams in use."""
        return [ledger for stream in self for ledger in stream.ledgers]

"""The totals of all sinks that this process has had, by stream.

Law: a total never goes down. When a sink is gone its account is kept until its thread has
delivered what was pending, and is then added to what its stream had before.

Only readers wait for each other here, no event does.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, NamedTuple

from kinesink.shell.fork import in_each_child
from kinesink.shell.sink import every_sink
from kinesink.statistics import Statistics, combine

if TYPE_CHECKING:
    from kinesink.config import Config
    from kinesink.shell.background import Background
    from kinesink.shell.intake import Intake
    from kinesink.shell.sink import Sink


class Place(NamedTuple):
    """Where events go."""

    stream_name: str
    endpoint_url: str | None


class Total(NamedTuple):
    """What has become of all events for one place, and how many more may wait."""

    statistics: Statistics = Statistics()
    max_pending_bytes: int = 0
    """The bounds of the sinks there are, together."""
    max_pending_events: int = 0
    """The same in events, of those sinks that have such a bound."""

    def plus(self, statistics: Statistics, config: Config | None) -> Total:
        """Return the total with the account of one sink more.

        :param config: that of the sink; None if it is gone.
        """
        total = self._replace(statistics=combine(self.statistics, statistics))
        if config is None:
            return total
        return total._replace(
            max_pending_bytes=self.max_pending_bytes + config.max_pending_bytes,
            max_pending_events=self.max_pending_events + (config.max_pending_events or 0),
        )


class _Account(NamedTuple):
    """What is left of a sink when it is gone."""

    sink: weakref.ref[Sink]
    place: Place
    background: Background
    intake: Intake


class Totals:
    """Knows every sink that there was at one of its readings. Safe from any thread."""

    def __init__(self) -> None:
        self.renew()
        in_each_child(self.renew)

    def renew(self) -> None:
        """Begin anew, as a forked child must: the totals so far are the parent's."""
        # A thread may have held the old one that lives in the parent alone.
        self._lock = threading.RLock()
        self._accounts: dict[Background, _Account] = {}
        self._past: dict[Place, Total] = {}

    def read(self) -> dict[Place, Total]:
        """Return what has become of all events, by place."""
        with self._lock:
            for sink in every_sink():
                account = _account_of(sink)
                self._accounts.setdefault(account.background, account)
            totals = self._past.copy()
            for account in list(self._accounts.values()):
                sink_or_none = account.sink()
                # Asked first: what has ended by then adds nothing to what is read.
                ended = sink_or_none is None and account.background.wait_ended(0)
                statistics = account.intake.statistics()
                config = None if sink_or_none is None else sink_or_none.config
                place = account.place
                totals[place] = totals.get(place, Total()).plus(statistics, config)
                if ended and not statistics.pending:
                    self._past[place] = self._past.get(place, Total()).plus(statistics, None)
                    del self._accounts[account.background]
            return totals


def _account_of(sink: Sink) -> _Account:
    place = Place(sink.config.stream_name, sink.config.endpoint_url)
    return _Account(weakref.ref(sink), place, sink._background, sink._intake)  # noqa: SLF001 - they outlive it

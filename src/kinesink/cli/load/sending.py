"""Hand events over at a rate, and take the time until Kinesis has acknowledged each."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

from kinesink.cli.exits import CommandError
from kinesink.cli.load.latencies import Latencies
from kinesink.cli.load.plan import Events
from kinesink.errors import InvalidRecordError
from kinesink.shell.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from kinesink.cli.load.plan import Plan
    from kinesink.config import Config
    from kinesink.core.records import RecordResult
    from kinesink.statistics import Statistics

TICK: Final = 0.01
"""Seconds between two bursts. Shorter naps cost more than what they smooth."""


class Sending:
    """One load through one sink."""

    def __init__(self, plan: Plan, config: Config) -> None:
        self._plan = plan
        self._sink = Sink(config)
        self._events = Events(plan)
        self._begun = 0.0
        self.error = ""
        """Why an event was given up, in the words of the first; empty if none was."""
        self.latencies: Final = Latencies()
        self.handed_over = 0
        self.took = 0.0
        """Seconds until the latest was handed over."""

    def run(self, tell: Callable[[Sending], object]) -> None:
        """Hand over what is planned, and return when all of it has.

        :param tell: called again and again.
        :raises CommandError: if the stream can take no event of this size.
        :raises KeyboardInterrupt: if somebody has enough; what was handed over is on its way.
        """
        self._begun = time.monotonic()
        while self.handed_over < self._plan.events:
            due = min(int(self.elapsed * self._plan.rate), self._plan.events)
            while self.handed_over < due:
                self._hand_over(self.handed_over)
                self.handed_over += 1
            self.took = self.elapsed
            tell(self)
            time.sleep(TICK)

    def end(self) -> None:
        """Wait until everything is delivered or given up, as long as an exit may wait; close."""
        self._sink.close()

    @property
    def elapsed(self) -> float:
        """Seconds since the begin."""
        return time.monotonic() - self._begun

    @property
    def account(self) -> Statistics:
        """The account of the sink."""
        return self._sink.statistics()

    def _hand_over(self, number: int) -> None:
        data, key = self._events.make(number), self._events.key(number)
        before = time.monotonic()
        try:
            future = self._sink.submit(data, key)
        except InvalidRecordError as error:
            raise CommandError(f"--size {self._plan.size} cannot be sent: {error}.") from error
        # Called in one thread, whichever thread has the result.
        future.add_done_callback(partial(self._done, before))

    def _done(self, before: float, future: Future[RecordResult]) -> None:
        result = future.result()
        if result.success:
            self.latencies.add(time.monotonic() - before)
        else:
            self.error = self.error or str(result.error)

"""Tell what becomes of events.

Of those that were given up an operator is told at once, and consumers in the stream itself;
of all of them whoever counts.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final

from kinesink.core.records import DropReason, UserRecord
from kinesink.event.levels import level_in
from kinesink.shell.dead_letters import DeadLetters
from kinesink.shell.losses import Losses, LossTicket
from kinesink.shell.process_exit import process_exit
from kinesink.shell.readings import Readings
from kinesink.shell.reporter import Reporter, events_in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kinesink.config import Config
    from kinesink.core.effects import Dropped
    from kinesink.core.records import Content
    from kinesink.shell.losses import Loss
    from kinesink.shell.pulse import Pulse
    from kinesink.shell.stream import Stream


#: Reasons that say that Kinesis has not taken what was sent.
_IN_VAIN: Final = frozenset({DropReason.EXPIRED, DropReason.SHUTDOWN})


class Teller:
    """Tells what one producer after the other over the same events gives up.

    Making one does nothing yet. Used by the producer's task, but for its parts, which are
    safe from any thread.
    """

    #: Of the producer whose account it is; see :meth:`begin`.
    _pulse: Pulse

    def __init__(
        self,
        config: Config,
        reporter: Reporter,
        write: Callable[[Loss], tuple[bytes, ...]] | None = None,
    ) -> None:
        self._config = config
        #: Tells an operator.
        self.reporter = reporter
        #: What is still to be told in the stream.
        self.losses = Losses(write)
        #: Where given up events go.
        self.dead_letters = DeadLetters(config, self.report)
        #: Where the account goes.
        self.readings = Readings(config, self.report)
        #: How many events had been accepted when an operator was told that some are left.
        self.left_told_at = 0
        #: Whether events were given up that Kinesis did not take in time.
        self._in_vain = False
        #: Events that had arrived when the last one was lost.
        self._delivered_before = 0

    def renewed(self) -> Teller:
        """Return one that has told nothing, for a forked child."""
        return Teller(self._config, Reporter(self._config.on_error), self.losses.write)

    def begin(self, pulse: Pulse, now: float) -> None:
        """Begin with another producer's account and clock, and note losses there."""
        self._delivered_before = 0
        self._pulse = pulse
        self.losses.begin(now)
        self.readings.begin()

    @property
    def idle(self) -> bool:
        """Whether everybody has been told."""
        return all(part.idle for part in (self.reporter, self.dead_letters, self.readings))

    def wait_told(self, timeout: float) -> None:
        """Wait until everybody has been told, in seconds at most."""
        ends_at = process_exit.now() + timeout
        for wait in self.readings.wait_idle, self.dead_letters.wait_idle, self.reporter.wait_told:
            # What the first two run into is told by the last.
            wait(max(0.0, ends_at - process_exit.now()))

    def report(self, kind: str, text: str) -> None:
        """Tell of trouble at most once a minute and kind."""
        text = f"stream {self._config.stream_name!r}: {text}"
        self.reporter.report(kind, text)

    def dropped(self, stream: Stream, drop: Dropped, now: float) -> None:
        """Tell of events that were given up after they came in."""
        self.lost(stream, drop.reason, self._levels_of(drop.contents), drop.error, now)
        self._send_away(drop)

    def abandoned(self, drop: Dropped, now: float) -> None:
        """Tell all but the operator of events that were given up in the end."""
        self._note(drop.reason, self._levels_of(drop.contents), now)
        self._send_away(drop)

    def _note(self, reason: DropReason, levels: Mapping[str | None, int], now: float) -> None:
        self.losses.add(reason, levels, now)
        self._in_vain = self._in_vain or reason in _IN_VAIN

    def _send_away(self, drop: Dropped) -> None:
        if self.dead_letters.wanted:
            events = [data for content in drop.contents for data in content.each()]
            self.dead_letters.send(drop.reason, drop.error, events)

    def _levels_of(self, contents: Iterable[Content]) -> Mapping[str | None, int]:
        """Return how many events of each level there are, if that is to be told."""
        if self.losses.write is None:
            return {None: sum(map(len, contents))}
        return Counter(level_in(data) for content in contents for data in content.each())

    def lost(
        self,
        stream: Stream,
        reason: DropReason,
        levels: Mapping[str | None, int],
        error: str,
        now: float,
    ) -> None:
        """Tell of events that were given up, by level."""
        text = f"stream {stream.name!r}: {events_in_words(sum(levels.values()))} dropped, {error}"
        self.reporter.report(f"dropped:{reason.value}", text, about=stream.name)
        self._note(reason, levels, now)
        self._pulse.lost(now)
        self._delivered_before = stream.delivered

    def due_at(self, stream: Stream) -> float:
        """Return when :meth:`records` has something, as far as is known."""
        if not self.losses.any_to_tell or not self._works(stream):
            # The answer that it works again is a turn of the task by itself.
            return math.inf
        return self.losses.due_at()

    def records(self, stream: Stream, now: float, clock: Callable[[], float]) -> list[UserRecord]:
        """Return the loss record that is to be sent, and forget what it tells.

        It comes back if it is lost. Several records, if the application's options about
        size make that of it.

        :param clock: of which ``now`` is a reading.
        """
        write = self.losses.write
        if write is None or not self.losses.any_to_tell or not self._works(stream):
            return []
        loss = self.losses.take(now)
        ticket = LossTicket(self.losses, loss, clock)
        # Of several lines, the first stands for all.
        return [
            UserRecord(line, arrival=now, ticket=None if position else ticket)
            for position, line in enumerate(write(loss))
        ]

    def _works(self, stream: Stream) -> bool:
        """Tell whether Kinesis takes events, as far as is known."""
        if stream.delivered > self._delivered_before:
            return True
        return stream.pipeline.last_error is None and not self._in_vain

"""The spool at work in the producer's task: what goes there, what comes back, and when."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from kinesink.core.effects import Dropped
from kinesink.core.pipeline import Pipeline
from kinesink.shell.intake import EVENT_OVERHEAD_BYTES
from kinesink.shell.overflow import excess_bytes
from kinesink.shell.spool_account import RESCUED
from kinesink.shell.spool_owner import Owner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kinesink.config import Config
    from kinesink.core.records import Content, DropReason
    from kinesink.shell.spool_job import Job
    from kinesink.shell.spooler import Spooler
    from kinesink.shell.stream import Stream
    from kinesink.shell.teller import Teller
    from kinesink.statistics import Statistics

#: Memory gives its oldest events away from this share on, before any level is shed.
_SHARE: Final = 0.5


class Spooling:
    """Belongs to the producer's task.

    :param stream: returns the configured stream.
    :param add: gives events to its pipeline.
    :param guarded: has its pipeline do something, whatever that raises.
    :param start: has a job run in a thread, and :meth:`finish` called in the task.
    """

    def __init__(  # noqa: PLR0913 - what the task can do, each by its name
        self,
        spooler: Spooler,
        teller: Teller,
        *,
        stream: Callable[[float], Stream],
        add: Callable[[Stream, list[Content]], None],
        guarded: Callable[[Stream, Callable[[Pipeline], list[Content]]], list[Content] | None],
        start: Callable[[Job[Any]], None],
        clock: Callable[[], float],
    ) -> None:
        self._spooler = spooler
        self._teller = teller
        self._stream = stream
        self._add = add
        self._guarded = guarded
        self._start = start
        self._clock = clock
        self._has_added = False
        spooler.begin(Owner(
            add=self._bring_back,
            take_back=self._take_back,
            dropped=self._dropped,
            lost=self._lost,
            report=partial(teller.report, "spool"),
            works=lambda: self._stream(self._clock()).delivered > 0,
            clock=clock,
        ))  # fmt: skip

    @property
    def is_busy(self) -> bool:
        """Whether something is under way, or waits for the disk and may go there."""
        return self._spooler.is_busy

    @property
    def kept(self) -> int:
        """How many events are on disk and not in memory."""
        return self._spooler.parked

    def settle(self) -> Statistics:
        """Return the account of what is on disk and not in memory."""
        return self._spooler.settle()

    # -- in --------------------------------------------------------------------

    def relieve(
        self, stream: Stream, held_bytes: int, held_events: int, config: Config, now: float
    ) -> bool:
        """Have the oldest events saved if too much is held; False if the disk has no time."""
        size = excess_bytes(held_bytes, held_events, config, _SHARE)
        if not size:
            return True
        if not self._spooler.is_ready:
            return False
        move = partial(
            Pipeline.move_out_oldest, size=size, now=now, event_overhead=EVENT_OVERHEAD_BYTES
        )
        self._spooler.save(self._guarded(stream, move) or [], None)
        return True

    def rescues(self, stream: Stream, drop: Dropped) -> bool:
        """Take over events that were given up; False if that is not to be, or cannot be."""
        if drop.reason not in RESCUED or not self._spooler.takes:
            return False
        stream.take_back(drop.reason, sum(map(len, drop.contents)))
        self._spooler.save(drop.contents, drop.reason)
        return True

    # -- the task --------------------------------------------------------------

    def turn(self, now: float, fill: float) -> float:
        """Begin what is to be done now; return when to be asked again."""
        job = self._spooler.job(now, fill)
        if job is not None:
            self._start(job)
        if self._has_added:
            # The pipeline has not been asked since.
            self._has_added = False
            return now
        return self._spooler.deadline(now)

    def finish(self) -> None:
        """Take what came of a job."""
        self._spooler.finish()

    def leave(self) -> None:
        """Save what is to be saved, here and now; bring nothing back any more."""
        self._spooler.leave()

    def close(self) -> None:
        """Do the same, and give the files up."""
        self._spooler.close()

    # -- for the spooler -------------------------------------------------------

    def _bring_back(self, contents: list[Content]) -> None:
        stream = self._stream(self._clock())
        stream.expect_all(contents)
        self._add(stream, contents)
        self._has_added = True

    def _take_back(self, reason: DropReason, events: int) -> None:
        self._stream(self._clock()).take_back(reason, events)

    def _dropped(self, reason: DropReason, contents: list[Content], error: str) -> None:
        now = self._clock()
        self._teller.dropped(self._stream(now), Dropped(contents, reason, error), now)

    def _lost(self, reason: DropReason, levels: Mapping[str | None, int], error: str) -> None:
        now = self._clock()
        self._teller.lost(self._stream(now), reason, levels, error, now)

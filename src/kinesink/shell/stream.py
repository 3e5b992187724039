"""One stream of a producer: its pipeline, and what an error of kinesink's own costs it.

Law: whatever a pipeline raises, every event it was given ends, every outcome resolves,
and the account adds up. The events that were being worked on when it happened are lost
and counted; the others go into a new pipeline.
"""

from __future__ import annotations

import math
import time
from copy import copy
from random import SystemRandom
from typing import TYPE_CHECKING, Final, NamedTuple

from kinesink.compression import compressor
from kinesink.core.effects import Delivered, Dropped, Report
from kinesink.core.pipeline import Pipeline
from kinesink.core.records import DropReason, RecordResult, UserRecord
from kinesink.shell import resting
from kinesink.shell.intake import EVENT_OVERHEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeGuard

    from kinesink.config import Config
    from kinesink.core.effects import Effect
    from kinesink.core.ledger import Ledger
    from kinesink.core.records import Content, Ticket

#: A pipeline that fails again within so many seconds of its start loses all it holds:
#: what was moved from the last one may be what it fails at.
_RESTART_INTERVAL: Final = 60.0

#: Not the generator of :mod:`random`, whose sequence is the application's, as it has seeded it;
#: and forked children must not draw what their parent draws.
_draw: Final = SystemRandom().random

#: The only reason that says "our fault".
_OUR_FAULT: Final = DropReason.INTERNAL

#: Marks what a failed pipeline gives up only to be moved.
_MOVED: Final = "moved to a new pipeline"


class Stream:
    """The pipeline of one stream. Not thread-safe: one task owns it."""

    def __init__(self, config: Config, name: str, now: float) -> None:
        self.name = name
        self._config = config
        self._failed: list[Ledger] = []
        self._restarted_at = -math.inf
        compression = config.compression
        self._compressor = None if compression is None else compressor(compression)
        #: Who waits for which record under way.
        self._tickets: dict[Content, Ticket] = {}
        #: Calls under way, also those of a pipeline that has failed.
        self.calls = 0
        #: When a record came in last.
        self.used_at = now
        #: When the pipeline wants to be asked again; as long as it was not asked anything.
        self.due_at = -math.inf
        #: Events that are pending, and their data and overhead in bytes.
        self.held_events = 0
        self.held_bytes = 0
        self.pipeline = self._new_pipeline(now)
        self._changed = True
        self.settle()

    def _new_pipeline(self, now: float) -> Pipeline:
        return Pipeline(
            self._config,
            stream_name=self.name,
            now=now,
            jitter=_draw,
            wall_offset=time.time() - now,
            compressor=self._compressor,
            rest=resting.rest,
        )

    def expect(self, record: UserRecord, ticket: Ticket) -> None:
        """Remember that somebody waits for a record."""
        self._tickets[record] = ticket

    def expect_all(self, contents: Iterable[Content]) -> None:
        """Remember who waits for those that somebody waits for."""
        for content in contents:
            if isinstance(content, UserRecord) and content.ticket is not None:
                self._tickets[content] = content.ticket

    def resolve(self, record: Content, result: RecordResult) -> None:
        """Tell who waits for a record."""
        self._tickets.pop(record).resolve(result)

    def touch(self) -> None:
        """Take note that something changes: the pipeline is due, the account out of date."""
        self.due_at = -math.inf
        self._changed = True

    def hold(self, record: UserRecord) -> None:
        """Count a record that came in since the account was settled."""
        self.held_events += 1
        self.held_bytes += len(record.data) + EVENT_OVERHEAD_BYTES

    @property
    def idle(self) -> bool:
        """Whether nothing is pending or to be told, and no call under way."""
        return not (self.calls or self.pipeline.ledger.pending or self._tickets)

    @property
    def ledgers(self) -> list[Ledger]:
        """The account: of the pipeline, and of those that failed."""
        return [*self._failed, self.pipeline.ledger]

    @property
    def delivered(self) -> int:
        """Events that have arrived."""
        return sum(ledger.delivered for ledger in self.ledgers)

    def take_back(self, reason: DropReason, events: int) -> None:
        """Count events that were given up as if they had never arrived: they are elsewhere."""
        self._changed = True
        # A pipeline that failed may be the one that has given them up.
        for ledger in self.ledgers:
            events -= ledger.take_back(reason, events)

    def settle(self) -> None:
        """Keep the account as it is now, for other threads to read."""
        if not self._changed:
            return
        self._changed = False
        #: The account, which nobody changes any more.
        self.frozen_ledgers = [_frozen(ledger) for ledger in self.ledgers]
        self.held_events = sum(ledger.pending for ledger in self.frozen_ledgers)
        pending_bytes = sum(ledger.pending_bytes for ledger in self.frozen_ledgers)
        self.held_bytes = pending_bytes + EVENT_OVERHEAD_BYTES * self.held_events

    def restart(self, error: Exception, now: float) -> Restart:
        """Go on with a new pipeline after the old one raised ``error``."""
        old, self.pipeline = self.pipeline, self._new_pipeline(now)
        self.touch()
        effects = _given_up_by(old, now)
        moved = [content for effect in effects if _is_move(effect) for content in effect.contents]
        lost = 0
        if now - self._restarted_at < _RESTART_INTERVAL:
            lost = sum(map(len, moved))
            moved = []
        self._restarted_at = now
        lost += _close_account(old.ledger, sum(map(len, moved)))
        self._failed.append(old.ledger)
        ends = [effect for effect in ends_only(effects) if not _is_move(effect)]
        going_on = {*moved, *(content for effect in ends for content in _told_of(effect))}
        for record in self._tickets.keys() - going_on:
            self.resolve(record, _our_fault(error))
        return Restart(lost, moved, ends)


class Restart(NamedTuple):
    """What a pipeline that failed leaves behind."""

    lost: int
    """Events that were lost, and counted so."""
    moved: list[Content]
    """What the new pipeline is to be given."""
    ends: list[Effect]
    """What had ended before, and was not told yet."""


def ends_only(effects: Iterable[Effect]) -> list[Effect]:
    """Return the effects that ask for no call to Kinesis."""
    return [effect for effect in effects if isinstance(effect, (Delivered, Dropped, Report))]


def _given_up_by(pipeline: Pipeline, now: float) -> list[Effect]:
    try:
        pipeline.abandon(_OUR_FAULT, _MOVED, now)
        return pipeline.effects(now)
    except Exception:  # noqa: BLE001 - it has failed before; then it gives nothing back
        return []


def _is_move(effect: Effect) -> TypeGuard[Dropped]:
    return isinstance(effect, Dropped) and effect.error == _MOVED


def _told_of(effect: Effect) -> list[Content]:
    if isinstance(effect, Delivered):
        return [effect.record]
    return effect.contents if isinstance(effect, Dropped) else []


def _close_account(ledger: Ledger, moved: int) -> int:
    """Take out what goes on elsewhere; drop what is left, and return its number."""
    lost = ledger.pending
    ledger.accepted -= moved
    dropped = ledger.dropped.pop(_OUR_FAULT, 0) - moved + lost
    if dropped:
        ledger.dropped[_OUR_FAULT] = dropped
    ledger.pending = ledger.pending_bytes = 0
    return lost


def _our_fault(error: Exception) -> RecordResult:
    return RecordResult(
        success=False, shard_id=None, sequence_number=None, attempts=(),
        reason=_OUR_FAULT, error=f"an error of kinesink's own, {error!r}",
    )  # fmt: skip


def _frozen(ledger: Ledger) -> Ledger:
    frozen = copy(ledger)
    frozen.dropped = dict(ledger.dropped)
    return frozen

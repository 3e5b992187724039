"""Calls a pipeline when it asks to be called, and hands on what it asks for.

Law: a pipeline is asked for its effects after everything that happens to it, and at its
deadline; the deadline then lies ahead, or the loop would spin.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from kinesink.core.effects import DescribeStream, ListShards, SendRequest
from kinesink.testing.simulation.violation import Violation

if TYPE_CHECKING:
    from kinesink.core.effects import Delivered, Dropped, Report
    from kinesink.core.pipeline import Pipeline
    from kinesink.testing.simulation.clock import VirtualClock

__all__ = ["Driver", "Surroundings"]


class Surroundings(Protocol):
    """What carries out the effects of one pipeline."""

    def send(self, effect: SendRequest) -> None:
        """Make a call of PutRecords."""

    def list_shards(self) -> None:
        """Make a call of ListShards."""

    def describe(self) -> None:
        """Make a call of DescribeStreamSummary."""

    def told(self, effect: Delivered | Dropped | Report) -> None:
        """Take what the pipeline has to say."""


class Driver:
    """One pipeline on a virtual clock."""

    def __init__(self, pipeline: Pipeline, clock: VirtualClock, surroundings: Surroundings) -> None:
        self.pipeline = pipeline
        self._clock = clock
        self._surroundings = surroundings
        self._wake_at = math.inf
        self._wakes = 0

    def step(self) -> None:
        """Carry out what the pipeline asks for now."""
        now = self._clock.now
        for effect in self.pipeline.effects(now):
            if isinstance(effect, SendRequest):
                self._surroundings.send(effect)
            elif isinstance(effect, ListShards):
                self._surroundings.list_shards()
            elif isinstance(effect, DescribeStream):
                self._surroundings.describe()
            else:
                self._surroundings.told(effect)
        deadline = self.pipeline.deadline(now)
        if not deadline > now:
            raise Violation("progress", f"the deadline {deadline!r} is not after now, {now!r}")
        if deadline != self._wake_at:
            self._wake_at = deadline
            self._wakes += 1
            if deadline < math.inf:
                self._arrange(deadline, self._wakes)

    def _arrange(self, deadline: float, wake: int) -> None:
        def wake_up() -> None:
            if wake == self._wakes:
                self._wake_at = math.inf
                self.step()

        self._clock.at(deadline, wake_up)

"""What the spool asks of the producer's task."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kinesink.core.records import Content, DropReason


class Owner(NamedTuple):
    """The task, as far as the spool knows it."""

    add: Callable[[list[Content]], None]
    """Takes events into the pipeline."""
    take_back: Callable[[DropReason, int], None]
    """Takes events out of the pipeline's account that it has given up."""
    dropped: Callable[[DropReason, list[Content], str], None]
    """Tells of events that were given up for good."""
    lost: Callable[[DropReason, Mapping[str | None, int], str], None]
    """Tells the same of events that nobody has, by level."""
    report: Callable[[str], None]
    """Tells an operator that something is wrong with the disk."""
    works: Callable[[], bool]
    """Tells whether Kinesis has taken anything yet."""
    clock: Callable[[], float]
    """Returns the task's time, in seconds."""

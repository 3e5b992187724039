"""What a stream is told about events that were lost: one event of their place."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final, Protocol

from kinesink.event.parts import Details
from kinesink.event.shaped import new_encoder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinesink.event.options import EventOptions
    from kinesink.event.parts import CallSite
    from kinesink.event.sequence import Sequence

#: The logger that loss records are of.
LOGGER: Final = "kinesink"

#: The attribute that no other event has: how many events were lost.
LOST: Final = "lost_events"


class Loss(Protocol):
    """Events that were given up."""

    @property
    def events(self) -> int:
        """How many in all."""

    @property
    def reasons(self) -> Mapping[str, int]:
        """How many, by reason."""

    @property
    def levels(self) -> Mapping[str, int]:
        """How many of them had which level."""

    @property
    def first(self) -> float:
        """When the first was given up, in seconds since the epoch."""

    @property
    def last(self) -> float:
        """When the last was."""


def loss_lines(options: EventOptions, sequence: Sequence | None, loss: Loss) -> tuple[bytes, ...]:
    """Return a loss record as every other event is written.

    A warning of the logger ``kinesink`` with the attributes ``lost_events``, ``dropped`` (by
    reason), ``levels``, ``from`` and ``to``.
    """
    # There is nothing of the application's in it, so nothing to hold back, and the names that
    # are to be shipped are not these.
    extra = options.extra if isinstance(options.extra, str) else None
    options = replace(options, extra=extra, redact=None)
    encoder = new_encoder(options)
    encoder.sequence = sequence
    noun = "event" if loss.events == 1 else "events"
    call_site: CallSite = (
        "WARNING", 30, LOGGER, None, None, None, None, os.getpid(),
    )  # fmt: skip
    attributes: dict[Any, Any] = {
        LOST: loss.events,
        "dropped": dict(loss.reasons),
        "levels": dict(loss.levels),
        "from": _text(loss.first),
        "to": _text(loss.last),
    }
    lines = encoder.encode(
        time.time(),
        call_site,
        f"kinesink lost {loss.events} {noun}",
        Details(attributes=attributes),
    )
    return (lines,) if isinstance(lines, bytes) else lines


def _text(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, tz=timezone.utc):%Y-%m-%dT%H:%M:%S.%fZ}"

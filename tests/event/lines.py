"""What tests of encoders share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kinesink.event.encoder import Encoder
from kinesink.event.options import EventOptions
from kinesink.event.process_facts import ProcessFacts

if TYPE_CHECKING:
    from kinesink.event.parts import CallSite
    from kinesink.event.shaped import ShapedEncoder

UNLIMITED = 1 << 40
NOWHERE: CallSite = ("", 0, "", None, None, None, None, None)


def options_of(**given: Any) -> EventOptions:  # noqa: ANN401 - whatever a test gives it
    """Return options."""
    return EventOptions(**given)


def limited(max_event_bytes: int, facts: ProcessFacts | None = None) -> Encoder:
    """Return an encoder of so large events."""
    return Encoder(EventOptions(max_event_bytes=max_event_bytes), facts or ProcessFacts())


def line_of(encoder: Encoder | ShapedEncoder, *parts: Any) -> bytes:  # noqa: ANN401 - as encode takes them
    """Return the one line that an event becomes, if it is not the first of its encoder."""
    if isinstance(encoder, Encoder):
        # The first one finds no second kept ready and takes the slow way.
        encoder.encode(0.5, NOWHERE, "")
    line = encoder.encode(*parts)
    assert isinstance(line, bytes)
    return line

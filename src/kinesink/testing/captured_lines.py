"""The data of a record that was captured, as the events in it.

Law: whatever the bytes, each event is a dictionary, and none is left out.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kinesink.decode import deaggregate

if TYPE_CHECKING:
    from kinesink.core.options import Framing

__all__ = ["Event", "events_in"]

Event = dict[str, Any]


def events_in(data: bytes, framing: Framing | None) -> list[Event]:
    """Return the events of one record.

    :param framing: what the producer is configured with; None recognises it.
    :raises MalformedRecordError: if a record that is put together is broken.
    """
    return [_event(part.data) for part in deaggregate(data, framing=framing)]


def _event(line: bytes) -> Event:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return {"data": line}
    try:
        event = json.loads(text)
    except ValueError:
        event = None
    return event if isinstance(event, dict) else {"message": text.removesuffix("\n")}

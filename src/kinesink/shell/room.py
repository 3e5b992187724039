"""The bound on what is pending in a producer, and the callers who wait for room.

Law: streams share the room, and none waits for another: a stream that has less than its
equal part of it may always add to that. One record of a stream is always let in, so that
none larger than the bound waits for ever.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import anyio

from kinesink.shell.intake import EVENT_OVERHEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.config import Config
    from kinesink.shell.streams import Streams


class _Line:
    """Who waits for room in one stream. Only the first looks, so waking costs little."""

    def __init__(self) -> None:
        self.turn = anyio.Lock()
        self.waiting = 0
        self.room = anyio.Event()


class Room:
    """Lets records in. Belongs to one event loop."""

    def __init__(self, config: Config, streams: Streams) -> None:
        self._max_bytes = config.max_pending_bytes
        self._max_events = config.max_pending_events or sys.maxsize
        self._streams = streams
        self._lines: dict[str, _Line] = {}

    def is_free(self, stream_name: str, data_bytes: int) -> bool:
        """Tell whether a record may come in at once: there is room, and nobody waits for it."""
        return stream_name not in self._lines and self._has_room(stream_name, data_bytes)

    async def wait_free(
        self, stream_name: str, data_bytes: int, is_open: Callable[[], bool]
    ) -> None:
        """Wait in line until a record may come in, or ``is_open`` is false.

        Nothing is a checkpoint between the moment there is room and the return.
        """
        line = self._lines.setdefault(stream_name, _Line())
        line.waiting += 1
        try:
            async with line.turn:
                while is_open() and not self._has_room(stream_name, data_bytes):
                    await line.room.wait()
        finally:
            line.waiting -= 1
            if not line.waiting:
                del self._lines[stream_name]

    def let_in(self) -> None:
        """Wake the first in each line; it looks whether there is room."""
        for line in self._lines.values():
            room, line.room = line.room, anyio.Event()
            room.set()

    def _has_room(self, stream_name: str, data_bytes: int) -> bool:
        streams = self._streams
        size = data_bytes + EVENT_OVERHEAD_BYTES
        if streams.held_bytes + size <= self._max_bytes and streams.held_events < self._max_events:
            return True
        stream = streams.get(stream_name)
        if stream is None or not stream.held_events:
            return True
        return (
            stream.held_bytes + size <= self._max_bytes // streams.held_streams
            and stream.held_events < self._max_events // streams.held_streams
        )

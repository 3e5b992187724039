"""What the caller of ``Producer.put`` may await."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from kinesink.core.records import RecordResult


class Outcome:
    """The future of one user record. Belongs to the event loop that made it.

    Not awaitable itself, on purpose: looking at it is optional, and tools that look for
    forgotten awaits would ask for a second one in every ``await producer.put(...)``.
    """

    __slots__ = ("_event", "_result")

    def __init__(self) -> None:
        self._result: RecordResult | None = None
        #: Made by the first who waits: most look only when the result is there.
        self._event: anyio.Event | None = None

    def resolve(self, result: RecordResult) -> None:
        """Take the result; the producer calls this once."""
        self._result = result
        if self._event is not None:
            self._event.set()

    def __repr__(self) -> str:
        return f"<Outcome {self._result or 'pending'}>"

    @property
    def done(self) -> bool:
        """Whether the result is there."""
        return self._result is not None

    async def wait(self) -> RecordResult:
        """Return the result when it is there. Never raises for what Kinesis says.

        Any number of tasks may wait; cancelling one changes nothing for the record.
        """
        while self._result is None:
            if self._event is None:
                self._event = anyio.Event()
            await self._event.wait()
        return self._result

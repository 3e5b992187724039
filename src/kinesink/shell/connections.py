"""How many calls to Kinesis may be under way, shared out among those who make them.

Law: a party that has less than its equal part is never kept waiting by the others. What
one party does not use another may; so the total is exceeded only while parties that come
later take up their parts, and where there are more parties than connections.
"""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable

    Party = Hashable


class Connections:
    """Lets calls begin. Belongs to one event loop."""

    def __init__(self, total: int) -> None:
        """Begin with none under way.

        :param total: most calls at the same time.
        """
        self._total = total
        self._under_way: Counter[Party] = Counter()
        #: In the order in which they came.
        self._waiting: dict[anyio.Event, Party] = {}

    @asynccontextmanager
    async def call(self, party: Party) -> AsyncIterator[None]:
        """Wait for this call's turn, and hold it until the call has ended."""
        turn = anyio.Event()
        self._waiting[turn] = party
        self._admit()
        try:
            if not turn.is_set():
                await turn.wait()
            yield
        finally:
            if self._waiting.pop(turn, None) is None:
                self._end(party)
            self._admit()

    def _end(self, party: Party) -> None:
        self._under_way[party] -= 1
        if not self._under_way[party]:
            del self._under_way[party]

    def _admit(self) -> None:
        """Let begin what may, those first who have least."""
        while self._waiting:
            turn, party = min(self._waiting.items(), key=lambda each: self._under_way[each[1]])
            parties = len({*self._under_way, *self._waiting.values()})
            part = max(1, self._total // parties)
            if self._under_way.total() >= self._total and self._under_way[party] >= part:
                return
            del self._waiting[turn]
            self._under_way[party] += 1
            turn.set()

"""What arrives at one producer: bursts, quiet, steady; keyed, keyless, waited for.

Law: how much arrives when follows from the scenario and the dice, never from what the
producer does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinesink.core.limits import MAX_HASH_KEY
from kinesink.core.records import Chunk, UserRecord
from kinesink.testing.simulation.events import SimulatedTicket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink.core.records import Content
    from kinesink.testing.simulation.dice import Dice
    from kinesink.testing.simulation.events import Events
    from kinesink.testing.simulation.scenario import Scenario

__all__ = ["Traffic"]

_KEYS: Final = ("a", "b", "c", "é" * 20, "😀", "k1", "k2", "k3", "k" * 250)
_HASH_KEYS: Final = (0, MAX_HASH_KEY // 2, MAX_HASH_KEY // 2 + 1, MAX_HASH_KEY)
_BATCHES: Final = {"steady": 60, "bursts": 4, "quiet": 12}


class Traffic:
    """The events of one producer."""

    def __init__(self, scenario: Scenario, events: Events, dice: Dice) -> None:
        self._scenario = scenario
        self._events = events
        self._dice = dice

    def times(self) -> Iterator[tuple[float, int]]:
        """Yield when events arrive, and how many."""
        scenario, dice = self._scenario, self._dice
        left = scenario.events
        batches = _BATCHES[scenario.pattern]
        while left > 0:
            size = min(left, dice.whole(1, max(1, 2 * scenario.events // batches)))
            left -= size
            yield dice.between(scenario.start, scenario.calm), size

    def batch(self, size: int, now: float) -> list[Content]:
        """Return some events that arrive now, or have been on their way for a moment."""
        if self._dice.chance(0.1):
            now -= self._dice.between(0.0, 0.02)
        keyless: list[bytes] = []
        keyed = Chunk([], now, keys=[])
        together = self._dice.chance(0.5)
        contents: list[Content] = []
        for _ in range(size):
            if self._dice.chance(self._scenario.keyed):
                record = self._keyed(now)
                if together and record.ticket is None:
                    keyed.data.append(record.data)
                    keyed.each_keys().extend(record.each_keys())
                else:
                    contents.append(record)
            elif self._dice.chance(self._scenario.waited_for):
                contents.append(self.waited_for(self._size(), now))
            else:
                keyless.append(self._data(None, now))
        if keyed.data:
            contents.insert(self._dice.whole(0, len(contents)), keyed)
        if keyless:
            contents.insert(self._dice.whole(0, len(contents)), Chunk(keyless, now))
        return contents

    def waited_for(self, size: int, now: float) -> UserRecord:
        """Return a keyless event whose result somebody waits for."""
        data = self._events.new(size, None, now, poison=False)
        return UserRecord(data, arrival=now, ticket=SimulatedTicket())

    def _keyed(self, now: float) -> UserRecord:
        dice, size = self._dice, self._size()
        # An event without data is known by its key.
        key = dice.pick(_KEYS) if size else f"empty {self._events.added}"
        explicit = dice.pick(_HASH_KEYS) if dice.chance(0.2) else None
        if dice.chance(0.05):
            explicit = int(dice.draw() * MAX_HASH_KEY)
        ticket = SimulatedTicket() if dice.chance(self._scenario.waited_for) else None
        record = UserRecord(
            self._data(key, now, size),
            arrival=now,
            partition_key=key,
            explicit_hash_key=explicit,
            ticket=ticket,
        )
        for event in self._events.of(record):
            event.explicit_hash_key = explicit
        return record

    def _size(self) -> int:
        return self._dice.pick(self._scenario.sizes)

    def _data(self, key: str | None, now: float, size: int | None = None) -> bytes:
        poison = self._dice.chance(self._scenario.poison)
        return self._events.new(self._size() if size is None else size, key, now, poison=poison)

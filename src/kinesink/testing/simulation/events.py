"""Every event of a simulation, and what has become of it.

Law: an event is known by its data, or, if it has none, by its partition key; the few that
have neither are counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kinesink.core.records import Content, DropReason, RecordResult

__all__ = ["Event", "Events", "SimulatedTicket"]


class SimulatedTicket:
    """Somebody who waits for the result of a user record."""

    __slots__ = ("calls", "results", "under_way")

    def __init__(self) -> None:
        self.results: list[RecordResult] = []
        #: Calls that carried the record, and those of them without an outcome yet.
        self.calls = 0
        self.under_way = 0

    def resolve(self, result: RecordResult) -> None:
        """Take the result."""
        self.results.append(result)


class Event:
    """One event."""

    __slots__ = ("arrival", "copies", "data", "dropped", "excuses", "explicit_hash_key", "key",
                 "poison", "refused", "seen", "throttled")  # fmt: skip

    def __init__(self, data: bytes, key: str | None, arrival: float, *, poison: bool) -> None:
        self.data = data
        self.key = key
        self.explicit_hash_key: int | None = None
        self.arrival = arrival
        #: Whether the service refuses it.
        self.poison = poison
        #: Copies that were written, and outcomes that explain one more.
        self.copies = 0
        self.excuses = 0
        #: Whether a consumer has received it.
        self.seen = False
        #: Whether it was refused for a reason that may end it.
        self.refused = False
        #: Whether it was refused for rate.
        self.throttled = False
        self.dropped: DropReason | None = None

    def __repr__(self) -> str:
        """Show the part of the data that says which event it is."""
        return f"{self.data[:12]!r}, {len(self.data)} bytes, key {self.key!r}"

    @property
    def size(self) -> int:
        """What it counts for when it travels alone: its data and its key."""
        return len(self.data) + (len(self.key.encode()) if self.key else 1)


class Events:
    """The events of one producer."""

    def __init__(self, producer: int, *, lines: bool) -> None:
        self._producer = producer
        self._lines = lines
        self._by_data: dict[bytes, Event] = {}
        self._by_key: dict[str, Event] = {}
        #: Events without data or key: how many were added, dropped, and received.
        self.nameless_added = 0
        self.nameless_dropped = 0
        self.added = 0
        self.added_bytes = 0
        #: Events that were dropped, by reason, and their bytes.
        self.dropped: dict[DropReason, int] = {}
        self.dropped_bytes = 0
        #: Events that were received and not dropped.
        self.received = 0

    def new(self, size: int, key: str | None, arrival: float, *, poison: bool) -> bytes:
        """Return the data of a new event of about ``size`` bytes; 0 is exact."""
        self.added += 1
        named = b"%d.%d" % (self._producer, self.added)
        if not size and not (key and not self._lines):
            self.nameless_added += 1
            return b""
        data = (b"!" + named if poison else named).ljust(size, b".") if size else b""
        self.added_bytes += len(data)
        event = Event(data, key, arrival, poison=poison and bool(size))
        if data:
            self._by_data[data] = event
        else:
            self._by_key[key or ""] = event
        return data

    def find(self, data: bytes, key: str | None) -> Event | None:
        """Return an event; None for one without a name, or of another producer."""
        return self._by_data.get(data) if data else self._by_key.get(key or "")

    def of(self, content: Content) -> list[Event]:
        """Return the events of a content that have a name."""
        data = content.each()
        keys = content.each_keys()
        found = (
            map(self.find, data, (each.partition_key for each in keys))
            if keys
            else (self.find(datum, None) for datum in data)
        )
        return [event for event in found if event is not None]

    def all(self) -> list[Event]:
        """Return the events that have a name."""
        return [*self._by_data.values(), *self._by_key.values()]

    def received_one(self, event: Event) -> None:
        """Take note that a consumer has received a copy."""
        if not event.seen:
            event.seen = True
            self.received += event.dropped is None

    def dropped_one(self, event: Event, reason: DropReason) -> None:
        """Take note that an event was given up."""
        event.dropped = reason
        self.received -= event.seen

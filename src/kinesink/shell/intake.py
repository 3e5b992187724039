"""The hand-off from any thread to the producer: bounded, re-entrant, never waiting.

Law: the caller's side is a size test, one append and a flag, so it is safe in signal
handlers, finalizers and event loops. A :class:`collections.deque` and not a
:class:`queue.Queue`: the latter holds a lock in Python code, and a log call that
interrupts another one in the same thread would wait for it for ever. Each deque
operation is atomic, because it is C.

The order is what makes it right: the caller appends first and looks at ``awake``
after; the producer clears ``awake`` first and drains after. So either the caller sees
the cleared flag and wakes the producer, or the producer sees the event.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from kinesink.core.records import DropReason

if TYPE_CHECKING:
    from collections.abc import Callable

#: What one waiting event costs beside its data, in bytes: the bytes object and its
#: place in containers (measured on CPython 3.11: 33 + 8, and what an entry adds).
EVENT_OVERHEAD_BYTES: Final = 150


class KeyedEvent(NamedTuple):
    """An event with a key of its own; a keyless one travels as plain bytes."""

    data: bytes
    partition_key: str | None
    explicit_hash_key: int | None


Item = bytes | KeyedEvent


class Intake:
    """Events that no producer has seen yet. Every method is safe from any thread."""

    __slots__ = (
        "_commands", "_items", "_loose_bytes", "_max_bytes", "_refused", "awake", "held_bytes",
        "wake",
    )  # fmt: skip

    def __init__(self, max_pending_bytes: int, wake: Callable[[], None]) -> None:
        """Begin empty.

        :param max_pending_bytes: bound on what waits here and in the pipeline.
        :param wake: called when the producer may be asleep; must neither wait nor raise.
        """
        self._max_bytes = max_pending_bytes
        self.reset(wake)

    def reset(self, wake: Callable[[], None]) -> None:
        """Forget everything, as a forked child must: what waits is the parent's."""
        self._items: deque[Item] = deque()
        self._refused: deque[DropReason] = deque()
        self._commands: deque[Callable[[], None]] = deque()
        self._loose_bytes = 0
        #: What the pipeline holds in bytes; the producer publishes it at each drain.
        self.held_bytes = 0
        #: Whether the producer is bound to look; the caller's and the producer's flag.
        self.awake = False
        self.wake = wake

    def __len__(self) -> int:
        """Return the number of events that wait here."""
        return len(self._items)

    @property
    def refusals(self) -> int:
        """Events refused that the producer has not counted yet."""
        return len(self._refused)

    def put(self, item: bytes | KeyedEvent, data_bytes: int) -> bool:
        """Hand an event over; False if the bound is reached, which is counted.

        The estimate of what waits is loose: two threads may lose an addition to each
        other. The drain starts it anew, so errors never add up.
        """
        size = data_bytes + EVENT_OVERHEAD_BYTES
        if self._loose_bytes + self.held_bytes + size > self._max_bytes:
            self.refuse(DropReason.QUEUE_FULL)
            return False
        self._loose_bytes += size
        self._items.append(item)
        if not self.awake:
            self.awake = True
            self.wake()
        return True

    def refuse(self, reason: DropReason) -> None:
        """Count an event that was handed over and dropped at once."""
        self._refused.append(reason)
        if not self.awake:
            self.awake = True
            self.wake()

    def command(self, call: Callable[[], None]) -> None:
        """Have the producer call something, after it has taken in what is here now."""
        self._commands.append(call)
        self.awake = True
        self.wake()

    def take_commands(self) -> list[Callable[[], None]]:
        """Take the commands out. To be called before :meth:`drain`, obeyed after it."""
        return [self._commands.popleft() for _ in range(len(self._commands))]

    def drain(self) -> list[Item]:
        """Take everything out, in order. Only the producer calls this."""
        # As many as there are now: callers that are faster than this loop would otherwise
        # keep it from ever ending. Nobody else takes out, so none of these can be missing.
        take = self._items.popleft
        items = [take() for _ in range(len(self._items))]
        self._loose_bytes = 0
        return items

    def take_refused(self) -> list[DropReason]:
        """Take the reasons of refused events out. Only the producer calls this."""
        return [self._refused.popleft() for _ in range(len(self._refused))]

    @property
    def waiting(self) -> bool:
        """Whether there is anything for the producer to see."""
        return bool(self._items or self._refused or self._commands)

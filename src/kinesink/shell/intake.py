"""The hand-off from any thread to the producer: bounded, re-entrant, never waiting.

Law: the caller's side is a size test, one append and a flag, so it is safe in signal
handlers, finalizers and event loops. A list and not a :class:`queue.Queue`: the latter
holds a lock in Python code, and a log call that interrupts another one in the same
thread would wait for it for ever. Each list operation is atomic, because it is C.

The order is what makes it right: the caller appends first and looks at ``awake``
after; the producer clears ``awake`` first and takes after. So either the caller sees
the cleared flag and wakes the producer, or the producer sees the event.

An event is in exactly one place at any moment: waiting here, in the producer's hand,
or in the account that the producer settled last. So the statistics add up for whoever
reads them, whatever the producer is doing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from kinesink.core.records import DropReason
from kinesink.event.levels import level_in
from kinesink.shell.overflow import DropNewest
from kinesink.shell.overflow import policy_of as overflow_policy_of
from kinesink.shell.tally import Tally, level_name, since
from kinesink.statistics import Statistics, combine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinesink.config import Config
    from kinesink.core.records import Ticket
    from kinesink.shell.overflow import Policy
    from kinesink.shell.producer_task import ProducerTask
    from kinesink.shell.tally import Refusals

#: What one waiting event costs beside its data, in bytes: the bytes object and its
#: place in containers (measured on CPython 3.11: 33 + 8, and what an entry adds).
EVENT_OVERHEAD_BYTES: Final = 150

#: How often a reader looks for a moment at which the producer moves nothing; such a
#: move takes a microsecond. Bounded, because at exit its thread may have been frozen.
_READINGS: Final = 100_000


class KeyedEvent(NamedTuple):
    """An event with a key or a ticket; one without either travels as plain bytes."""

    data: bytes
    partition_key: str | None
    explicit_hash_key: int | None
    ticket: Ticket | None = None
    """Where its result goes, if somebody waits for it."""


Item = bytes | KeyedEvent

Command = Callable[["ProducerTask"], None]
"""What the producer's task is to do, by its own hand."""


class Pressure:
    """Whether room is scarce. One attribute to look at before an event is written."""

    __slots__ = ("high",)

    def __init__(self) -> None:
        self.high = False


class Intake:
    """Events that no producer has seen yet. Every method is safe from any thread."""

    __slots__ = (
        "_calm_bytes", "_commands", "_has_refused", "_in_hand", "_items", "_loose_bytes",
        "_max_bytes", "_moves", "_policy", "_reported", "_settled", "_tally", "awake", "guard",
        "held_bytes", "held_events", "pressure", "wake",
    )  # fmt: skip

    def __init__(
        self, max_pending_bytes: int, wake: Callable[[], None], policy: Policy | None = None
    ) -> None:
        """Begin empty.

        :param max_pending_bytes: bound on what waits here and in the pipeline.
        :param wake: called when the producer may be asleep; must neither wait nor raise.
        :param policy: what decides where room is scarce; None takes whatever fits.
        """
        self._max_bytes = max_pending_bytes
        self._policy: Policy = DropNewest() if policy is None else policy
        self._calm_bytes = int(max_pending_bytes * self._policy.calm_share)
        #: Of this intake, for whoever writes events.
        self.pressure = Pressure()
        self.reset(wake)

    def reset(self, wake: Callable[[], None]) -> None:
        """Forget everything, as a forked child must: what waits is the parent's."""
        self._items: list[Item] = []
        self._commands: list[Command] = []
        self._in_hand: list[Item] = []
        self._tally = Tally()
        #: Of the tally, what the producer has been told.
        self._reported: list[Refusals] = []
        self._has_refused = False
        self._settled: Callable[[], Statistics] = Statistics
        #: Odd while the producer moves events from one place to the next.
        self._moves = 0
        self._loose_bytes = 0
        #: What the pipeline holds in bytes and events, and what the producer has in its hand.
        self.held_bytes = 0
        self.held_events = 0
        self.pressure.high = False
        #: Whether the producer is bound to look; the caller's and the producer's flag.
        self.awake = False
        self.wake = wake
        #: What is put around the wake-up of each producer that begins; from the end of an
        #: exit on, whoever hands something over has to wait for it.
        self.guard: Callable[[Callable[[], None]], Callable[[], None]] = _as_it_is

    def attach(self, wake: Callable[[], None]) -> None:
        """Have a producer woken that begins to look here."""
        self.wake = self.guard(wake)

    # -- from any thread -------------------------------------------------------

    def put(self, item: bytes | KeyedEvent, data_bytes: int, level: int | None = None) -> bool:
        """Hand an event over; False if there is no room for it, which is counted.

        The estimate of what waits is loose: two threads may lose an addition to each
        other. The producer starts it anew, so errors never add up.

        :param level: as in :mod:`logging`; None for one that gives way to no other.
        """
        size = data_bytes + EVENT_OVERHEAD_BYTES
        if self._loose_bytes + self.held_bytes + size > self._calm_bytes and self._is_refused(
            size, level, item
        ):
            return False
        self._loose_bytes += size
        self._items.append(item)
        if not self.awake:
            self.awake = True
            self.wake()
        return True

    def turns_away(self, level: int | None) -> bool:
        """Tell whether there is no room for an event that is still to be written.

        Then it counts as dropped. To be asked while :attr:`pressure` is high: what will be
        given up need not be written first.
        """
        return self._is_refused(EVENT_OVERHEAD_BYTES, level)

    def _is_refused(self, size: int, level: int | None, item: Item = b"") -> bool:
        self.pressure.high = True
        reason = self._policy.refusal(self, size, level)
        if reason is None:
            return False
        if level is None:
            # What was asked about before it was written is given without; it says itself.
            self._refuse(reason, level_in(item.data if isinstance(item, KeyedEvent) else item))
        else:
            self._refuse(reason, level_name(level))
        return True

    def fits(self, size: int, share: float) -> bool:
        """Tell whether so many bytes more are no more than a share of the bound."""
        return self._loose_bytes + self.held_bytes + size <= self._max_bytes * share

    def fits_here(self, size: int, share: float) -> bool:
        """Tell the same of what waits here, without what the producer holds."""
        return self._loose_bytes + size <= self._max_bytes * share

    def refuse(self, reason: DropReason, level: int | None = None, *, wake: bool = True) -> None:
        """Count an event that was handed over and dropped at once."""
        self._refuse(reason, None if level is None else level_name(level), wake=wake)

    def _refuse(self, reason: DropReason, level: str | None, *, wake: bool = True) -> None:
        self._tally.add(reason, level)
        self._has_refused = True
        if wake and not self.awake:
            self.awake = True
            self.wake()

    def enqueue(self, command: Command) -> None:
        """Have the producer call something, after it has taken in what is here now.

        Whoever calls this wakes it; :meth:`command` does both.
        """
        self._commands.append(command)

    def command(self, command: Command) -> None:
        """Have the producer call something soon, after it has taken in what is here now."""
        self.enqueue(command)
        self.awake = True
        self.wake()

    @property
    def waiting(self) -> bool:
        """Whether there is anything for the producer to see."""
        return bool(self._items or self._commands or self._has_refused)

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody waits for the result of an event here."""
        return any(map(_is_waited_for, self._items[:]))

    def statistics(self, *, own: int = 0) -> Statistics:
        """Return the account of all that was ever handed over here.

        :param own: log records of the producer's own work, which the sink counts.
        """
        settled, in_hand, items, refused = self._read()
        for _ in range(_READINGS):
            moves = self._moves
            settled, in_hand, items, refused = self._read()
            if moves == self._moves and not moves % 2:
                break
        pending = len(items) + len(in_hand)
        waiting = Statistics(
            accepted=pending,
            pending=pending,
            pending_bytes=_data_bytes(items) + _data_bytes(in_hand),
            own=own,
        )
        return combine(settled(), waiting, _account_of(refused))

    @property
    def fill(self) -> float:
        """The share of the bounds that is taken."""
        return (self._loose_bytes + self.held_bytes) / self._max_bytes

    def refused(self) -> Statistics:
        """Return the account of what was refused here, which is in no other's."""
        return _account_of(self._tally.read())

    def _read(
        self,
    ) -> tuple[Callable[[], Statistics], list[Item], list[Item], list[Refusals]]:
        return self._settled, self._in_hand, self._items[:], self._tally.read()

    # -- from the producer -----------------------------------------------------

    def take_commands(self) -> list[Command]:
        """Take the commands out. To be called before :meth:`take`, obeyed after it."""
        commands = self._commands[:]
        del self._commands[: len(commands)]
        return commands

    def take_refusals(self) -> list[Refusals]:
        """Return what was refused since this was asked last. It stays in the account."""
        if not self._has_refused:
            return []
        # In this order, as all flags here: what is counted later is told later.
        self._has_refused = False
        before, self._reported = self._reported, self._tally.read()
        return since(self._reported, before)

    def take(self) -> list[Item]:
        """Take every event out, in order. :meth:`settle` must follow."""
        taken = self._items[:]
        self.held_events += len(taken)
        self._moves += 1
        del self._items[: len(taken)]
        self._in_hand = taken
        self._moves += 1
        # In this order, as above, what was taken counts twice for a moment, and never not at all.
        self.held_bytes += self._loose_bytes
        self._loose_bytes = 0
        return taken

    def settle(self, account: Callable[[], Statistics], held_bytes: int, held_events: int) -> None:
        """Say that what was taken is in an account now.

        :param account: returns it, from any thread, as it was at this moment.
        :param held_bytes: what the pipeline holds now.
        :param held_events: how many events that is.
        """
        self._moves += 1
        self._settled = account
        self._in_hand = []
        self._moves += 1
        self.held_bytes = held_bytes
        self.held_events = held_events
        if self.pressure.high:
            self.pressure.high = self._is_crowded()

    def _is_crowded(self) -> bool:
        return self._loose_bytes + self.held_bytes > self._calm_bytes

    def give_up_waited_for(self) -> None:
        """Drop the events that somebody waits for: no producer will ever take them."""
        items = self._items[:]
        kept = [item for item in items if not _is_waited_for(item)]
        self._moves += 1
        self._items[: len(items)] = kept
        for _ in range(len(items) - len(kept)):
            self.refuse(DropReason.INTERNAL, wake=False)
        self._moves += 1

    @property
    def settled(self) -> Callable[[], Statistics]:
        """The account settled last; the next producer's adds to it."""
        return self._settled


class CountingIntake(Intake):
    """An intake that is bounded in events as well. Not the usual one, whose put is dearer."""

    __slots__ = ("_calm_events", "_max_events")

    def __init__(
        self,
        max_pending_bytes: int,
        wake: Callable[[], None],
        policy: Policy | None = None,
        *,
        max_events: int,
    ) -> None:
        """Begin empty.

        :param max_events: bound on the events that wait here and in the pipeline.
        """
        super().__init__(max_pending_bytes, wake, policy)
        self._max_events = max_events
        self._calm_events = int(max_events * self._policy.calm_share)

    def put(self, item: bytes | KeyedEvent, data_bytes: int, level: int | None = None) -> bool:
        """Hand an event over; False if there is no room for it, which is counted."""
        if len(self._items) + self.held_events >= self._calm_events and self._is_refused(
            data_bytes + EVENT_OVERHEAD_BYTES, level, item
        ):
            return False
        return super().put(item, data_bytes, level)

    def fits(self, size: int, share: float) -> bool:
        """Tell whether so many bytes in one event more are no more than a share of both bounds."""
        events = len(self._items) + self.held_events
        return events < self._max_events * share and super().fits(size, share)

    def fits_here(self, size: int, share: float) -> bool:
        """Tell the same of what waits here, without what the producer holds."""
        return len(self._items) < self._max_events * share and super().fits_here(size, share)

    @property
    def fill(self) -> float:
        """The share of the bounds that is taken, the greater one of both."""
        events = len(self._items) + self.held_events
        return max(events / self._max_events, super().fill)

    def _is_crowded(self) -> bool:
        events = len(self._items) + self.held_events
        return events >= self._calm_events or super()._is_crowded()


def new_intake(config: Config, wake: Callable[[], None]) -> Intake:
    """Return an intake with the bounds and the policy that are configured."""
    policy = overflow_policy_of(config)
    if config.spool_path is not None and config.spool_mode == "always":
        from kinesink.shell.spooling_intake import SpoolingIntake  # noqa: PLC0415 - it needs this

        return SpoolingIntake(
            config.max_pending_bytes, wake, policy, max_events=config.max_pending_events
        )
    if config.max_pending_events is None:
        return Intake(config.max_pending_bytes, wake, policy)
    return CountingIntake(
        config.max_pending_bytes, wake, policy, max_events=config.max_pending_events
    )


def _account_of(refused: list[Refusals]) -> Statistics:
    dropped: Counter[DropReason] = Counter()
    for refusals in refused:
        dropped[refusals.reason] += refusals.events
    return Statistics(accepted=dropped.total(), dropped=dropped)


def _as_it_is(wake: Callable[[], None]) -> Callable[[], None]:
    return wake


def _is_waited_for(item: Item) -> bool:
    if not isinstance(item, KeyedEvent) or item.ticket is None:
        return False
    return not getattr(item.ticket, "patient", False)


def _data_bytes(items: Iterable[Item]) -> int:
    return sum(len(item.data) if isinstance(item, KeyedEvent) else len(item) for item in items)

"""What happens to an event for which there is no room.

Law: what is given up is counted, with its reason and its level, before the call returns.
Only ``block`` ever waits, never longer than it was told, and nowhere that waiting could
hold up what it waits for.
"""

from __future__ import annotations

import logging
import math
import sys
import time
from typing import TYPE_CHECKING, Final, Protocol

from kinesink.core.records import DropReason
from kinesink.shell import origin
from kinesink.shell.process_exit import process_exit

if TYPE_CHECKING:
    from kinesink.config import Config, Overflow

#: Up to which share of the room events below a level are taken, while it is scarce.
SHARES: Final = ((logging.INFO, 0.70), (logging.WARNING, 0.85), (logging.ERROR, 0.95))

#: The producer keeps what it holds below this share where the oldest are given up, so that
#: there is always room for what comes in.
HELD_SHARE: Final = 0.75

#: By so much of the room what is held shrinks when it has grown too large: to look at
#: everything for each event would cost more than sending it.
_STEP: Final = 0.05

#: Seconds between two looks for room, from the first to the longest.
_SHORTEST_NAP: Final = 0.001
_LONGEST_NAP: Final = 0.02


class Fill(Protocol):
    """Where events wait: how full it is."""

    def fits(self, size: int, share: float) -> bool:
        """Tell whether so many bytes more are no more than a share of the bound."""

    def fits_here(self, size: int, share: float) -> bool:
        """Tell the same of what waits for the producer, without what it holds."""


class Policy(Protocol):
    """Decides about an event where room is scarce."""

    calm_share: float
    """The share of the bound up to which nobody is asked."""

    def refusal(self, room: Fill, size: int, level: int | None) -> DropReason | None:
        """Return why an event is not taken; None if it is."""


def share_of(level: int | None) -> float:
    """Return the share of the room that events of a level may fill; all for one unknown."""
    if level is None:
        return 1.0
    return next((share for below, share in SHARES if level < below), 1.0)


class Shed:
    """Gives up DEBUG before INFO before WARNING before ERROR."""

    calm_share = SHARES[0][1]

    def refusal(self, room: Fill, size: int, level: int | None) -> DropReason | None:
        """Return SHED for one that gives way to others, QUEUE_FULL where none fits."""
        share = share_of(level)
        if room.fits(size, share):
            return None
        return DropReason.SHED if share < 1 else DropReason.QUEUE_FULL


class DropNewest:
    """Takes whatever fits, and nothing else."""

    calm_share = 1.0

    def refusal(self, room: Fill, size: int, level: int | None) -> DropReason | None:  # noqa: ARG002 - all are equal
        """Return QUEUE_FULL for one that does not fit."""
        return None if room.fits(size, 1.0) else DropReason.QUEUE_FULL


class DropOldest:
    """Takes the event; the producer gives up the oldest it holds."""

    calm_share = HELD_SHARE

    def refusal(self, room: Fill, size: int, level: int | None) -> DropReason | None:  # noqa: ARG002 - all are equal
        """Return QUEUE_FULL if the producer is too slow even for giving up."""
        return None if room.fits_here(size, 1.0 - HELD_SHARE) else DropReason.QUEUE_FULL


class Block:
    """Waits for room; where that is not possible it does as :class:`Shed`."""

    calm_share = Shed.calm_share

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._otherwise = Shed()

    def refusal(self, room: Fill, size: int, level: int | None) -> DropReason | None:
        """Return QUEUE_FULL if there was no room in time."""
        if not may_wait():
            return self._otherwise.refusal(room, size, level)
        deadline = time.monotonic() + self._timeout
        nap = _SHORTEST_NAP
        while not room.fits(size, 1.0):
            left = deadline - time.monotonic()
            if left <= 0:
                return DropReason.QUEUE_FULL
            # Sleeping again and again takes no lock that the code which this call interrupts
            # may hold.
            time.sleep(min(nap, left))
            nap = min(2 * nap, _LONGEST_NAP)
        return None


def policy_of(config: Config) -> Policy:
    """Return what decides by a configuration."""
    if config.overflow == "block":
        return Block(config.block_timeout)
    return _POLICIES[config.overflow]


_POLICIES: Final[dict[Overflow, Policy]] = {
    "shed": Shed(),
    "drop_oldest": DropOldest(),
    "drop_newest": DropNewest(),
}


def excess_bytes(held_bytes: int, held_events: int, config: Config, share: float) -> int:
    """Return how much has to go, in bytes, so that what is held is well below a share again.

    0 if it is no more than that share of either bound.
    """
    fill = held_bytes / config.max_pending_bytes
    if config.max_pending_events is not None:
        fill = max(fill, held_events / config.max_pending_events)
    if fill <= share:
        return 0
    return math.ceil(held_bytes * (1 - (share - _STEP) / fill))


def may_wait() -> bool:
    """Tell whether this thread may wait for the producer.

    Not on its own behalf, not in an event loop, not inside ``dictConfig``, whose lock the
    producer may need, and not while the process ends.
    """
    return not (origin.is_own() or process_exit.leaving or in_event_loop() or owns_logging_lock())


def in_event_loop() -> bool:
    """Tell whether an event loop, asyncio or trio, runs in this thread, and this inside it."""
    # A module that another thread is only importing lacks its names yet, and runs no loop.
    get_running_loop = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)
    if get_running_loop is not None and get_running_loop() is not None:
        return True
    lowlevel = getattr(sys.modules.get("trio"), "lowlevel", None)
    current_clock = getattr(lowlevel, "current_clock", None)
    if current_clock is None:
        return False
    try:
        current_clock()
    except RuntimeError:
        return False
    return True


def owns_logging_lock() -> bool:
    """Tell whether this thread is inside ``dictConfig`` or its kin; False if unknown."""
    is_owned = getattr(getattr(logging, "_lock", None), "_is_owned", None)
    return is_owned is not None and bool(is_owned())

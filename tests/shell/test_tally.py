"""Counting without a lock: exact from any thread, and by reason and level."""

from __future__ import annotations

import signal
import sys
import threading

import pytest

from kinesink.core.records import DropReason
from kinesink.shell.tally import Refusals, Tally, level_name, since


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (-5, "DEBUG"), (0, "DEBUG"), (10, "DEBUG"), (15, "DEBUG"), (20, "INFO"), (29, "INFO"),
        (30, "WARNING"), (40, "ERROR"), (50, "CRITICAL"), (10**9, "CRITICAL"),
    ],
)  # fmt: skip
def test_levels_in_between_count_as_the_usual_one_below(level: int, name: str) -> None:
    """So an application that makes up levels does not make the table grow."""
    assert level_name(level) == name


def test_threads_lose_no_count_to_each_other() -> None:
    """Switching between them as often as can be, each event counts once."""
    tally = Tally()
    threads, events = 4, 20_000
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def add() -> None:
        for _ in range(events):
            tally.add(DropReason.SHED, "DEBUG")

    running = [threading.Thread(target=add) for _ in range(threads)]
    try:
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert tally.read() == [Refusals(DropReason.SHED, "DEBUG", threads * events)]


def test_a_signal_handler_counts_in_the_middle_of_a_count() -> None:
    """Neither loses the other's."""
    tally = Tally()
    handled = added = 0

    def handle(*_: object) -> None:
        nonlocal handled
        handled += 1
        tally.add(DropReason.SHED, None)

    previous = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        while handled < 50:
            tally.add(DropReason.SHED, None)
            added += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert tally.read() == [Refusals(DropReason.SHED, None, added + handled)]


def test_reading_counts_nothing() -> None:
    """However often, the numbers stay."""
    tally = Tally()
    tally.add(DropReason.SHED, "DEBUG")
    assert tally.read() == tally.read() == [Refusals(DropReason.SHED, "DEBUG", 1)]


def test_two_readings_tell_what_came_between_them() -> None:
    """By reason and level, and nothing where nothing came."""
    tally = Tally()
    tally.add(DropReason.SHED, "DEBUG")
    tally.add(DropReason.SHED, "INFO")
    before = tally.read()
    tally.add(DropReason.SHED, "INFO")
    tally.add(DropReason.QUEUE_FULL, None)
    assert since(tally.read(), before) == [
        Refusals(DropReason.SHED, "INFO", 1),
        Refusals(DropReason.QUEUE_FULL, None, 1),
    ]

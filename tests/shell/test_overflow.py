"""No room: what is given up, what is kept, and who may wait."""

from __future__ import annotations

import logging
import sys
import threading
import time
from types import ModuleType
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from kinesink.config import Config
from kinesink.core.records import DropReason
from kinesink.shell import origin, overflow
from kinesink.shell.intake import EVENT_OVERHEAD_BYTES, new_intake
from kinesink.shell.process_exit import process_exit
from kinesink.statistics import Statistics
from tests.shell.support import adds_up

if TYPE_CHECKING:
    from kinesink.config import Overflow
    from kinesink.shell.intake import Intake

LEVELS = [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL]
EVENT = b"x" * (1000 - EVENT_OVERHEAD_BYTES)
"""Takes a thousand bytes of room."""


def make_intake(
    *,
    overflow: Overflow = "shed",
    max_pending_events: int | None = None,
    block_timeout: float = 1.0,
) -> Intake:
    """Return an intake with room for a hundred events."""
    config = Config(
        "app",
        max_pending_bytes=100_000,
        max_pending_events=max_pending_events,
        overflow=overflow,
        block_timeout=block_timeout,
    )
    return new_intake(config, lambda: None)


def put(intake: Intake, level: int | None = None) -> bool:
    """Hand an event over."""
    return intake.put(EVENT, len(EVENT), level)


def fill(intake: Intake, level: int | None) -> int:
    """Hand events over until one is refused; return how many were taken."""
    taken = 0
    while put(intake, level):
        taken += 1
    return taken


def under_pressure(intake: Intake) -> bool:
    """Tell whether room is scarce."""
    return intake.pressure.high


class TestShed:
    """The default: lower levels give way to higher ones."""

    @pytest.mark.parametrize("bound", [{"max_pending_bytes": 100_000}, {"max_pending_events": 100}])
    def test_debug_gives_way_before_info_before_warning_before_error(
        self, bound: dict[str, Any]
    ) -> None:
        """Each level has a share of the room, in bytes and in events, and ERROR has all."""
        intake = new_intake(Config("app", **bound), lambda: None)
        taken = {}
        for level in LEVELS:
            fill(intake, level)
            taken[level] = intake.statistics().pending
        assert taken == {10: 70, 20: 85, 30: 95, 40: 100, 50: 100}
        account = intake.statistics()
        assert account.dropped == {DropReason.SHED: 3, DropReason.QUEUE_FULL: 2}
        assert adds_up(account)

    def test_an_event_without_a_level_gives_way_to_none(self) -> None:
        """Ready-made bytes have all the room there is."""
        intake = make_intake()
        assert fill(intake, None) == 100
        assert intake.statistics().dropped == {DropReason.QUEUE_FULL: 1}

    def test_what_will_be_given_up_need_not_be_written(self) -> None:
        """Asked before, the answer is the same, and the event counts."""
        intake = make_intake()
        assert not under_pressure(intake)
        fill(intake, logging.DEBUG)
        assert under_pressure(intake)
        assert intake.turns_away(logging.DEBUG)
        assert not intake.turns_away(logging.INFO)
        assert intake.statistics().dropped == {DropReason.SHED: 2}

    def test_the_pressure_is_over_when_the_producer_has_sent_enough(self) -> None:
        """And then every level is taken again."""
        intake = make_intake()
        fill(intake, logging.DEBUG)
        intake.take()
        intake.settle(Statistics, 80_000, 80)
        assert under_pressure(intake)
        intake.settle(Statistics, 0, 0)
        assert not under_pressure(intake)
        assert put(intake, logging.DEBUG)

    def test_the_pressure_of_events_is_over_likewise(self) -> None:
        """A bound in events is a bound as well."""
        intake = make_intake(max_pending_events=10)
        assert fill(intake, logging.DEBUG) == 7
        intake.take()
        intake.settle(Statistics, 0, 7)
        assert under_pressure(intake)
        intake.settle(Statistics, 0, 6)
        assert not under_pressure(intake)

    def test_it_is_told_once_how_many_of_which_level(self) -> None:
        """The producer learns what was refused since it looked last."""
        intake = make_intake()
        fill(intake, logging.DEBUG)
        fill(intake, logging.INFO)
        told = {(each.reason, each.level): each.events for each in intake.take_refusals()}
        assert told == {(DropReason.SHED, "DEBUG"): 1, (DropReason.SHED, "INFO"): 1}
        assert intake.take_refusals() == []


class TestDrop:
    """Whatever the level."""

    def test_the_newest(self) -> None:
        """What waits stays."""
        intake = make_intake(overflow="drop_newest")
        assert fill(intake, logging.DEBUG) == 100
        assert intake.statistics().dropped == {DropReason.QUEUE_FULL: 1}

    def test_the_oldest_has_room_for_what_comes_in(self) -> None:
        """However much the producer holds: it gives up what is old."""
        intake = make_intake(overflow="drop_oldest")
        intake.settle(Statistics, 100_000, 100)
        assert fill(intake, logging.DEBUG) == 25

    def test_the_oldest_has_room_in_events_as_well(self) -> None:
        """A quarter of either bound is for what comes in."""
        intake = make_intake(overflow="drop_oldest", max_pending_events=20)
        intake.settle(Statistics, 0, 20)
        assert fill(intake, logging.DEBUG) == 5


class TestBlock:
    """The log call waits, where that is harmless."""

    def test_until_there_is_room(self) -> None:
        """And then the event is taken."""
        intake = make_intake(overflow="block", block_timeout=20)
        assert fill_blocking(intake) == 100

        def make_room() -> None:
            intake.take()
            intake.settle(Statistics, 0, 0)

        timer = threading.Timer(0.05, make_room)
        timer.start()
        assert put(intake, logging.DEBUG)
        timer.join()
        assert intake.statistics().lost == 0

    def test_no_longer_than_it_may(self) -> None:
        """Then the event is dropped, and counted."""
        intake = make_intake(overflow="block", block_timeout=0.05)
        fill_blocking(intake)
        began = time.monotonic()
        assert not put(intake, logging.ERROR)
        assert time.monotonic() - began >= 0.05
        assert intake.statistics().dropped == {DropReason.QUEUE_FULL: 1}

    async def test_never_in_an_event_loop(self) -> None:
        """There it is as if it were shed."""
        intake = make_intake(overflow="block", block_timeout=50)
        assert fill(intake, logging.DEBUG) == 70
        assert fill(intake, logging.ERROR) == 30
        assert intake.statistics().dropped == {DropReason.SHED: 1, DropReason.QUEUE_FULL: 1}

    def test_a_thread_beside_an_event_loop_may_wait(self, anyio_backend: str) -> None:
        """What runs is asked of this thread alone."""

        async def ask() -> tuple[bool, bool]:
            return overflow.may_wait(), await anyio.to_thread.run_sync(overflow.may_wait)

        assert anyio.run(ask, backend=anyio_backend) == (False, True)

    def test_not_inside_dict_config(self) -> None:
        """The producer may need its lock."""
        assert overflow.may_wait()
        with logging._lock:  # type: ignore[attr-defined]  # what dictConfig holds
            assert not overflow.may_wait()

    def test_not_on_behalf_of_a_producer(self) -> None:
        """It would wait for itself."""
        origin.mark_thread()
        try:
            assert not overflow.may_wait()
        finally:
            origin.unmark_thread()

    def test_not_while_the_process_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """There is one deadline, and it is for delivering."""
        monkeypatch.setattr(process_exit, "begun", True)
        assert not overflow.may_wait()

    def test_a_half_imported_trio_is_none_that_runs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another thread may be importing it."""
        monkeypatch.setitem(sys.modules, "trio", ModuleType("trio"))
        assert not overflow.in_event_loop()


def fill_blocking(intake: Intake) -> int:
    """Hand over as many events as there is room for."""
    return sum(put(intake, logging.DEBUG) for _ in range(100))

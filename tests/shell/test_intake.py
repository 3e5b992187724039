"""The hand-off to the producer: bounded, counted, and safe wherever a log call may come from."""

from __future__ import annotations

import signal
import threading
from functools import partial
from typing import TYPE_CHECKING

from kinesink.core.records import DropReason
from kinesink.shell.intake import EVENT_OVERHEAD_BYTES, Intake, KeyedEvent
from kinesink.shell.submission import Submissions
from kinesink.shell.tally import Tally
from kinesink.statistics import Statistics
from tests.shell.support import adds_up

if TYPE_CHECKING:
    from kinesink.shell.tally import Refusals


class Wakes:
    """Counts wake-ups."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        """Count one."""
        self.count += 1


def test_events_come_out_in_the_order_they_went_in() -> None:
    """The producer takes everything at once, first in first out."""
    intake = Intake(1 << 20, Wakes())
    keyed = KeyedEvent(b"b", "key", None)
    assert intake.put(b"a", 1)
    assert intake.put(keyed, 1)
    assert intake.take() == [b"a", keyed]
    assert intake.take() == []


def test_a_burst_wakes_the_producer_once() -> None:
    """P1: no wake-up per event; the next one comes when the producer has said it sleeps."""
    wakes = Wakes()
    intake = Intake(1 << 20, wakes)
    for _ in range(1000):
        intake.put(b"a", 1)
    assert wakes.count == 1
    intake.take()
    intake.awake = False
    intake.refuse(DropReason.INTERNAL)
    intake.refuse(DropReason.INTERNAL)
    assert wakes.count == 2


def test_a_command_always_wakes_the_producer() -> None:
    """Who waits for a command does not depend on anybody's flag."""
    wakes = Wakes()
    intake = Intake(1 << 20, wakes)
    intake.put(b"a", 1)
    intake.command(lambda _: None)
    assert wakes.count == 2
    assert intake.waiting
    assert len(intake.take_commands()) == 1
    assert intake.take_commands() == []


def test_b2_what_does_not_fit_is_refused_and_counted() -> None:
    """The bound holds for data and overhead; the loss has its reason."""
    intake = Intake(2 * (EVENT_OVERHEAD_BYTES + 10), Wakes())
    assert intake.put(b"x" * 10, 10)
    assert intake.put(b"x" * 10, 10)
    assert not intake.put(b"", 0)
    account = intake.statistics()
    assert account.accepted == 3
    assert account.dropped == {DropReason.QUEUE_FULL: 1}
    assert account.pending == 2
    assert account.pending_bytes == 20


def test_what_the_producer_holds_counts_towards_the_bound_all_the_time() -> None:
    """Taking events out makes no room before their ends do."""
    intake = Intake(EVENT_OVERHEAD_BYTES + 10, Wakes())
    assert intake.put(b"x" * 10, 10)
    intake.take()
    assert not intake.put(b"", 0)
    intake.settle(Statistics, EVENT_OVERHEAD_BYTES + 10, 1)
    assert not intake.put(b"", 0)
    intake.settle(Statistics, 0, 0)
    assert intake.put(b"x" * 10, 10)


def test_events_in_the_producers_hand_are_pending() -> None:
    """N1: between waiting and the account an event is seen exactly once."""
    intake = Intake(1 << 20, Wakes())
    intake.put(KeyedEvent(b"four", "key", None), 4)
    intake.refuse(DropReason.INTERNAL)
    before = intake.statistics(own=3)
    intake.take()
    assert intake.statistics(own=3) == before
    assert before.pending_bytes == 4
    assert before.own == 3
    intake.settle(lambda: Statistics(accepted=1, delivered=1), 0, 0)
    account = intake.statistics()
    assert account.pending == 0
    assert account.lost == 1
    assert adds_up(account)
    assert intake.settled() == Statistics(accepted=1, delivered=1)


def test_n1_the_account_adds_up_at_every_moment() -> None:
    """Eight threads hand over, one moves, and whoever reads sees each event once."""
    intake = Intake(1 << 40, Wakes())
    senders = 4
    events = 5000
    stop = threading.Event()
    told: list[Refusals] = []

    def send() -> None:
        for number in range(events):
            if number % 7:
                intake.put(b"x", 1)
            else:
                intake.refuse(DropReason.INTERNAL)

    def move() -> None:
        accepted = 0
        while not stop.is_set() or intake.waiting:
            accepted += len(intake.take())
            account = Statistics(accepted=accepted, delivered=accepted)
            intake.settle(partial(_same, account), 0, 0)
            told.extend(intake.take_refusals())

    threads = [threading.Thread(target=send) for _ in range(senders)]
    mover = threading.Thread(target=move)
    for thread in [*threads, mover]:
        thread.start()
    seen = 0
    while any(thread.is_alive() for thread in threads):
        account = intake.statistics()
        assert adds_up(account)
        assert account.accepted >= seen
        seen = account.accepted
    stop.set()
    mover.join()
    account = intake.statistics()
    assert account.accepted == senders * events
    # What the producer is told is what was refused, each event once.
    assert sum(refusals.events for refusals in told) == account.lost


def _same(account: Statistics) -> Statistics:
    return account


def test_a_reader_does_not_wait_for_a_producer_that_is_frozen() -> None:
    """At exit daemon threads stop wherever they are; statistics still come back."""
    intake = Intake(1 << 20, Wakes())
    intake.put(b"x", 1)
    intake._moves = 1
    assert intake.statistics().pending == 1


def test_c3_a_signal_handler_may_log_in_the_middle_of_a_log_call() -> None:
    """Whatever it interrupts, both events are there and nothing waits."""
    intake = Intake(1 << 40, Wakes())
    handled = 0

    def handle(*_: object) -> None:
        nonlocal handled
        handled += 1
        intake.put(b"signal", 6)

    previous = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    put = 0
    try:
        while handled < 50:
            intake.put(b"main", 4)
            put += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert len(intake.take()) == put + handled


def test_a_forked_child_forgets_what_waits() -> None:
    """S7: it is the parent's, and so is the account."""
    intake = Intake(1 << 20, Wakes())
    intake.put(b"x", 1)
    wakes = Wakes()
    intake.reset(wakes)
    assert intake.statistics() == Statistics()
    assert not intake.waiting
    intake.put(b"y", 1)
    assert wakes.count == 1


def test_n1_events_that_are_given_up_are_never_in_no_account() -> None:
    """Whoever reads meanwhile is told to read again."""
    intake = Intake(1 << 20, Wakes())
    moving: list[bool] = []

    class Watched(Tally):
        """Notes whether readers know that events are on their way."""

        def add(self, reason: DropReason, level: str | None) -> None:
            moving.append(intake._moves % 2 == 1)
            super().add(reason, level)

    intake._tally = Watched()
    intake.put(b"kept", 4)
    intake.put(KeyedEvent(b"x", None, None, Submissions(lambda *_: None).begin()), 1)
    intake.give_up_waited_for()
    assert moving == [True]
    account = intake.statistics()
    assert (account.accepted, account.pending, account.lost) == (2, 1, 1)

"""The closing account: three sides that have to agree."""

from __future__ import annotations

import pytest

from kinesink import DropReason, Statistics
from kinesink.cli.account import disagreements, in_words

ALL_DELIVERED = Statistics(accepted=3, delivered=3)
EACH_ONCE = {0: 1, 1: 1, 2: 1}


def test_each_event_once_is_agreement() -> None:
    """Logged, accepted, delivered and seen: the same."""
    assert disagreements(3, ALL_DELIVERED, EACH_ONCE) == []


@pytest.mark.parametrize(
    ("account", "times", "differences"),
    [
        (Statistics(), {}, ["3 logged, but 0 accepted", "3 never seen by the consumer: 0, 1, 2"]),
        (Statistics(accepted=3, delivered=2), EACH_ONCE, ["3 accepted, but 2 accounted for"]),
        (
            Statistics(accepted=3, delivered=2, dropped={DropReason.EXPIRED: 1}),
            {0: 1, 2: 1},
            ["1 dropped (expired 1)", "1 never seen by the consumer: 1"],
        ),
        (Statistics(accepted=3, delivered=2, pending=1), EACH_ONCE, ["1 still pending"]),
        (ALL_DELIVERED, {0: 1, 1: 1}, ["1 never seen by the consumer: 2"]),
        (ALL_DELIVERED, {0: 1, 1: 2, 2: 3}, ["2 seen more than once: 1, 2"]),
        (ALL_DELIVERED, EACH_ONCE | {7: 1}, ["1 seen that nobody logged: 7"]),
    ],
)
def test_each_difference_is_named(
    account: Statistics, times: dict[int, int], differences: list[str]
) -> None:
    """Whatever does not add up is said in words, with the numbers of the events."""
    assert disagreements(3, account, times) == differences


def test_nothing_logged_proves_nothing() -> None:
    """An empty run would otherwise agree with everything."""
    assert disagreements(0, Statistics(), {}) == ["nothing was logged"]


def test_many_missing_events_are_not_all_named() -> None:
    """A screen full of numbers would hide the rest."""
    account = Statistics(accepted=1000, delivered=1000)
    assert disagreements(1000, account, {}) == [
        "1,000 never seen by the consumer: 0, 1, 2, 3, 4, …"
    ]


def test_the_account_reads_as_an_equation() -> None:
    """Accepted is what became of everything."""
    account = Statistics(accepted=3000, delivered=2000, dropped={DropReason.SHUTDOWN: 1000})
    assert in_words(account) == "3,000 accepted = 2,000 delivered + 1,000 dropped + 0 pending"

"""What is left is said in words, and once."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from kinesink import Statistics
from kinesink.shell.left import Left
from kinesink.shell.reporter import Reporter
from kinesink.shell.teller import Teller
from tests.shell.support import PATIENCE, make_config

if TYPE_CHECKING:
    from kinesink.shell.intake import Intake


class Account:
    """Stands for an intake that has an account."""

    def __init__(self, account: Statistics) -> None:
        self.account = account

    def statistics(self) -> Statistics:
        """Return the account."""
        return self.account


def left_of(account: Statistics | Account, told: list[str], error: str | None = None) -> Left:
    """Return what tells of an account."""
    intake = account if isinstance(account, Account) else Account(account)
    reporter = Reporter(lambda _, text: told.append(text))
    config = make_config(spool_path="/spool", shutdown_timeout=5)
    return Left(config, cast("Intake", intake), Teller(config, reporter), lambda: error)


@pytest.mark.parametrize(
    ("account", "error", "said"),
    [
        (Statistics(accepted=2, pending=2, pending_bytes=9), None,
         "2 events (9 bytes) not delivered to 'app' within 5 s"),
        (Statistics(accepted=3, pending=3, pending_bytes=9, spooled=3), None,
         "3 events for 'app' kept in /spool"),
        (Statistics(accepted=3, pending=3, pending_bytes=9, spooled=3), "refused",
         "3 events for 'app' kept in /spool; last error: refused"),
        (Statistics(accepted=5, pending=5, pending_bytes=9, spooled=3), "refused",
         ("2 events (9 bytes) not delivered to 'app' within 5 s; last error: refused; "
          "3 events for 'app' kept in /spool")),
    ],
)  # fmt: skip
def test_it_says_how_many_and_where_they_are(
    account: Statistics, error: str | None, said: str
) -> None:
    """In memory they are lost with the process, on disk they are not."""
    told: list[str] = []
    left_of(account, told, error).say(PATIENCE)
    assert told == [said]


def test_it_says_so_once_until_another_event_comes() -> None:
    """Hooks of others may ask again."""
    told: list[str] = []
    left = left_of(Statistics(accepted=1, pending=1), told)
    left.say(PATIENCE)
    left.say(PATIENCE)
    left.report()
    assert len(told) == 1


def test_nothing_left_is_nothing_to_say() -> None:
    """At the end, and after a flush that was short."""
    told: list[str] = []
    left = left_of(Statistics(accepted=1, delivered=1), told)
    left.say(PATIENCE)
    left.report_late(1.0, PATIENCE)
    assert told == []


def test_what_a_flush_was_too_short_for_is_kept() -> None:
    """And said to be."""
    told: list[str] = []
    left_of(Statistics(accepted=1, pending=1), told).report_late(1.0, PATIENCE)
    assert told == ["1 event (0 bytes) not delivered to 'app' within 1 s (kept for later)"]


def test_what_nobody_was_told_is_not_taken_for_told() -> None:
    """Reports of a kind come once a minute; what fell in between is still to be said."""
    told: list[str] = []
    account = Account(Statistics(accepted=1, pending=1))
    left = left_of(account, told)
    left.report()
    account.account = Statistics(accepted=2, pending=2)
    left.report()
    left.say(PATIENCE)
    left.report()
    assert [text.split(" (")[0] for text in told] == ["1 event", "1 event"]

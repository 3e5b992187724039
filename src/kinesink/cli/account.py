"""The closing account: what was logged, what the producer says, what the consumer saw."""

from collections.abc import Iterable, Mapping
from typing import Final

from kinesink.statistics import Statistics

_SHOWN: Final = 5
"""Numbers of events named in one complaint."""


def disagreements(logged: int, account: Statistics, times: Mapping[int, int]) -> list[str]:
    """Return in words where the three sides differ; nothing if each event arrived once.

    :param logged: how many events were logged; they are numbered from 0.
    :param account: the producer's.
    :param times: how often the consumer saw the event of each number.
    """
    accounted = account.delivered + account.lost + account.pending
    missing = [number for number in range(logged) if number not in times]
    unknown = [number for number in times if not 0 <= number < logged]
    repeated = [number for number, copies in times.items() if copies > 1]
    found = [
        (logged == 0, "nothing was logged"),
        (account.accepted != logged, f"{logged:,} logged, but {account.accepted:,} accepted"),
        (
            account.accepted != accounted,
            f"{account.accepted:,} accepted, but {accounted:,} accounted for",
        ),
        (account.lost > 0, f"{account.lost:,} dropped ({_reasons(account)})"),
        (account.pending > 0, f"{account.pending:,} still pending"),
        (bool(missing), f"{len(missing):,} never seen by the consumer: {_named(missing)}"),
        (bool(repeated), f"{len(repeated):,} seen more than once: {_named(repeated)}"),
        (bool(unknown), f"{len(unknown):,} seen that nobody logged: {_named(unknown)}"),
    ]
    return [text for differs, text in found if differs]


def in_words(account: Statistics) -> str:
    """Return the producer's account as an equation."""
    return (
        f"{account.accepted:,} accepted = {account.delivered:,} delivered + "
        f"{account.lost:,} dropped + {account.pending:,} pending"
    )


def _reasons(account: Statistics) -> str:
    return ", ".join(f"{reason.value} {count:,}" for reason, count in account.dropped.items())


def _named(numbers: Iterable[int]) -> str:
    ordered = sorted(numbers)
    shown = ", ".join(map(str, ordered[:_SHOWN]))
    return f"{shown}, …" if len(ordered) > _SHOWN else shown

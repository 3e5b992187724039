"""Numbers that are missing: told when they are, and not when they may still come."""

from __future__ import annotations

from kinesink.cli.tail.gaps import _MOST_GAPS, PATIENCE, Gap, Gaps
from kinesink.testing.marks import Mark

ONE, OTHER = "0" * 16, "1" * 16


def gaps_of(*seen: tuple[int, float], boot_id: str = ONE, gaps: Gaps | None = None) -> Gaps:
    """Return what is known after events with these numbers, at these times."""
    found = gaps or Gaps()
    for number, arrival in seen:
        found.take(Mark(boot_id, number, 1, 1, None), arrival)
    return found


def test_numbers_without_a_gap_are_fine() -> None:
    """However many there are."""
    gaps = gaps_of(*[(number, float(number)) for number in range(1, 1000)])
    assert gaps.due(10_000) == []
    assert (gaps.writers, gaps.missing()) == (1, 0)


def test_a_gap_is_told_when_it_is_old_enough_and_once() -> None:
    """Events come out of order by retries."""
    gaps = gaps_of((1, 0), (2, 1), (5, 2), (7, 3))
    assert gaps.due(2 + PATIENCE - 0.1) == []
    assert gaps.due(2 + PATIENCE) == [Gap(ONE, 3, 4)]
    assert gaps.due(3 + PATIENCE) == [Gap(ONE, 6, 6)]
    assert gaps.due(1000) == []
    assert gaps.missing() == 3


def test_what_comes_late_is_not_missing() -> None:
    """At the begin, in the middle, at the end of a gap, and twice."""
    gaps = gaps_of((1, 0), (10, 1), (2, 2), (5, 2), (9, 3), (9, 4), (1, 5))
    assert gaps.due(1000) == [Gap(ONE, 3, 4), Gap(ONE, 6, 8)]
    gaps_of((3, 1001), (4, 1001), gaps=gaps)
    assert gaps.missing() == 3


def test_writers_are_told_apart() -> None:
    """Each counts by itself."""
    gaps = gaps_of((1, 0), (3, 0))
    gaps_of((1, 0), (2, 0), boot_id=OTHER, gaps=gaps)
    assert gaps.due(1000) == [Gap(ONE, 2, 2)]
    assert gaps.writers == 2


def test_numbers_around_the_first_that_was_read_are_not_judged() -> None:
    """Those that are lacking may have come before the reading began."""
    gaps = gaps_of((50, 0), (100, 1), (102, PATIENCE - 1), (90, PATIENCE))
    assert gaps.due(1000) == []
    gaps_of((103, PATIENCE), (105, PATIENCE), gaps=gaps)
    assert gaps.due(1000) == [Gap(ONE, 104, 104)]


def test_of_a_writer_that_begins_here_everything_is_judged() -> None:
    """Its first number is 1."""
    assert gaps_of((1, 0), (4, 0)).due(1000) == [Gap(ONE, 2, 3)]


def test_gaps_are_bounded() -> None:
    """Numbers that somebody has made up cost no more than that."""
    gaps = gaps_of(*[(number, 0.0) for number in range(1, 2 * _MOST_GAPS + 10, 2)])
    assert len(gaps.due(1000)) == _MOST_GAPS


def test_a_gap_in_words() -> None:
    """One number, and several."""
    assert str(Gap(ONE, 7, 7)) == f"number 7 of writer {ONE} is missing"
    assert str(Gap(ONE, 7, 1007)) == (
        f"numbers 7 to 1007 of writer {ONE} are missing (1,001 events)"
    )

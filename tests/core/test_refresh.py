"""When a question about the stream is asked again."""

from __future__ import annotations

import math

import pytest

from kinesink.core.refresh import Refresh


def asked_once(at: float = 0.0) -> Refresh:
    """Return a schedule whose first question was asked and answered at `at`."""
    refresh = Refresh(period=100.0)
    refresh.due_at = at
    assert refresh.ask(at)
    refresh.answered(at, jitter=0.0)
    return refresh


class TestRefresh:
    """One question under way at most, none too many after it."""

    def test_nothing_is_asked_before_it_is_due(self) -> None:
        """A schedule without a due time never asks by itself."""
        refresh = Refresh(period=100.0)

        assert not refresh.ask(1e9)
        assert refresh.deadline() == math.inf
        assert not refresh.is_new

    def test_one_question_is_under_way_at_a_time(self) -> None:
        """Asking again says no until the answer is there."""
        refresh = Refresh(period=100.0, due_at=5.0)

        assert refresh.is_new
        assert not refresh.ask(4.9)
        assert refresh.ask(5.0)
        asked = (refresh.under_way, refresh.is_new)
        assert not refresh.ask(6.0)
        assert refresh.deadline() == math.inf
        refresh.answered(7.0, jitter=0.0)
        assert asked == (True, True)
        assert (refresh.under_way, refresh.is_new) == (False, False)
        assert refresh.answered_at == 5.0

    @pytest.mark.parametrize(("jitter", "due"), [(0.0, 100.0), (0.5, 110.0), (1.0, 120.0)])
    def test_it_is_asked_again_after_the_period_and_up_to_a_fifth(
        self, jitter: float, due: float
    ) -> None:
        """So that a fleet does not ask in step."""
        refresh = Refresh(period=100.0, due_at=0.0)
        refresh.ask(0.0)
        refresh.answered(0.0, jitter)

        assert refresh.deadline() == pytest.approx(due)

    def test_evidence_makes_it_due_at_once_or_after_a_while(self) -> None:
        """The earlier of two wishes counts."""
        refresh = asked_once(10.0)
        refresh.need(11.0, 12.0, after=5.0)
        assert refresh.deadline() == 17.0
        refresh.need(11.0, 12.0)
        assert refresh.deadline() == 12.0
        refresh.need(11.0, 12.0, after=9.0)
        assert refresh.deadline() == 12.0

    def test_r5_evidence_older_than_the_answer_proves_nothing(self) -> None:
        """The question was asked after what was seen."""
        refresh = asked_once(10.0)
        refresh.need(9.9, 12.0)

        assert refresh.deadline() == 110.0

    def test_r5_a_hundred_proofs_make_one_question(self) -> None:
        """While it is under way, what was seen before it joins it."""
        refresh = asked_once(10.0)
        for _ in range(100):
            refresh.need(11.0, 12.0)
        assert refresh.ask(12.0)
        for _ in range(100):
            refresh.need(11.5, 13.0)
        refresh.answered(14.0, jitter=0.0)

        assert refresh.deadline() == 114.0

    def test_r5_evidence_newer_than_the_question_arms_one_more(self) -> None:
        """Exactly one, however much there was."""
        refresh = asked_once(10.0)
        refresh.need(11.0, 12.0)
        refresh.ask(12.0)
        for _ in range(100):
            refresh.need(12.5, 13.0)
        refresh.need(11.0, 13.0)
        refresh.answered(14.0, jitter=0.0)
        assert refresh.ask(14.0)
        refresh.answered(15.0, jitter=0.0)

        assert refresh.deadline() == 115.0

    def test_r9_failures_wait_longer_each_time_up_to_a_cap(self) -> None:
        """From a second, half as long again each time, to half a minute; half is jitter."""
        refresh = Refresh(period=100.0, due_at=0.0)
        waits = []
        for _ in range(12):
            now = refresh.due_at
            refresh.ask(now)
            refresh.failed(now, jitter=1.0)
            waits.append(refresh.due_at - now)

        assert waits[:4] == pytest.approx([1.0, 1.5, 2.25, 3.375])
        assert waits[-1] == 30.0
        assert waits == sorted(waits)
        assert not refresh.is_new

    def test_a_failure_waits_at_least_half_of_its_delay(self) -> None:
        """So that a draw of zero does not ask at once."""
        refresh = Refresh(period=100.0, due_at=0.0)
        refresh.ask(0.0)
        refresh.failed(0.0, jitter=0.0)

        assert refresh.due_at == 0.5

    def test_evidence_does_not_hurry_a_failing_question(self) -> None:
        """Else every wrong placement would defeat the backoff."""
        refresh = asked_once()
        refresh.need(1.0, 1.0)
        refresh.ask(1.0)
        refresh.failed(1.0, jitter=1.0)
        refresh.need(1.5, 1.5)
        assert refresh.deadline() == 2.0
        refresh.ask(2.0)
        refresh.answered(3.0, jitter=0.0)
        assert refresh.failures == 0
        assert refresh.deadline() == 103.0

    def test_a_question_that_failed_can_be_hastened_and_no_other(self) -> None:
        """Once: if it fails again, it waits as long as it would have."""
        refresh = asked_once()
        refresh.hasten(1.0)
        assert refresh.deadline() == 100.0
        for _ in range(3):
            refresh.due_at = 1.0
            assert refresh.ask(1.0)
            refresh.failed(1.0, jitter=1.0)
        refresh.hasten(1.5)
        assert refresh.ask(1.5)
        refresh.hasten(1.6)
        assert not refresh.ask(1.6)
        refresh.failed(2.0, jitter=1.0)
        assert refresh.deadline() == pytest.approx(2.0 + 1.5**3)

    def test_an_answer_nobody_asked_for_dates_nothing(self) -> None:
        """It still starts the period anew."""
        refresh = Refresh(period=100.0)
        refresh.answered(5.0, jitter=0.0)

        assert refresh.answered_at == -math.inf
        assert refresh.deadline() == 105.0

    def test_what_was_mended_is_asked_again_at_once_but_once(self) -> None:
        """An expired token is replaced by then; refused again, it has failed."""
        refresh = Refresh(period=100.0, due_at=0.0)
        assert refresh.ask(0.0)
        assert refresh.repeat(1.0)
        assert refresh.is_new
        assert refresh.ask(1.0)
        assert not refresh.repeat(2.0)
        refresh.failed(2.0, jitter=1.0)
        assert refresh.deadline() == 3.0
        assert refresh.ask(3.0)
        assert refresh.repeat(3.5)
        assert refresh.ask(3.5)
        refresh.answered(4.0, jitter=0.0)
        assert refresh.answered_at == 3.5

"""What was lost is told in the stream itself, once sending works."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest

from kinesink import DropReason, RecordResult
from kinesink.shell.losses import INTERVAL, QUIET, Losses, LossTicket
from kinesink.testing import AccessDenied, Hang
from tests.shell.support import adds_up, landed, make_fake, make_sink, wait_until

if TYPE_CHECKING:
    from kinesink import Sink
    from kinesink.shell.losses import Loss

pytestmark = pytest.mark.usefixtures("signed")


def as_line(loss: Loss) -> tuple[bytes, ...]:
    """Write a loss as a line."""
    return (json.dumps({"lost": loss.events, **loss.reasons}).encode(),)


def losses_of(reason: DropReason = DropReason.SHED, *, at: float = 100.0) -> Losses:
    """Return losses that have begun."""
    losses = Losses(as_line)
    losses.add(reason, {"DEBUG": 2, None: 1}, at)
    return losses


class TestLosses:
    """What is still to be told."""

    def test_nobody_is_told_where_nobody_knows_how(self) -> None:
        """Ready-made bytes may be of any format."""
        losses = Losses()
        losses.add(DropReason.SHED, {None: 1}, 0.0)
        assert not losses.any_to_tell

    def test_it_is_told_when_the_pressure_is_over(self) -> None:
        """A quiet second says so."""
        losses = losses_of(at=100)
        assert losses.any_to_tell
        assert losses.due_at() == 100 + QUIET
        losses.add(DropReason.SHED, {None: 1}, 100.9)
        assert losses.due_at() == 100.9 + QUIET

    def test_it_is_told_at_last_while_the_pressure_goes_on(self) -> None:
        """So that nobody waits for ever."""
        losses = losses_of(at=100)
        for tenth in range(200):
            losses.add(DropReason.SHED, {None: 1}, 100 + tenth / 10)
        assert losses.due_at() == 100 + INTERVAL

    def test_it_is_told_no_more_often_than_that(self) -> None:
        """However short the times without a loss."""
        losses = losses_of(at=100)
        losses.take(101)
        losses.add(DropReason.SHED, {None: 1}, 102)
        assert losses.due_at() == 101 + INTERVAL

    def test_what_is_taken_is_forgotten(self) -> None:
        """Each loss is told once."""
        losses = losses_of()
        loss = losses.take(101)
        assert (loss.events, loss.reasons, loss.levels) == (3, {"shed": 3}, {"DEBUG": 2})
        assert not losses.any_to_tell

    def test_what_could_not_be_told_is_told_later(self) -> None:
        """With what was lost meanwhile, and the record itself."""
        losses = losses_of(at=100)
        loss = losses.take(101)
        losses.add(DropReason.TOO_LARGE, {"INFO": 1}, 102)
        failed = RecordResult(
            success=False, shard_id=None, sequence_number=None, attempts=(),
            reason=DropReason.EXPIRED, error="late",
        )  # fmt: skip
        LossTicket(losses, loss, lambda: 110.0).resolve(failed)
        again = losses.take(120)
        assert again.reasons == {"shed": 3, "too_large": 1, "expired": 1}
        assert again.levels == {"DEBUG": 2, "INFO": 1, "WARNING": 1}
        assert again.first == loss.first
        assert again.last > loss.last

    def test_what_could_not_be_told_is_told_later_alone_too(self) -> None:
        """If nothing else was lost meanwhile."""
        losses = losses_of(at=100)
        loss = losses.take(101)
        losses.put_back(loss, 110.0)
        assert losses.due_at() == 111
        assert losses.take(111) == loss

    def test_another_loop_counts_from_elsewhere(self) -> None:
        """Trio's clock begins anywhere, and what one has told says nothing about the next."""
        losses = losses_of(at=1e6)
        losses.take(1e6 + 1)
        losses.add(DropReason.SHED, {None: 1}, 1e6 + 2)
        losses.begin(50)
        assert losses.due_at() == 50 + QUIET
        losses.add(DropReason.SHED, {None: 1}, 50.5)
        assert losses.due_at() == 50.5 + QUIET
        assert losses.take(52).events == 2

    def test_what_arrived_is_told(self) -> None:
        """There is nothing to take back."""
        losses = losses_of()
        done = RecordResult(success=True, shard_id="0", sequence_number="1", attempts=())
        LossTicket(losses, losses.take(101), lambda: 102.0).resolve(done)
        assert not losses.any_to_tell


def failing(sink: Sink) -> bool:
    """Tell whether a call of the sink's has failed."""
    producer = sink._background._producer
    return producer is not None and producer.last_error is not None


class TestInTheStream:
    """A sink tells its stream."""

    def test_after_the_pressure_there_is_one_record(self, anyio_backend: str) -> None:
        """It says how many were lost, and is an event of the account like any other."""
        fake = make_fake()
        hang = Hang(operation="PutRecords")
        fake.faults.append(hang)
        sink = make_sink(fake, backend=anyio_backend, max_pending_events=10)
        sink.tell_losses_by(as_line)
        refused = sum(not sink.emit(b"event", level=10) for _ in range(20))
        assert refused == 13
        fake.faults.clear()
        fake.release()
        wait_until(lambda: b'{"lost": 13, "shed": 13}' in landed(fake))
        assert sink.close()
        account = sink.statistics()
        assert adds_up(account)
        assert (account.accepted, account.delivered, account.lost) == (21, 8, 13)

    def test_the_last_opportunity_is_taken(self, anyio_backend: str) -> None:
        """Who closes at once does not take the loss along."""
        fake = make_fake()
        sink = make_sink(fake, backend=anyio_backend)
        sink.tell_losses_by(as_line)
        sink.emit(b"event")
        sink.refuse(DropReason.TOO_LARGE, 20)
        assert sink.close()
        assert landed(fake) == [b"event", b'{"lost": 1, "too_large": 1}']

    def test_the_next_producer_waits_for_no_moment_of_the_last(self, anyio_backend: str) -> None:
        """A sink that opens again has another loop, whose clock may begin anywhere."""
        fake = make_fake()
        sink = make_sink(fake, backend=anyio_backend)
        sink.tell_losses_by(as_line)
        sink.emit(b"event")
        assert sink.close()
        sink._background.teller.losses._told_at = 1e12
        sink.emit(b"another")
        sink.refuse(DropReason.TOO_LARGE, 20)
        wait_until(lambda: b'{"lost": 1, "too_large": 1}' in landed(fake))
        assert sink.close()

    def test_where_nothing_works_nothing_is_told(self) -> None:
        """It would only be one more event that is lost."""
        fake = make_fake()
        fake.faults.append(AccessDenied(operation="PutRecords"))
        sink = make_sink(fake, shutdown_timeout=0.5)
        sink.tell_losses_by(as_line)
        sink.emit(b"event")
        wait_until(lambda: failing(sink))
        sink.refuse(DropReason.TOO_LARGE, 20)
        assert not sink.close()
        account = sink.statistics()
        assert account.accepted == 2

    def test_it_can_be_switched_off(self) -> None:
        """A stream of which every reader knows every event."""
        fake = make_fake()
        sink = make_sink(fake, loss_records=False)
        sink.tell_losses_by(as_line)
        sink.emit(b"event")
        sink.refuse(DropReason.TOO_LARGE, 20)
        assert sink.close()
        assert landed(fake) == [b"event"]

    def test_events_without_a_format_of_ours_are_followed_by_none(self) -> None:
        """A raw sink ships what it is given, and nothing else."""
        fake = make_fake()
        sink = make_sink(fake)
        sink.emit(b"event")
        sink.refuse(DropReason.TOO_LARGE)
        assert sink.close()
        assert landed(fake) == [b"event"]

    def test_the_level_of_what_was_under_way_is_known_from_its_line(self) -> None:
        """Expired events are counted by level, too."""
        fake = make_fake()
        fake.faults.append(Hang(operation="PutRecords"))
        told: list[Loss] = []
        # Long enough for the last event to arrive on a busy machine.
        sink = make_sink(fake, time_to_live=2.0, shutdown_timeout=5)

        def write(loss: Loss) -> tuple[bytes, ...]:
            told.append(loss)
            return as_line(loss)

        sink.tell_losses_by(write)
        sink.emit(b'{"level":"ERROR"}\n')
        sink.emit(b"anything")
        wait_until(lambda: sink.statistics().lost == 2)
        fake.faults.clear()
        fake.release()
        sink.emit(b"afterwards")
        wait_until(lambda: told)
        assert told[0].reasons == {"expired": 2}
        assert told[0].levels == {"ERROR": 1}
        assert math.isfinite(told[0].first)
        sink.close()

"""The history of the records somebody waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinesink.core.attempts import AttemptLog
from kinesink.core.effects import Delivered, Dropped
from kinesink.core.entry import Entry
from kinesink.core.records import ATTEMPTS_KEPT, Attempt, DropReason, EntryResult, Failure
from tests.core.entries import Results, aggregate_of, keyed, keyless, user_records

if TYPE_CHECKING:
    from kinesink.core.effects import Effect

TAKEN = EntryResult(shard_id="shardId-000000000000", sequence_number="7")
THROTTLED = EntryResult(error_code="Throttled", error_message="slow down")


class TestAttempts:
    """One per PutRecords call that carried the record."""

    def test_f2_a_delivered_record_tells_what_was_tried(self) -> None:
        """A failed call, a refusal and the success, oldest first."""
        effects: list[Effect] = []
        log, record = AttemptLog(effects), keyed(ticket=Results())
        entry = aggregate_of(record, keyed())
        log.failed(entry, Failure("ReadTimeout", "too late"), started=1.0, duration=6.0)
        log.attempted(entry, THROTTLED, started=8.0, duration=0.1)
        log.attempted(entry, TAKEN, started=9.0, duration=0.2)
        log.delivered(entry, TAKEN)

        (delivered,) = effects
        assert isinstance(delivered, Delivered)
        assert delivered.record is record
        assert delivered.result.success
        assert delivered.result.shard_id == "shardId-000000000000"
        assert delivered.result.sequence_number == "7"
        assert delivered.result.attempts == (
            Attempt(1.0, 6.0, success=False, error_code="ReadTimeout", error_message="too late"),
            Attempt(8.0, 0.1, success=False, error_code="Throttled", error_message="slow down"),
            Attempt(9.0, 0.2, success=True, shard_id="shardId-000000000000"),
        )

    def test_b4_the_history_is_bounded(self) -> None:
        """To the newest, the expiry included."""
        effects: list[Effect] = []
        log, record = AttemptLog(effects), keyed(ticket=Results())
        entry = aggregate_of(record, keyed())
        for number in range(100):
            log.attempted(entry, THROTTLED, started=float(number), duration=0.1)
        log.dropped([record], DropReason.EXPIRED, "too old", at=100.0)

        (dropped,) = effects
        assert isinstance(dropped, Dropped)
        assert dropped.result is not None
        assert len(dropped.result.attempts) == ATTEMPTS_KEPT
        assert [each.error_code for each in dropped.result.attempts[-2:]] == [
            "Throttled", "Expired",
        ]  # fmt: skip

    def test_nothing_is_written_down_where_nobody_waits(self) -> None:
        """No attempt, no effect."""
        effects: list[Effect] = []
        log, entry = AttemptLog(effects), Entry([keyless(b"a", b"b")], size=60)
        log.failed(entry, Failure("ReadTimeout", ""), started=0.0, duration=0.0)
        log.attempted(entry, TAKEN, started=0.0, duration=0.0)
        log.delivered(entry, TAKEN)
        silent = aggregate_of(keyed(), keyed(ticket=Results()))
        log.attempted(silent, TAKEN, started=0.0, duration=0.0)

        assert effects == []
        assert [len(record.attempts) for record in user_records(silent)] == [0, 1]


class TestDrops:
    """What those who wait are told, and what is reported of the others."""

    def test_each_waiting_record_gets_its_result_the_others_one_report(self) -> None:
        """With the reason, and the error in words."""
        effects: list[Effect] = []
        watched, plain, chunk = keyed(ticket=Results()), keyed(), keyless(b"a")
        AttemptLog(effects).dropped(
            [plain, watched, chunk], DropReason.REJECTED, "no such stream", at=5.0
        )

        told, rest = effects
        assert isinstance(told, Dropped)
        assert isinstance(rest, Dropped)
        assert told.contents == [watched]
        assert told.result is not None
        assert not told.result.success
        assert told.result.reason is DropReason.REJECTED
        assert told.result.error == "no such stream"
        assert told.result.attempts == ()
        assert rest.contents == [plain, chunk]
        assert rest.result is None

    def test_t3_an_expiry_is_one_attempt_more(self) -> None:
        """Dated when it happened; nothing is reported of nobody's records."""
        effects: list[Effect] = []
        AttemptLog(effects).dropped(
            [keyed(ticket=Results())], DropReason.EXPIRED, "too old", at=42.0
        )

        (told,) = effects
        assert isinstance(told, Dropped)
        assert told.result is not None
        assert told.result.attempts == (
            Attempt(42.0, 0.0, success=False, error_code="Expired", error_message="too old"),
        )

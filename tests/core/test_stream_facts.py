"""What is known of the stream, and who has the last word."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from kinesink.core.records import StreamSummary
from kinesink.core.stream_facts import Distribution, StreamFacts
from tests.core.entries import OPTIONS

if TYPE_CHECKING:
    from kinesink.core.options import RecordDistribution

MIB = 2**20


def facts(
    *, record_distribution: RecordDistribution = "detect", record_max_bytes: int | None = None
) -> StreamFacts:
    """Return the facts of a stream nobody has asked about."""
    return StreamFacts(
        replace(
            OPTIONS,
            record_distribution=record_distribution,
            record_max_bytes=record_max_bytes,
        )
    )


def describe(stream: StreamFacts, summary: StreamSummary, asked_at: float = 1.0) -> bool:
    """Ask, and have the answer at once."""
    stream.refresh.due_at = asked_at
    assert stream.refresh.ask(asked_at)
    return stream.described(summary, asked_at, jitter=0.0)


class TestDistribution:
    """Where records go."""

    @pytest.mark.parametrize(
        ("stated", "distribution"),
        [
            (None, Distribution.USER_PARTITION_KEY),
            ("USER_PARTITION_KEY", Distribution.USER_PARTITION_KEY),
            ("AUTO", Distribution.AUTO),
        ],
    )
    def test_r17_the_service_says_it(self, stated: str | None, distribution: Distribution) -> None:
        """A provisioned stream has no such member and honours keys."""
        stream = facts()
        assert stream.distribution is Distribution.UNKNOWN
        describe(stream, StreamSummary(record_distribution=stated))

        assert stream.distribution is distribution

    @pytest.mark.parametrize("configured", ["auto", "user_partition_key"])
    def test_who_configures_it_is_believed(self, configured: RecordDistribution) -> None:
        """Against what the service says, and against proof."""
        stream = facts(record_distribution=configured)
        describe(stream, StreamSummary(record_distribution="AUTO"))
        stream.prove_auto(2.0, 2.0)

        assert stream.distribution.value == configured

    def test_r18_a_placement_can_prove_it_and_the_service_then_decides(self) -> None:
        """Asked at once; switched back, aggregation resumes."""
        stream = facts()
        describe(stream, StreamSummary())
        stream.prove_auto(2.0, 2.5)
        proven = stream.distribution
        assert stream.refresh.deadline() == 2.5
        describe(stream, StreamSummary(), asked_at=2.5)
        assert [proven, stream.distribution] == [
            Distribution.AUTO,
            Distribution.USER_PARTITION_KEY,
        ]

    def test_a_proof_from_before_the_last_answer_proves_nothing(self) -> None:
        """The service knew of it when it was asked."""
        stream = facts()
        describe(stream, StreamSummary(), asked_at=5.0)
        stream.prove_auto(4.0, 6.0)

        assert stream.distribution is Distribution.USER_PARTITION_KEY

    def test_r19_without_permission_to_ask_a_proof_stands(self) -> None:
        """Nobody contradicts it."""
        stream = facts()
        stream.refresh.due_at = 1.0
        stream.refresh.ask(1.0)
        stream.refresh.failed(1.0, jitter=0.0)
        stream.prove_auto(2.0, 2.0)

        assert stream.distribution is Distribution.AUTO


class TestRecordLimit:
    """L6."""

    @pytest.mark.parametrize(
        ("configured", "stated", "limit"),
        [
            (None, None, MIB),
            (None, 10 * MIB, 10 * MIB),
            (2048, None, 2048),
            (2048, MIB, 2048),
            (4 * MIB, MIB, MIB),
            (4 * MIB, None, 4 * MIB),
            (4 * MIB, 10 * MIB, 4 * MIB),
        ],
    )
    def test_l6_the_lower_of_what_is_configured_and_stated(
        self, configured: int | None, stated: int | None, limit: int
    ) -> None:
        """1 MiB where nobody says anything."""
        stream = facts(record_max_bytes=configured)
        describe(stream, StreamSummary(record_max_bytes=stated))

        assert stream.record_max_bytes == limit

    def test_l6_it_is_one_mebibyte_until_the_stream_is_described(self) -> None:
        """And what was configured, if it was."""
        assert facts().record_max_bytes == MIB
        assert facts(record_max_bytes=2 * MIB).record_max_bytes == 2 * MIB

    def test_l6_a_change_is_picked_up(self) -> None:
        """At the next description."""
        stream = facts()
        describe(stream, StreamSummary(record_max_bytes=MIB))
        describe(stream, StreamSummary(record_max_bytes=2 * MIB), asked_at=2.0)

        assert stream.record_max_bytes == 2 * MIB


class TestRecreation:
    """A stream that was deleted and created anew under its name."""

    @pytest.mark.parametrize(
        ("before", "after", "recreated"),
        [(1.0, 2.0, True), (1.0, 1.0, False), (None, 2.0, False), (1.0, None, False)],
    )
    def test_another_time_of_creation_is_another_stream(
        self, before: float | None, after: float | None, *, recreated: bool
    ) -> None:
        """If both are known."""
        stream = facts()

        assert not describe(stream, StreamSummary(created=before))
        assert describe(stream, StreamSummary(created=after), asked_at=2.0) is recreated

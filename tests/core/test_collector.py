"""Requests: within their limits, in order, and never empty."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from kinesink.core.collector import Collector
from kinesink.core.rate_limiter import RateLimiter
from tests.core.entries import (
    OPTIONS,
    equal_shards,
    keyed_entry,
    keyless_entry,
    map_of,
    shard_id,
)

if TYPE_CHECKING:
    from kinesink.core.collector import PutRecordsRequest
    from kinesink.core.entry import Entry
    from kinesink.core.options import PipelineOptions
    from kinesink.core.records import ShardId

MIB = 2**20
UNPACED = replace(OPTIONS, shard_rate_limit=math.inf)


def requests_of(
    entries: list[Entry], *, shards: int = 0, options: PipelineOptions = UNPACED
) -> list[PutRecordsRequest]:
    """Return the requests that entries make when no pace holds them back."""
    limiter, collector = RateLimiter(options), Collector(options)
    limiter.use_shards(map_of(equal_shards(shards)).shards if shards else [])
    for entry in entries:
        limiter.add(entry, 0.0)
    requests = []
    while (request := collector.form(limiter, 0.0)) is not None:
        requests.append(request)
    assert limiter.waiting == 0
    return requests


def _queue_of(entry: Entry) -> tuple[bool, ShardId | None]:
    """Return what an entry waits for; it may since have been bound to a shard."""
    return entry.keyless, None if entry.keyless else entry.predicted


class TestLimits:
    """L1."""

    @settings(max_examples=200)
    @given(
        st.lists(
            st.tuples(st.integers(1, 400_000), st.sampled_from([None, 0, 1, 2]), st.booleans()),
            max_size=60,
        ),
        st.integers(1, 20),
        st.integers(1024, 1_000_000),
        st.integers(1, 300_000),
        st.integers(0, 3),
    )
    def test_l1_no_request_exceeds_a_limit(
        self,
        plan: list[tuple[int, int | None, bool]],
        max_entries: int,
        max_bytes: int,
        max_share: int,
        shards: int,
    ) -> None:
        """But for a single entry that exceeds it by itself; order is kept in each queue."""
        entries = [
            keyless_entry(size)
            if no_key
            else keyed_entry(size, predicted=None if shard is None else shard_id(shard))
            for size, shard, no_key in plan
        ]
        requests = requests_of(
            entries,
            shards=shards,
            options=replace(
                UNPACED,
                request_max_entries=max_entries,
                request_max_bytes=max_bytes,
                request_max_bytes_per_shard=max_share,
            ),
        )

        for request in requests:
            assert 1 <= len(request.entries) <= max_entries
            assert request.size <= sum(entry.size for entry in request.entries)
            assert request.size <= max_bytes or len(request.entries) == 1
            for shard in {entry.predicted for entry in request.entries} - {None}:
                of_shard = [entry for entry in request.entries if entry.predicted == shard]
                assert len(of_shard) == 1 or sum(e.size for e in of_shard) <= max_share
        sent = [entry for request in requests for entry in request.entries]
        assert sorted(map(id, sent)) == sorted(map(id, entries))
        for queue in {_queue_of(entry) for entry in entries}:
            assert [id(entry) for entry in sent if _queue_of(entry) == queue] == [
                id(entry) for entry in entries if _queue_of(entry) == queue
            ]

    def test_five_hundred_entries_are_a_request(self) -> None:
        """What is left over is first in the next."""
        entries = [keyed_entry(10) for _ in range(501)]

        assert [request.entries for request in requests_of(entries)] == [
            entries[:500],
            entries[500:],
        ]

    def test_five_mebibytes_are_a_request(self) -> None:
        """Data and partition keys; exactly the limit still fits."""
        entries = [keyed_entry(MIB) for _ in range(6)]

        assert [len(request.entries) for request in requests_of(entries)] == [5, 1]

    def test_a_single_entry_may_exceed_the_limit_alone(self) -> None:
        """10 MiB records are legal where the stream allows them."""
        entries = [keyed_entry(100), keyed_entry(10 * MIB), keyed_entry(100)]

        assert [request.entries for request in requests_of(entries)] == [
            [entries[0]], [entries[1]], [entries[2]],
        ]  # fmt: skip

    def test_one_hot_shard_takes_its_share_and_no_more(self) -> None:
        """256 KiB; the others are in the same request."""
        hot = [keyed_entry(100_000, predicted=shard_id(0)) for _ in range(5)]
        calm = [keyed_entry(100_000, predicted=shard_id(1)) for _ in range(2)]
        first, *_ = requests_of(hot + calm)

        assert first.entries == [*hot[:2], *calm]

    def test_keyless_entries_go_to_shards_with_a_share_left(self) -> None:
        """When no shard has one, the request leaves with what it has."""
        first, second = requests_of([keyless_entry(100_000) for _ in range(6)], shards=2)

        assert len(first.entries) == 4
        assert len(second.entries) == 2

    def test_keyless_entries_that_do_not_fit_wait_for_the_next_request(self) -> None:
        """The keyed ones came first."""
        entries = [keyed_entry(900), keyless_entry(200)]

        assert len(requests_of(entries, options=replace(UNPACED, request_max_bytes=1024))) == 2

    def test_nothing_to_send_is_no_request(self) -> None:
        """Rather than an empty one."""
        assert requests_of([]) == []


class TestKeylessEntries:
    """What binds them."""

    def test_with_shards_they_carry_a_hash_key_of_theirs(self) -> None:
        """One after the other."""
        shards = map_of(equal_shards(3))
        (request,) = requests_of([keyless_entry() for _ in range(3)], shards=3)

        assert [entry.predicted for entry in request.entries] == [shard_id(n) for n in range(3)]
        for slot, entry in zip(request.wire, request.entries, strict=True):
            assert slot.explicit_hash_key is not None
            assert shards.predict(int(slot.explicit_hash_key)) == entry.predicted

    def test_without_shards_they_are_spread(self) -> None:
        """By hash keys that differ, with nothing predicted."""
        (request,) = requests_of([keyless_entry() for _ in range(50)])

        assert {entry.predicted for entry in request.entries} == {None}
        assert len({slot.explicit_hash_key for slot in request.wire}) == 50


class TestRequests:
    """One PutRecords call."""

    def test_it_knows_its_size_and_its_oldest_event(self) -> None:
        """Data and partition keys, in bytes; the time limit follows from the age."""
        (request,) = requests_of([keyed_entry(10, arrival=4.0), keyed_entry(20, arrival=3.0)])

        assert request.size == 30
        assert request.oldest == 3.0
        assert not request.resent

    def test_f5_its_halves_carry_the_same_entries(self) -> None:
        """In order, with the same bytes on the wire."""
        (request,) = requests_of([keyed_entry(10 + n) for n in range(5)])
        left, right = request.halves()

        assert left.entries + right.entries == request.entries
        assert left.wire + right.wire == request.wire
        assert (len(left.entries), len(right.entries)) == (2, 3)
        assert left.size + right.size == request.size

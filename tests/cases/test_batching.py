"""Batching and limits (cases L), from put to wire."""

# ruff: noqa: N802 - the tests carry the names of the cases

from __future__ import annotations

import math
from collections import Counter, defaultdict
from itertools import accumulate, combinations_with_replacement
from typing import TYPE_CHECKING, NamedTuple

import anyio
import pytest

from kinesink import InvalidRecordError
from kinesink.core.aggregated_record import decode
from kinesink.core.hash_key import hash_key_of
from kinesink.core.limits import KIB, MIB
from kinesink.testing import AccessDenied, ShardLimits
from tests.cases.scene import APP, HALF, RTT, TOP, new_fake, scene

if TYPE_CHECKING:
    from kinesink.testing.exchange import Call
    from tests.cases.scene import Scene

LINGER = 0.1


class Slot(NamedTuple):
    """One entry of a request as it went over the wire."""

    at: float
    shard: str
    size: int
    data: bytes


def slots(s: Scene, call: Call) -> list[Slot]:
    """Return the entries of a request with the shard that each belongs to."""
    shards = s.fake.open_shards(APP)
    found = []
    entries = call.body["Records"]
    assert isinstance(entries, list)
    for entry in entries:
        explicit = entry.get("ExplicitHashKey")
        hash_key = hash_key_of(entry["PartitionKey"]) if explicit is None else int(explicit)
        (owner,) = [each for each in shards if each.hash_key_range.contains(hash_key)]
        size = len(entry["Data"]) + len(entry["PartitionKey"].encode())
        found.append(Slot(call.time, owner.shard_id, size, entry["Data"]))
    return found


@pytest.mark.parametrize("request_max_bytes", [1 * MIB, 10 * MIB])
async def test_L1_no_request_exceeds_its_limits(request_max_bytes: int) -> None:
    """Neither 500 entries, nor the request size, nor 256 KiB of one shard; order is kept."""
    async with scene(
        shards=25,
        framing="none",
        shard_rate_limit=math.inf,
        request_max_bytes=request_max_bytes,
        max_requests_in_flight=1,
    ) as s:
        step = TOP // 25 + 1
        # First many small ones, then large ones, some larger than a shard's part.
        sizes = [10] * 2_000 + [17_000] * 700 + [300_000, 20_000] * 10 + [1_000] * 300
        for number, size in enumerate(sizes):
            s.emit(b"%06d" % number + bytes(size), "k", step * (number * 7 % 25))
        await s.settle()
        calls = [slots(s, call) for call in s.calls()]
    for call in calls:
        by_shard: defaultdict[str, list[int]] = defaultdict(list)
        for slot in call:
            by_shard[slot.shard].append(slot.size)
        assert len(call) <= 500
        assert sum(slot.size for slot in call) <= request_max_bytes
        assert all(sum(of) <= 256 * KIB or len(of) == 1 for of in by_shard.values())
    assert max(len(call) for call in calls) == 500
    assert any(slot.size > 256 * KIB for call in calls for slot in call)
    largest = max(sum(slot.size for slot in call) for call in calls)
    assert largest > 0.8 * min(request_max_bytes, 25 * 256 * KIB)
    # First in, first out, shard by shard; nothing was sent twice.
    order: defaultdict[str, list[bytes]] = defaultdict(list)
    for call in calls:
        for slot in call:
            order[slot.shard].append(slot.data[:6])
    assert all(numbers == sorted(numbers) for numbers in order.values())
    assert sum(map(len, order.values())) == len(sizes)


async def test_L3_what_is_larger_than_an_aggregated_record_travels_alone() -> None:
    """Its neighbours share a record all the same."""
    large = b"L" * 60_000
    async with scene(shards=1) as s:
        for key in (None, "k"):
            for number in range(5):
                s.emit(b"%d %a" % (number, key), key)
            s.emit(large, key)
        await s.settle()
    alone = [data for data in s.records() if decode(data) is None]
    shared = [len(decode(data) or ()) for data in s.records() if decode(data) is not None]
    assert alone == [large, large]
    assert shared == [5, 5]


@pytest.mark.parametrize("kib", [1024, 10_240])
async def test_L4_a_record_of_exactly_the_limit_goes_and_those_behind_wait_a_refill(
    kib: int,
) -> None:
    """The bucket goes into debt for it; what the shard takes in a second pays that back."""
    fake = new_fake(1, max_record_kib=kib)
    async with scene(fake, framing="none", request_timeout=30.0) as s:
        # A rate that has grown to what a shard takes.
        for number in range(120):
            s.emit(b"%05d" % number + bytes(40_000), "k")
        await s.settle()
        await anyio.sleep(2)
        largest = await s.put(bytes(kib * KIB - 1), "k")
        small = await s.put(b"small", "k")
        began = s.now
        assert (await largest.wait()).success
        assert s.now - began <= LINGER + RTT + 0.03
        assert (await small.wait()).success
        assert s.now - began <= LINGER + RTT + kib / 1024 + 0.1
        assert kib == 1024 or s.now - began >= kib / 1024 - 1.1
        with pytest.raises(InvalidRecordError, match=str(kib * KIB)):
            await s.put(bytes(kib * KIB), "k")
    assert s.account().throttled == 0


def running_total(amounts: Counter[float], moments: list[float]) -> list[int]:
    """Return the sum before each moment, and after the last."""
    return [0, *accumulate(amounts[moment] for moment in moments)]


@pytest.mark.parametrize(
    ("rate", "ending"), [(0.1, "goes on"), (0.1, "flush"), (0.1, "close"), (1.0, "close")]
)
async def test_L5_a_shard_sees_one_bucket_and_its_rate_at_most(rate: float, ending: str) -> None:
    """In every window on the wire, in records and in bytes; flush and shutdown included."""
    async with scene(shards=2, shard_rate_limit=rate, framing="none", shutdown_timeout=120) as s:
        for number in range(int(3_000 * rate)):
            s.emit(b"small %d" % number, "k", number % 2 * HALF)
        for number in range(int(120 * rate)):
            s.emit(b"large %d" % number + bytes(20_000), "k", number % 2 * HALF)
        if ending == "flush":
            assert await s.producer.flush()
        elif ending == "goes on":
            await s.settle(within=120)
    sent = [slot for call in s.calls() for slot in slots(s, call)]
    assert len(sent) == int(3_000 * rate) + int(120 * rate)
    # An entry larger than the bucket may leave it in debt; there is none here.
    for shard in {slot.shard for slot in sent}:
        of_shard = [slot for slot in sent if slot.shard == shard]
        moments = sorted({slot.at for slot in of_shard})
        records = running_total(Counter(slot.at for slot in of_shard), moments)
        sizes = Counter[float]()
        for slot in of_shard:
            sizes[slot.at] += slot.size
        data = running_total(sizes, moments)
        for (first, start), (last, end) in combinations_with_replacement(enumerate(moments), 2):
            seconds = end - start
            assert records[last + 1] - records[first] <= 1000 * rate * (1 + seconds) + 1
            assert data[last + 1] - data[first] <= MIB * rate * (1 + seconds) + 1


async def test_L6_the_record_limit_is_the_streams_own_and_followed_live() -> None:
    """A larger one is picked up at the next read of the description, a smaller one too."""
    fake = new_fake(1, max_record_kib=2_048)
    async with scene(fake, request_timeout=30.0) as s:
        assert s.producer.record_max_bytes() == 2 * MIB
        with pytest.raises(InvalidRecordError):
            await s.put(bytes(2 * MIB), "k")
        assert (await s.deliver(bytes(2 * MIB - 1), "k")).success
        fake.set_max_record_kib(APP, 10_240)
        await anyio.sleep(400)
        assert s.producer.record_max_bytes() == 10 * MIB
        assert (await s.deliver(b"t" * (10 * MIB - 1), "k")).success
        with pytest.raises(InvalidRecordError):
            await s.put(bytes(10 * MIB), "k")
        fake.set_max_record_kib(APP, 1_024)
        await anyio.sleep(400)
        with pytest.raises(InvalidRecordError):
            await s.put(bytes(1 * MIB), "k")
        # A log call is not told; it is counted, and its neighbours are delivered.
        s.emit(bytes(1 * MIB), "k")
        s.emit(b"neighbour", "k")
    assert {reason.value: n for reason, n in s.account().dropped.items()} == {"too_large": 1}
    assert s.account().delivered == 3


async def test_L6_aggregated_records_keep_to_the_limit_of_the_stream() -> None:
    """However large they are configured."""
    fake = new_fake(1)
    async with scene(fake, aggregate_max_bytes=10 * MIB) as s:
        for number in range(300):
            s.emit(b"%d" % number + bytes(10_000))
            s.emit(b"keyed %d" % number + bytes(10_000), "k")
        await s.settle(within=120)
    sizes = [len(data) for data in s.records()]
    assert max(sizes) <= MIB - 1
    assert max(sizes) > MIB - 11_000
    assert all(decode(data) is not None for data in s.records())


async def test_L6_while_the_limit_is_unknown_it_is_one_mebibyte() -> None:
    """Whatever the stream would take."""
    fake = new_fake(1, max_record_kib=10_240)
    fake.script(AccessDenied(operation="DescribeStreamSummary"))
    async with scene(fake, warm=False) as s:
        assert s.producer.record_max_bytes() == MIB
        assert (await s.deliver(bytes(MIB - 1), "k")).success
        with pytest.raises(InvalidRecordError):
            await s.put(bytes(MIB), "k")


async def test_L7_quiet_shards_share_their_calls() -> None:
    """Sixteen of them, each with few events with keys: four entries a call at least."""
    async with scene(shards=16) as s:
        for number in range(1_000):
            s.emit(b"%d" % number, "k", (TOP + 1) // 16 * (number * 5 % 16))
            await anyio.sleep(0.005)
        await s.settle()
        account = s.account()
    assert account.entries / account.requests >= 4
    assert len({record.shard_id for record in s.fake.records(APP)}) == 16


async def test_L5_the_service_itself_never_refuses_what_one_producer_sends() -> None:
    """Its own buckets, on the same clock, agree: no entry is throttled."""
    fake = new_fake(1)
    fake.limits = ShardLimits()
    fake.create_stream("strict", shards=2)
    async with scene(fake, stream_name="strict", framing="none") as s:
        for number in range(3_000):
            s.emit(b"%d" % number + bytes(number % 3 * 400), "k", number % 2 * HALF)
        await s.settle(within=120)
    assert s.account().throttled == 0
    assert s.account().delivered == 3_000

"""Encoding and codec (cases E), as consumers of other makes read it."""

# ruff: noqa: N802 - the tests carry the names of the cases

from __future__ import annotations

import base64
from hashlib import md5
from typing import TYPE_CHECKING, NamedTuple

import pytest
from aws_kinesis_agg import MAGIC
from aws_kinesis_agg.deaggregator import deaggregate_records

from kinesink.core.aggregated_record import decode
from tests.cases.scene import APP, HALF, TOP, new_fake, scene

if TYPE_CHECKING:
    from kinesink.testing import FakeKinesis

KEYS = ("é", "😀👩‍👩‍👧", "nul\0nul", "plain", "e\u0301")


class Read(NamedTuple):
    """A user record as the library of AWS decodes it."""

    key: str
    hash_key: str | None
    data: bytes


def read_by_aws(fake: FakeKinesis) -> list[Read]:
    """Return what Lambda functions with aws-kinesis-agg get, shard by shard."""
    events = [
        {
            "kinesis": {
                "data": base64.b64encode(record.data),
                "partitionKey": record.partition_key,
                "sequenceNumber": record.sequence_number,
                "approximateArrivalTimestamp": record.arrival,
                "kinesisSchemaVersion": "1.0",
            }
        }
        for record in fake.records(APP)
    ]
    found = []
    for event in deaggregate_records(events):
        kinesis = event["kinesis"]
        data = base64.b64decode(kinesis["data"])
        found.append(Read(kinesis["partitionKey"], kinesis.get("explicitHashKey"), data))
    return found


async def test_E1_keys_of_any_characters_are_read_back_as_they_were() -> None:
    """By aws-kinesis-agg and by a consumer like the KCL, routed by the MD5 of their UTF-8."""
    fake = new_fake(8)
    async with scene(fake) as s:
        for turn in range(3):
            for key in KEYS:
                s.emit(f"{key} {turn}".encode(), key)
    meant = {(key, f"{key} {turn}".encode()) for key in KEYS for turn in range(3)}
    by_aws = {(read.key, read.data) for read in read_by_aws(fake) if read.key in KEYS}
    by_kcl = {(read.partition_key, read.data) for read in fake.user_records(APP)}
    assert by_aws == meant
    assert by_kcl >= meant
    for read in fake.user_records(APP):
        if read.partition_key in KEYS:
            hash_key = int.from_bytes(md5(read.partition_key.encode()).digest(), "big")  # noqa: S324 - the service's own hash
            (owner,) = [one for one in fake.shards(APP) if one.shard_id == read.shard_id]
            assert owner.hash_key_range.contains(hash_key)
    assert any(decode(record.data) for record in fake.records(APP))


async def test_E2_explicit_hash_keys_rule_and_stand_once_in_the_table() -> None:
    """As canonical decimal; a single user record carries the caller's own keys."""
    fake = new_fake(2)
    async with scene(fake) as s:
        for hash_key in (0, TOP):
            outcomes = [await s.put(b"%d" % n, f"key {n}", hash_key) for n in range(5)]
            results = [await outcome.wait() for outcome in outcomes]
            owner = fake.open_shards(APP)[hash_key // HALF].shard_id
            assert {result.shard_id for result in results} == {owner}
            shared = fake.records(APP)[-1].data
            assert shared.startswith(MAGIC)
            decimal = str(hash_key).encode()
            # Field 2, with its length: the table of explicit hash keys.
            assert shared.count(b"\x12" + bytes([len(decimal)]) + decimal) == 1
            subs = decode(shared) or []
            assert [(sub.partition_key, sub.explicit_hash_key) for sub in subs] == [
                (f"key {n}", hash_key) for n in range(5)
            ]
            assert (await s.deliver(b"single", "own", hash_key=hash_key)).shard_id == owner
            single = fake.records(APP)[-1]
            assert (single.partition_key, single.explicit_hash_key) == ("own", hash_key)
            assert single.data == b"single"
            wire = s.calls()[-1].body["Records"]
            assert isinstance(wire, list)
            assert wire[0]["ExplicitHashKey"] == str(hash_key)
    hash_keys = [read.hash_key for read in read_by_aws(fake)]
    assert hash_keys.count("0") == 5
    assert hash_keys.count(str(TOP)) == 5


@pytest.mark.parametrize("key", [None, "k"])
async def test_E3_empty_data_is_read_as_empty(key: str | None) -> None:
    """Alone and in company."""
    fake = new_fake(1)
    async with scene(fake) as s:
        assert (await s.deliver(b"", key)).success
        s.emit(b"", key)
        s.emit(b"", key)
        s.emit(b"company", key)
    assert fake.records(APP)[1].data == b""
    assert [read.data for read in fake.user_records(APP)][1:] == [b"", b"", b"", b"company"]
    assert [read.data for read in read_by_aws(fake)][1:] == [b"", b"", b"", b"company"]


@pytest.mark.parametrize("key", [None, "k"])
async def test_E4_one_user_record_travels_as_its_raw_bytes(key: str | None) -> None:
    """Even if they look like an aggregated record, which a consumer then takes apart."""
    fake = new_fake(1)
    magic = MAGIC + b"that goes on as it likes"
    async with scene(fake) as s:
        assert (await s.deliver(b"alone", key)).success
        assert (await s.deliver(magic, key)).success
    assert [record.data for record in fake.records(APP)][1:] == [b"alone", magic]


async def test_E5_two_user_records_travel_as_the_known_forty_four_bytes() -> None:
    """With and without an explicit hash key, through the whole producer."""
    fake = new_fake(1)
    async with scene(fake) as s:
        s.emit(b"A", "k1")
        s.emit(b"BC", "k1", 5)
    known = (
        "f3899ac2 0a026b31 120135 1a0508001a0141 1a08080010001a024243"
        "0bc0b8738415db6a9ce75794b6af9fea"
    )
    assert fake.records(APP)[-1].data == bytes.fromhex(known)
    assert len(fake.records(APP)[-1].data) == 44


async def test_E6_what_another_producer_wrote_never_becomes_a_wrong_record() -> None:
    """A consumer gets the raw bytes, or nothing of a broken aggregated record."""
    fake = new_fake(1)
    async with scene(fake) as s:
        s.emit(b"one", "k")
        s.emit(b"two", "k")
        await s.settle()
        good = fake.records(APP)[-1].data
        for cut in range(len(good)):
            fake.put(APP, good[:cut])
            fake.put(APP, good[:cut] + bytes([good[cut] ^ 0x55]) + good[cut + 1 :])
        foreign = fake.user_records(APP)[3:]
    broken = {good[:cut] for cut in range(len(good))}
    broken |= {good[:cut] + bytes([good[cut] ^ 0x55]) + good[cut + 1 :] for cut in range(len(good))}
    assert {read.data for read in foreign} <= broken
    assert {read.sub_sequence_number for read in foreign} == {None}

"""A Producer of many streams and a Sink that returns futures, against kinesis-mock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kinesink import Config, DropReason, Producer, Sink
from tests.integration.support import (
    CALL_TIMEOUT,
    new_stream,
    records_by_shard,
    settings,
    user_data,
)

if TYPE_CHECKING:
    from kinesink import Outcome
    from kinesink.config import Backend
    from tests.kinesis_mock import KinesisMock


@pytest.fixture
def stream_names(kinesis_mock: KinesisMock) -> list[str]:
    """Return five streams, which differ in their shards."""
    return [new_stream(kinesis_mock, shards) for shards in (1, 2, 3, 1, 2)]


async def test_one_producer_writes_to_many_streams(
    kinesis_mock: KinesisMock, stream_names: list[str]
) -> None:
    """Each record to its own; one stream that does not exist is nobody else's trouble."""
    client = kinesis_mock.client()
    missing = kinesis_mock.new_stream_name("missing")
    told: list[str] = []
    config = Config(
        stream_names[0], on_error=lambda _, text: told.append(text), **settings(kinesis_mock)
    )
    outcomes: dict[tuple[str, int], Outcome] = {}
    async with Producer(config) as producer:
        lost = await producer.put(b"x", stream_name=missing)
        for number in range(20):
            for name in stream_names:
                data = f"{name} {number}".encode()
                key = None if number % 2 else f"key-{number}"
                outcomes[name, number] = await producer.put(data, key, stream_name=name)
        assert await producer.flush(CALL_TIMEOUT)
        result = await lost.wait()
    assert result.reason is DropReason.REJECTED
    assert "ResourceNotFoundException" in str(result.error)
    assert told
    assert all(missing in text for text in told)
    for name in stream_names:
        by_shard = records_by_shard(client, name)
        where = {
            data: shard_id for shard_id, records in by_shard.items() for data in user_data(records)
        }
        assert len(where) == sum(len(user_data(records)) for records in by_shard.values()) == 20
        for number in range(20):
            result = await outcomes[name, number].wait()
            assert result.success
            assert result.shard_id == where[f"{name} {number}".encode()]
        assert producer.statistics(name).delivered == 20
    account = producer.statistics()
    assert (account.accepted, account.delivered, account.lost) == (101, 100, 1)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_submitted_record_is_where_its_future_says(
    kinesis_mock: KinesisMock,
    stream_names: list[str],
    backend: Backend,
) -> None:
    """Shard and sequence number are the mock's."""
    name = stream_names[2]
    sink = Sink(Config(name, backend=backend, **settings(kinesis_mock)))
    futures = {
        b"%d" % number: sink.submit(b"%d" % number, str(number) if number % 2 else None)
        for number in range(40)
    }
    results = {data: future.result(CALL_TIMEOUT) for data, future in futures.items()}
    assert sink.close()
    by_shard = records_by_shard(kinesis_mock.client(), name)
    landed = {
        data: (shard_id, record["SequenceNumber"])
        for shard_id, records in by_shard.items()
        for record in records
        for data in user_data([record])
    }
    assert landed == {
        data: (result.shard_id, result.sequence_number) for data, result in results.items()
    }

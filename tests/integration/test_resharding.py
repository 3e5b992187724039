"""Shards that split, merge and multiply while events flow."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from kinesink import KinesisHandler
from kinesink.core.hash_key import hash_key_of
from kinesink.core.limits import MAX_HASH_KEY
from kinesink.core.shard_map import ShardMap
from tests.integration.support import (
    CALL_TIMEOUT,
    consume,
    list_shards,
    logger_of,
    open_shards,
    ranges_of,
    settings,
    wait_until_active,
)

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from typing_extensions import Self

    from kinesink.config import Backend
    from tests.kinesis_mock import KinesisMock


def split(client: Any, stream_name: str) -> None:  # noqa: ANN401 - a boto3 client
    """Split the first shard, and not in its middle."""
    first = open_shards(client, stream_name)[0]
    cut = int(first["HashKeyRange"]["EndingHashKey"]) // 3
    client.split_shard(
        StreamName=stream_name, ShardToSplit=first["ShardId"], NewStartingHashKey=str(cut)
    )
    wait_until_active(client, stream_name)


def merge(client: Any, stream_name: str) -> None:  # noqa: ANN401 - a boto3 client
    """Merge the first two shards."""
    first, second, *_ = open_shards(client, stream_name)
    client.merge_shards(
        StreamName=stream_name,
        ShardToMerge=first["ShardId"],
        AdjacentShardToMerge=second["ShardId"],
    )
    wait_until_active(client, stream_name)


def multiply(client: Any, stream_name: str) -> None:  # noqa: ANN401 - a boto3 client
    """Double the number of shards."""
    client.update_shard_count(
        StreamName=stream_name,
        TargetShardCount=2 * len(open_shards(client, stream_name)),
        ScalingType="UNIFORM_SCALING",
    )
    wait_until_active(client, stream_name)


CHANGES: list[Callable[[Any, str], None]] = [split, merge, multiply]


class Load:
    """Threads that log numbered events until they are stopped."""

    def __init__(self, logger: logging.Logger, threads: int = 3) -> None:
        self._logger = logger
        self._stopped = threading.Event()
        self.counts = [0] * threads
        self._threads = [threading.Thread(target=self._log, args=(n,)) for n in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _log(self, thread: int) -> None:
        while not self._stopped.wait(0.004):
            number = thread + self.counts[thread] * len(self.counts)
            extra = {"number": number, "customer": f"customer {number % 29}"}
            self._logger.info("order %d", number, extra=extra)
            self.counts[thread] += 1

    @property
    def numbers(self) -> set[int]:
        """What was logged."""
        threads = len(self.counts)
        return {
            thread + turn * threads
            for thread, count in enumerate(self.counts)
            for turn in range(count)
        }


def wait_for_more(
    handler: KinesisHandler, events: int = 60, *, within: float = CALL_TIMEOUT
) -> None:
    """Wait until more events have been delivered."""
    enough = handler.statistics().delivered + events
    pause = threading.Event()
    for _ in range(int(within / 0.01)):
        if handler.statistics().delivered >= enough:
            return
        pause.wait(0.01)
    pytest.fail(f"nothing is delivered any more: {handler.statistics()}")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("partition_key", [None, "attr:customer"], ids=["keyless", "keyed"])
def test_r1_r2_r3_no_event_is_lost_while_shards_split_merge_and_multiply(
    kinesis_mock: KinesisMock,
    make_stream: Callable[[int], str],
    backend: Backend,
    partition_key: str | None,
) -> None:
    """Each is seen by a consumer that checks ranges, and hardly any more than once."""
    client, stream_name = kinesis_mock.client(), make_stream(2)
    handler = KinesisHandler(
        stream_name, backend=backend, partition_key=partition_key, **settings(kinesis_mock)
    )
    with logger_of(handler) as logger:
        with Load(logger) as load:
            for change in CHANGES:
                wait_for_more(handler)
                change(client, stream_name)
            wait_for_more(handler)
        assert handler.flush(CALL_TIMEOUT)
        account = handler.statistics()
    assert account.accepted == account.delivered == len(load.numbers)
    assert account.pending == account.lost == 0
    assert account.refreshes > 1
    seen = consume(client, stream_name)
    assert seen.keys() == load.numbers
    # One copy more for each change at most, for those that were under way.
    assert max(seen.values()) <= 1 + len(CHANGES)
    assert len(open_shards(client, stream_name)) == 4


async def test_prediction_stays_exact_through_every_change(
    kinesis_mock: KinesisMock, make_stream: Callable[[int], str]
) -> None:
    """Ranges are the mock's, and hundreds of keys and every boundary land where they say."""
    client, stream_name = kinesis_mock.client(), make_stream(3)
    shard_map = ShardMap()
    keys = [f"key-{number}" for number in range(60)] + ["é", "😀", "\0"]
    for turn, change in enumerate([None, *CHANGES]):
        if change is not None:
            change(client, stream_name)
        listing = await list_shards(kinesis_mock, stream_name)
        shard_map.listed(listing, now=float(turn), jitter=0.0)
        assert shard_map.whole
        assert {
            shard.shard_id: (shard.range.start, shard.range.end) for shard in shard_map.shards
        } == {
            shard_id: hash_keys
            for shard_id, hash_keys in ranges_of(client, stream_name).items()
            if shard_id in {shard["ShardId"] for shard in open_shards(client, stream_name)}
        }
        ends = {h for each in shard_map.shards for h in (each.range.start, each.range.end)}
        assert {0, MAX_HASH_KEY} <= ends
        entries = [{"Data": b"x", "PartitionKey": key} for key in keys]
        entries += [
            {"Data": b"x", "PartitionKey": "p", "ExplicitHashKey": str(end)} for end in sorted(ends)
        ]
        answer = client.put_records(StreamName=stream_name, Records=entries)
        predicted = [shard_map.predict(h) for h in [*map(hash_key_of, keys), *sorted(ends)]]
        assert [result["ShardId"] for result in answer["Records"]] == predicted

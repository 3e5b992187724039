"""What kinesink and kinesis-mock must agree on, and an event's whole way through both."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from aws_kinesis_agg.deaggregator import deaggregate_records

from kinesink import KinesisHandler
from kinesink.core import limits
from kinesink.core.aggregated_record import decode
from kinesink.core.hash_key import hash_key_of
from kinesink.core.limits import MAX_HASH_KEY
from kinesink.core.shard_map import ShardMap
from tests.core.entries import aggregated
from tests.integration.support import (
    CALL_TIMEOUT,
    list_shards,
    logger_of,
    records_by_shard,
    settings,
    user_data,
    wait_until_active,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.config import Backend
    from tests.kinesis_mock import KinesisMock


async def test_shard_prediction_agrees_for_keys_and_for_both_ends_of_every_range(
    kinesis_mock: KinesisMock, make_stream: Callable[[int], str]
) -> None:
    """Hundreds of partition keys and every boundary hash key land where the map says."""
    stream_name = make_stream(5)
    shard_map = ShardMap()
    listing = await list_shards(kinesis_mock, stream_name)
    shard_map.listed(listing, now=0.0, jitter=0.0)
    ends = [h for shard in shard_map.shards for h in (shard.range.start, shard.range.end)]
    hash_keys = sorted({0, MAX_HASH_KEY, *ends})
    partition_keys = [f"key-{number}" for number in range(300)] + ["é", "😀", "k" * 256, "\0"]
    entries = [{"Data": b"x", "PartitionKey": key} for key in partition_keys]
    entries += [
        {"Data": b"x", "PartitionKey": "p", "ExplicitHashKey": str(hash_key)}
        for hash_key in hash_keys
    ]
    answer = kinesis_mock.client().put_records(StreamName=stream_name, Records=entries)
    predicted = [shard_map.predict(h) for h in [*map(hash_key_of, partition_keys), *hash_keys]]
    assert [result["ShardId"] for result in answer["Records"]] == predicted
    assert len(set(predicted)) == len(shard_map.shards)


async def test_a_listing_of_several_pages_is_read_whole(
    kinesis_mock: KinesisMock, make_stream: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later pages are asked for by their token alone, and no shard is missing."""
    stream_name = make_stream(7)
    monkeypatch.setattr(limits, "LIST_SHARDS_PAGE", 2)
    listing = await list_shards(kinesis_mock, stream_name)
    assert [shard.shard_id for shard in listing] == [f"shardId-{n:012d}" for n in range(7)]


async def test_children_of_a_split_and_of_a_merge_own_their_parents_ranges(
    kinesis_mock: KinesisMock, make_stream: Callable[[int], str]
) -> None:
    """After a split and a merge the listing names the open shards with the right ranges."""
    client, stream_name = kinesis_mock.client(), make_stream(2)
    first, second = await list_shards(kinesis_mock, stream_name)
    cut = first.end // 3
    client.split_shard(
        StreamName=stream_name, ShardToSplit=first.shard_id, NewStartingHashKey=str(cut)
    )
    wait_until_active(client, stream_name)
    after_split = sorted(await list_shards(kinesis_mock, stream_name), key=lambda s: s.start)
    assert [(shard.start, shard.end) for shard in after_split] == [
        (0, cut - 1),
        (cut, first.end),
        (second.start, second.end),
    ]
    client.merge_shards(
        StreamName=stream_name,
        ShardToMerge=after_split[1].shard_id,
        AdjacentShardToMerge=after_split[2].shard_id,
    )
    wait_until_active(client, stream_name)
    after_merge = sorted(await list_shards(kinesis_mock, stream_name), key=lambda s: s.start)
    assert [(shard.start, shard.end) for shard in after_merge] == [
        (0, cut - 1),
        (cut, MAX_HASH_KEY),
    ]
    shard_map = ShardMap()
    shard_map.listed(after_merge, now=0.0, jitter=0.0)
    assert shard_map.whole


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({}, id="default"),
        pytest.param({"protocol": "cbor"}, id="cbor"),
        pytest.param({"framing": "none"}, id="unaggregated"),
        pytest.param({"framing": "none", "protocol": "cbor"}, id="unaggregated cbor"),
        pytest.param({"partition_key": "attr:customer"}, id="keyed"),
        pytest.param({"framing": "lines"}, id="lines"),
        pytest.param({"framing": "lines", "partition_key": "attr:customer"}, id="keyed lines"),
        pytest.param({"framing": "lines", "compression": "gzip"}, id="gzip"),
        pytest.param(
            {"framing": "lines", "compression": "gzip", "protocol": "cbor"}, id="gzip cbor"
        ),
    ],
)
def test_what_is_logged_arrives_each_once(
    kinesis_mock: KinesisMock,
    make_stream: Callable[[int], str],
    backend: Backend,
    parameters: dict[str, Any],
) -> None:
    """Events logged through the handler are in the stream, each once, within range."""
    stream_name = make_stream(3)
    handler = KinesisHandler(stream_name, backend=backend, **settings(kinesis_mock), **parameters)
    events = 60
    with logger_of(handler) as logger:
        for number in range(events):
            logger.info("order %d", number, extra={"number": number, "customer": f"c{number % 7}"})
        assert handler.flush(CALL_TIMEOUT)
        account = handler.statistics()
    assert (account.accepted, account.delivered, account.pending) == (events, events, 0)
    by_shard = records_by_shard(kinesis_mock.client(), stream_name)
    framing = parameters.get("framing", "kpl")
    lines = [json.loads(d) for records in by_shard.values() for d in user_data(records, framing)]
    assert sorted(line["attributes"]["number"] for line in lines) == list(range(events))
    assert {line["message"] for line in lines} == {f"order {n}" for n in range(events)}


def test_every_sub_record_lies_in_the_range_of_its_shard(
    kinesis_mock: KinesisMock, make_stream: Callable[[int], str]
) -> None:
    """A consumer that checks ranges as the KCL does keeps every aggregated record."""
    stream_name = make_stream(4)
    handler = KinesisHandler(stream_name, partition_key="attr:customer", **settings(kinesis_mock))
    with logger_of(handler) as logger:
        for number in range(200):
            logger.info("order %d", number, extra={"customer": f"c{number}"})
        assert handler.flush(CALL_TIMEOUT)
    client = kinesis_mock.client()
    ranges = {
        shard["ShardId"]: shard["HashKeyRange"]
        for shard in client.list_shards(StreamName=stream_name)["Shards"]
    }
    seen = aggregates = 0
    for shard_id, records in records_by_shard(client, stream_name).items():
        start, end = (int(ranges[shard_id][name]) for name in ("StartingHashKey", "EndingHashKey"))
        for record in records:
            inside = decode(record["Data"])
            assert inside is not None
            aggregates += 1
            for sub in inside:
                hash_key = sub.explicit_hash_key
                if hash_key is None:
                    hash_key = hash_key_of(sub.partition_key)
                assert start <= hash_key <= end
                seen += 1
    assert seen == 200
    assert aggregates < seen


def test_an_aggregated_record_is_stored_verbatim_and_read_by_aws_kinesis_agg(
    kinesis_mock: KinesisMock, make_stream: Callable[[int], str]
) -> None:
    """The blob comes back byte for byte, and the public decoder finds the same records."""
    stream_name = make_stream(1)
    data = [b"first", b"", b"third \xff"]
    blob = aggregated(*zip(["k1", "é", "k1"], [None] * 3, data, strict=True))
    client = kinesis_mock.client()
    client.put_record(StreamName=stream_name, PartitionKey="a", Data=blob)
    (records,) = records_by_shard(client, stream_name).values()
    assert [record["Data"] for record in records] == [blob]
    read = deaggregate_records([as_lambda_event(records[0])])
    assert [record["kinesis"]["partitionKey"] for record in read] == ["k1", "é", "k1"]
    assert [base64.b64decode(record["kinesis"]["data"]) for record in read] == data


def as_lambda_event(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record as Lambda hands it over, which is what aws-kinesis-agg reads."""
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "sequenceNumber": record["SequenceNumber"],
            "partitionKey": record["PartitionKey"],
            "approximateArrivalTimestamp": 0,
            "data": base64.b64encode(record["Data"]).decode(),
        }
    }


SCRIPT = """
import logging, sys
import kinesink
logging.basicConfig(level="INFO", handlers=[kinesink.KinesisHandler(sys.argv[1])])
logging.getLogger("shop").info("order %s paid", 17, extra={"amount": 12.5})
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_script_that_logs_one_line_and_ends_delivers_it(
    kinesis_mock: KinesisMock, make_stream: Callable[[int], str], backend: str
) -> None:
    """No event loop, no set-up, nothing to close: the exit of the interpreter delivers."""
    stream_name = make_stream(2)
    variables = {
        "KINESINK_ENDPOINT_URL": kinesis_mock.endpoint_url.replace("127.0.0.1", "localhost"),
        "KINESINK_REGION_NAME": kinesis_mock.region_name,
        "KINESINK_VERIFY": "false",
        "KINESINK_BACKEND": backend,
    }
    done = subprocess.run(  # noqa: S603 - our own interpreter and script
        [sys.executable, "-c", SCRIPT, stream_name],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stderr == ""
    by_shard = records_by_shard(kinesis_mock.client(), stream_name)
    (line,) = [json.loads(d) for records in by_shard.values() for d in user_data(records)]
    assert line["message"] == "order 17 paid"
    assert line["attributes"] == {"amount": 12.5}

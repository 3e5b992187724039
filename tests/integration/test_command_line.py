"""The command line against kinesis-mock."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from kinesink import Config, Sink
from tests.cli import commands
from tests.integration.support import (
    CALL_TIMEOUT,
    new_stream,
    open_shards,
    settings,
    wait_until_active,
)

if TYPE_CHECKING:
    from tests.cli.commands import Ran
    from tests.kinesis_mock import KinesisMock


@pytest.fixture
def stream_name(kinesis_mock: KinesisMock) -> str:
    """Return a stream of two shards."""
    return new_stream(kinesis_mock, 2)


def run(mock: KinesisMock, *arguments: str) -> Ran:
    """Run a command about the mock, over plain HTTP."""
    return commands.run(
        *arguments, "--endpoint-url", mock.plain_url, "--region", mock.region_name,
        AWS_ACCESS_KEY_ID="mock", AWS_SECRET_ACCESS_KEY="mock", NO_PROXY="*",
    )  # fmt: skip


def put(mock: KinesisMock, stream_name: str, numbers: range) -> None:
    """Write numbered events, every other one with a key."""
    sink = Sink(Config(stream_name, **settings(mock)))
    for number in numbers:
        line = json.dumps({"message": f"order {number}", "level": "INFO"}).encode() + b"\n"
        assert sink.put(line, f"customer-{number}" if number % 2 else None)
    assert sink.flush(CALL_TIMEOUT)
    sink.close()


def test_tail_reads_through_a_split(kinesis_mock: KinesisMock, stream_name: str) -> None:
    """What was written before and after, taken apart, each event once."""
    put(kinesis_mock, stream_name, range(50))
    client = kinesis_mock.client()
    shard = open_shards(client, stream_name)[0]
    ends = [int(shard["HashKeyRange"][f"{end}HashKey"]) for end in ("Starting", "Ending")]
    client.split_shard(
        StreamName=stream_name, ShardToSplit=shard["ShardId"],
        NewStartingHashKey=str(sum(ends) // 2),
    )  # fmt: skip
    wait_until_active(client, stream_name)
    put(kinesis_mock, stream_name, range(50, 100))
    ran = run(kinesis_mock, "tail", stream_name, "--since", "start", "--json")
    assert ran.status == 0, ran.err
    shown = sorted(json.loads(line)["message"] for line in ran.out.splitlines())
    assert shown == sorted(f"order {number}" for number in range(100))
    assert "100 events shown of 100" in ran.err


def test_doctor_finds_nothing_wrong(kinesis_mock: KinesisMock, stream_name: str) -> None:
    """And says that this service writes where a dry run was asked for."""
    ran = run(kinesis_mock, "doctor", stream_name, "--json")
    assert ran.status == 0, ran.out
    found = json.loads(ran.out)
    verdicts = {check["check"]: check["verdict"] for check in found["checks"]}
    assert verdicts.pop("identity") in {"skipped", "warning"}
    assert set(verdicts.values()) == {"ok"}, found
    (written,) = [check for check in found["checks"] if check["check"] == "PutRecords"]
    assert written["dry_run"] is False
    (probe,) = [check for check in found["checks"] if check["check"] == "read back"]
    assert probe["events"] == 2


def test_doctor_misses_a_stream(kinesis_mock: KinesisMock) -> None:
    """With the name that was given, and the status that tells."""
    missing = kinesis_mock.new_stream_name("missing")
    ran = run(kinesis_mock, "doctor", missing, "--no-probe")
    assert ran.status == 1
    assert f"there is no stream {missing}" in ran.out


def test_load_accounts_for_what_it_sends(kinesis_mock: KinesisMock, stream_name: str) -> None:
    """Every event is delivered, and all of them are there."""
    ran = run(
        kinesis_mock, "load", stream_name, "--rate", "200", "--size", "200", "--duration", "1",
        "--keyed",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    assert "200 accepted = 200 delivered + 0 dropped + 0 pending" in ran.out
    shown = run(kinesis_mock, "tail", stream_name, "--since", "start", "--json")
    numbers = [json.loads(line)["number"] for line in shown.out.splitlines()]
    assert sorted(numbers) == list(range(200))

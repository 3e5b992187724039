"""A consumer of a stream: it reads every shard over HTTP and takes the records apart.

It shares nothing with the producer but the wire, and does what a consumer on AWS does:
ListShards, GetShardIterator, GetRecords, and the check of the Kinesis Client Library,
which drops a whole aggregate for one event astray.
"""

import base64
import json
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from typing import Any, Final

import httpx

from kinesink.cli.observation import Event, Observation
from kinesink.cli.plan import REGION, STREAM_NAME
from kinesink.core.aggregated_record import SubRecord, decode
from kinesink.core.hash_key import HashKeyRange, hash_key_of
from kinesink.shell.aws_session import Destination, Keys, sign

_POLL: Final = 0.2
"""Seconds between two looks at a shard: it answers five GetRecords calls a second, no more."""

_TIMEOUT: Final = 10.0


class ReadError(Exception):
    """The stream could not be read, so nothing can be said about it."""


class Consumer:
    """Reads a stream from its beginning until it is told that nothing more will come.

    Whoever makes one has to :meth:`run` it, which closes its connections.

    :param endpoint_url: where Kinesis is.
    """

    def __init__(self, endpoint_url: str) -> None:
        self._destination = Destination(
            REGION, f"{endpoint_url}/", ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        )
        self._keys = Keys("demo", "demo", None)
        # Without the proxies of the environment: they cannot reach this machine's loopback.
        self._client = httpx.Client(timeout=_TIMEOUT, trust_env=False)
        self._last_round = threading.Event()
        self._ranges: dict[str, HashKeyRange] = {}
        self.observation: Final = Observation()

    def run(self) -> None:
        """Read until :meth:`finish`.

        :raises ReadError: if a call is refused.
        """
        with closing(self._client):
            shards = self._call("ListShards", {"StreamName": STREAM_NAME})["Shards"]
            self._ranges = {shard["ShardId"]: _range_of(shard) for shard in shards}
            self.observation.begin(self._ranges)
            iterators = {shard: self._first_iterator(shard) for shard in self._ranges}
            while True:
                # Looked at before the round, which thereby sees all that was there by then.
                last = self._last_round.is_set()
                for shard, iterator in iterators.items():
                    iterators[shard] = self._read_to_the_tip(shard, iterator)
                if last:
                    return
                self._last_round.wait(_POLL)

    def finish(self) -> None:
        """Have :meth:`run` read what is there now, and end."""
        self._last_round.set()

    def _first_iterator(self, shard: str) -> str:
        answer = self._call(
            "GetShardIterator",
            {
                "StreamName": STREAM_NAME,
                "ShardId": shard,
                "ShardIteratorType": "TRIM_HORIZON",
            },
        )
        return str(answer["ShardIterator"])

    def _read_to_the_tip(self, shard: str, iterator: str) -> str:
        while True:
            answer = self._call("GetRecords", {"ShardIterator": iterator})
            for record in answer["Records"]:
                self._take(shard, record)
            iterator = answer["NextShardIterator"]
            if answer["MillisBehindLatest"] == 0:
                return iterator

    def _take(self, shard: str, record: Mapping[str, Any]) -> None:
        data = base64.b64decode(record["Data"])
        arrival = float(record["ApproximateArrivalTimestamp"])
        sub_records = decode(data)
        if sub_records is None:
            self.observation.add(shard, [_event(data, arrival)], aggregated=False)
        elif all(self._ranges[shard].contains(_hash_key(each)) for each in sub_records):
            events = [_event(each.data, arrival) for each in sub_records]
            self.observation.add(shard, events, aggregated=True)

    def _call(self, operation: str, members: Mapping[str, str]) -> dict[str, Any]:
        body = json.dumps(members).encode()
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "Host": self._destination.host,
            "X-Amz-Target": f"Kinesis_20131202.{operation}",
        }
        signed = sign(self._keys, self._destination, headers=headers, body=body, now=time.time())
        response = self._client.post(self._destination.url, content=body, headers=signed)
        if not response.is_success:
            raise ReadError(f"{operation}: HTTP {response.status_code}: {response.text}")
        answer: dict[str, Any] = response.json()
        return answer


def _range_of(shard: Mapping[str, Any]) -> HashKeyRange:
    ends = shard["HashKeyRange"]
    return HashKeyRange(int(ends["StartingHashKey"]), int(ends["EndingHashKey"]))


def _hash_key(sub_record: SubRecord) -> int:
    if sub_record.explicit_hash_key is not None:
        return sub_record.explicit_hash_key
    return hash_key_of(sub_record.partition_key)


def _event(data: bytes, arrival: float) -> tuple[Event, float]:
    """Return an event and its latency in seconds."""
    event: Event = json.loads(data)
    # Before Python 3.11, fromisoformat knows neither the Z nor more than microseconds.
    logged = datetime.fromisoformat(f"{event['timestamp'][:26]}+00:00")
    return event, arrival - logged.timestamp()

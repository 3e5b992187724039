"""A loopback Kinesis in a process of its own, for benchmarks.

It keeps what it was sent and counts events only when asked, after taking records apart,
whatever the framing, the compression and the protocol: nothing counts that did not arrive,
and little but the reading of requests competes with what is measured.

    python endpoint.py '{"shards": 4, "latency": 0.02, "limits": true}'

prints its port, serves until standard input closes.
"""

from __future__ import annotations

import hashlib
import json
import socket
import sys
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from kinesink.core.limits import KIB, LIST_SHARDS_PAGE, MAX_HASH_KEY
from kinesink.decode import deaggregate
from kinesink.testing.limits import ShardLimits, ShardMeter
from kinesink.testing.wire import FORMATS, format_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink.testing.wire import Format

#: What AWS rounds each record up to, in bytes, where it bills PUT payload units, and where it
#: bills the data of on-demand streams (https://aws.amazon.com/kinesis/data-streams/pricing/).
PAYLOAD_UNIT: Final = 25 * KIB
ON_DEMAND_UNIT: Final = KIB

_THROTTLED: Final = "ProvisionedThroughputExceededException"


class Nature(NamedTuple):
    """What the endpoint is like."""

    shards: int = 4
    latency: float = 0.0
    """Seconds that each answer takes."""
    limits: bool = False
    """Whether each shard takes no more than the service lets it."""


class Body(NamedTuple):
    """A PutRecords request that has arrived."""

    data: bytes
    form: Format
    refused: frozenset[int]
    """The entries that were refused, by their place."""


class Endpoint:
    """The state: shards, and what arrived."""

    def __init__(self, nature: Nature) -> None:
        """Split the hash keys evenly."""
        self._nature = nature
        self._step = (MAX_HASH_KEY + 1) // nature.shards
        self._shards = [self._describe(number) for number in range(nature.shards)]
        self._meters = [ShardMeter(ShardLimits(), time.monotonic()) for _ in self._shards]
        self._lock = threading.Lock()
        self._bodies: list[Body] = []

    def _describe(self, number: int) -> dict[str, object]:
        last = number == self._nature.shards - 1
        end = MAX_HASH_KEY if last else (number + 1) * self._step - 1
        return {
            "ShardId": f"shardId-{number:012d}",
            "HashKeyRange": {
                "StartingHashKey": str(number * self._step), "EndingHashKey": str(end),
            },
            "SequenceNumberRange": {"StartingSequenceNumber": "1"},
        }  # fmt: skip

    def answer(self, operation: str, form: Format, body: bytes) -> bytes:
        """Return the body of the answer."""
        if operation == "Account":
            return json.dumps(self.account()).encode()
        return form.dumps(self._operation(operation, form, body))

    def _operation(self, operation: str, form: Format, body: bytes) -> dict[str, object]:
        if operation == "PutRecords":
            answer = self._put_records(form, body)
            if self._nature.latency:
                time.sleep(self._nature.latency)
            return answer
        if operation == "ListShards":
            return self._list_shards(_members(form, body))
        summary = {
            "StreamName": "bench",
            "StreamARN": "arn:aws:kinesis:us-east-1:123456789012:stream/bench",
            "StreamStatus": "ACTIVE", "OpenShardCount": self._nature.shards,
            "MaxRecordSizeInKiB": 1024,
        }  # fmt: skip
        return {"StreamDescriptionSummary": summary, "StreamDescription": summary}

    def _put_records(self, form: Format, body: bytes) -> dict[str, object]:
        results: list[dict[str, str]] = []
        refused: set[int] = set()
        for place, entry in enumerate(_members(form, body)["Records"]):
            shard = min(_hash_key(entry) // self._step, self._nature.shards - 1)
            if self._nature.limits and not self._admits(shard, form, entry):
                refused.add(place)
                results.append({"ErrorCode": _THROTTLED, "ErrorMessage": "Rate exceeded"})
            else:
                results.append({"SequenceNumber": "1", "ShardId": f"shardId-{shard:012d}"})
        self._bodies.append(Body(body, form, frozenset(refused)))
        return {"FailedRecordCount": len(refused), "Records": results}

    def _admits(self, shard: int, form: Format, entry: Mapping[str, Any]) -> bool:
        size = len(form.blob(entry["Data"])) + len(entry["PartitionKey"])
        with self._lock:
            return self._meters[shard].admit(size, time.monotonic())

    def _list_shards(self, query: Mapping[str, Any]) -> dict[str, object]:
        start = int(query.get("NextToken", 0))
        page: dict[str, object] = {"Shards": self._shards[start : start + LIST_SHARDS_PAGE]}
        if start + LIST_SHARDS_PAGE < len(self._shards):
            page["NextToken"] = str(start + LIST_SHARDS_PAGE)
        return page

    def account(self) -> dict[str, int]:
        """Count what arrived since the last account, and forget it."""
        bodies, self._bodies = self._bodies, []
        counts = dict.fromkeys(
            ("events", "data_bytes", "entries", "refused", "payload_units", "on_demand_units"), 0
        )
        for body in bodies:
            counts["refused"] += len(body.refused)
            for data, key in _taken(body):
                size = len(data) + len(key)
                events = deaggregate(data)
                counts["entries"] += 1
                counts["events"] += len(events)
                counts["data_bytes"] += sum(len(event.data) for event in events)
                counts["payload_units"] += -(-size // PAYLOAD_UNIT)
                counts["on_demand_units"] += -(-size // ON_DEMAND_UNIT)
        sent = sum(len(body.data) for body in bodies)
        return {**counts, "requests": len(bodies), "body_bytes": sent}


def _members(form: Format, body: bytes) -> Mapping[str, Any]:
    found = form.loads(body)
    assert isinstance(found, Mapping)
    return found


def _taken(body: Body) -> Iterator[tuple[bytes, str]]:
    """Return the data and the partition keys of the entries that were not refused."""
    for place, entry in enumerate(_members(body.form, body.data)["Records"]):
        if place not in body.refused:
            yield body.form.blob(entry["Data"]), entry["PartitionKey"]


def _hash_key(entry: Mapping[str, Any]) -> int:
    given = entry.get("ExplicitHashKey")
    if given is not None:
        return int(given)
    digest = hashlib.md5(entry["PartitionKey"].encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest, "big")


def serve_connection(endpoint: Endpoint, connection: socket.socket) -> None:
    """Answer requests on one connection until the other end closes it."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = connection.makefile("rb")
    with connection, stream:
        while stream.readline():
            headers: dict[str, str] = {}
            while (line := stream.readline()) not in {b"\r\n", b""}:
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.strip().lower()] = value.strip()
            body = stream.read(int(headers.get("content-length", "0")))
            form = (
                format_of(headers.get("content-type", "")) or FORMATS["application/x-amz-json-1.1"]
            )
            operation = headers.get("x-amz-target", ".").partition(".")[2]
            reply = endpoint.answer(operation, form, body)
            head = (
                f"HTTP/1.1 200 OK\r\nContent-Type: {form.content_type}\r\n"
                f"x-amzn-RequestId: 1\r\nContent-Length: {len(reply)}\r\n\r\n"
            )
            connection.sendall(head.encode() + reply)


def main() -> None:
    """Serve on a free loopback port until standard input closes."""
    endpoint = Endpoint(Nature(**orjson.loads(sys.argv[1])))
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(
                target=serve_connection, args=(endpoint, connection), daemon=True
            ).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()

"""A loopback Kinesis that answers at once, in a process of its own.

It keeps every PutRecords body and counts events only when asked, after taking the
aggregated records apart: nothing counts that did not arrive, and nothing but the
reading of requests competes with what is measured.

    python endpoint.py SHARDS

prints its port, serves until standard input closes.
"""

from __future__ import annotations

import base64
import json
import socket
import sys
import threading
from typing import Final

from kinesink.core.aggregated_record import decode

MAX_HASH_KEY: Final = 2**128 - 1
PAGE: Final = 1000


class Endpoint:
    """The state: shards, and the bodies that arrived."""

    def __init__(self, shards: int) -> None:
        """Split the hash keys evenly."""
        step = (MAX_HASH_KEY + 1) // shards
        self.shards = [
            {
                "ShardId": f"shardId-{number:012d}",
                "HashKeyRange": {
                    "StartingHashKey": str(number * step),
                    "EndingHashKey": str(
                        MAX_HASH_KEY if number == shards - 1 else (number + 1) * step - 1
                    ),
                },
                "SequenceNumberRange": {"StartingSequenceNumber": "1"},
            }
            for number in range(shards)
        ]
        self.starts = [number * step for number in range(shards)]
        self.step = step
        self.bodies: list[bytes] = []

    def answer(self, operation: str, body: bytes) -> bytes:
        """Return the body of the answer."""
        if operation == "PutRecords":
            return self.put_records(body)
        if operation == "ListShards":
            return self.list_shards(json.loads(body))
        if operation == "Account":
            return json.dumps(self.account()).encode()
        return b'{"StreamDescriptionSummary":{"StreamStatus":"ACTIVE","MaxRecordSizeInKiB":1024}}'

    def put_records(self, body: bytes) -> bytes:
        """Say that every entry was written, to the shard its explicit hash key names."""
        self.bodies.append(body)
        results = []
        for entry in json.loads(body)["Records"]:
            hash_key = int(entry.get("ExplicitHashKey", 0))
            shard = min(hash_key // self.step, len(self.shards) - 1)
            results.append(f'{{"SequenceNumber":"1","ShardId":"shardId-{shard:012d}"}}')
        return f'{{"FailedRecordCount":0,"Records":[{",".join(results)}]}}'.encode()

    def list_shards(self, query: dict[str, object]) -> bytes:
        """Return a page of shards."""
        start = int(str(query.get("NextToken", 0)))
        page: dict[str, object] = {"Shards": self.shards[start : start + PAGE]}
        if start + PAGE < len(self.shards):
            page["NextToken"] = str(start + PAGE)
        return json.dumps(page).encode()

    def account(self) -> dict[str, int]:
        """Count what arrived since the last account, and forget it."""
        bodies, self.bodies = self.bodies, []
        events = data = entries = 0
        for body in bodies:
            for entry in json.loads(body)["Records"]:
                entries += 1
                blob = base64.b64decode(entry["Data"])
                records = decode(blob)
                events += 1 if records is None else len(records)
                data += len(blob) if records is None else sum(len(r.data) for r in records)
        return {
            "events": events, "data_bytes": data, "entries": entries,
            "requests": len(bodies), "body_bytes": sum(map(len, bodies)),
        }  # fmt: skip


def serve_connection(endpoint: Endpoint, connection: socket.socket) -> None:
    """Answer requests on one connection until the other end closes it."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = connection.makefile("rb")
    with connection, stream:
        while line := stream.readline():
            headers: dict[str, str] = {}
            while (line := stream.readline()) not in {b"\r\n", b""}:
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.strip().lower()] = value.strip()
            body = stream.read(int(headers.get("content-length", "0")))
            operation = headers.get("x-amz-target", ".").partition(".")[2]
            reply = endpoint.answer(operation, body)
            head = (
                "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\n"
                f"x-amzn-RequestId: 1\r\nContent-Length: {len(reply)}\r\n\r\n"
            )
            connection.sendall(head.encode() + reply)


def main() -> None:
    """Serve on a free loopback port until standard input closes."""
    endpoint = Endpoint(int(sys.argv[1]))
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

"""What is measured: one function per row, each run alone in a fresh process.

    python rows.py ROW PORT EVENTS

prints one JSON object: ``cpu`` and ``wall`` in seconds for ``events`` events. Rows that
send wait until everything was acknowledged.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import sys
import time
import tracemalloc
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kinesink.config import Backend

STREAM: Final = "bench"
LINE_BYTES: Final = 200
PAYLOAD: Final = b'{"message":"' + b"x" * (LINE_BYTES - 15) + b'"}\n'

Row = Callable[[str, int], dict[str, Any]]


def config(url: str, **parameters: Any) -> Any:  # noqa: ANN401 - a Config, imported late
    """Return a configuration without pacing: the endpoint has no limits."""
    from kinesink import Config

    return Config(
        STREAM, endpoint_url=url, region_name="us-east-1", shard_rate_limit=math.inf, **parameters
    )


def measure(work: Callable[[], Any], events: int) -> dict[str, Any]:
    """Run ``work`` and say what it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - wall,
        "events": events,
    }


def _log(logger: logging.Logger, events: int) -> None:
    for number in range(events):
        logger.info("user %s did %d", "somebody", number)


def _logger(handler: logging.Handler) -> logging.Logger:
    logger = logging.getLogger("bench")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    return logger


def null_handler(_: str, events: int) -> dict[str, Any]:
    """Log to nowhere: what the standard library itself costs."""
    logger = _logger(logging.NullHandler())
    _log(logger, events // 10)
    return measure(lambda: _log(logger, events), events)


def delivered_log(url: str, events: int, backend: Backend = "asyncio") -> dict[str, Any]:
    """Log until Kinesis has acknowledged it, everything included."""
    from kinesink import KinesisHandler

    handler = KinesisHandler(
        STREAM, endpoint_url=url, region_name="us-east-1", shard_rate_limit=math.inf,
        max_pending_bytes="1GiB", backend=backend,
    )  # fmt: skip
    logger = _logger(handler)
    _log(logger, 1000)
    handler.flush(30)

    def work() -> None:
        _log(logger, events)
        if not handler.flush(60):
            raise SystemExit(str(handler.statistics()))

    return measure(work, events)


def delivered_log_trio(url: str, events: int) -> dict[str, Any]:
    """Log until it is acknowledged, on trio."""
    return delivered_log(url, events, backend="trio")


def sink(url: str, events: int) -> dict[str, Any]:
    """Ready-made bytes through a Sink, keyless."""
    from kinesink import Sink

    target = Sink(config(url, max_pending_bytes=1 << 30))
    for _ in range(1000):
        target.put(PAYLOAD)
    target.flush(30)

    def work() -> None:
        put = target.put
        for _ in range(events):
            put(PAYLOAD)
        if not target.flush(60):
            raise SystemExit(str(target.statistics()))

    return measure(work, events)


def sink_keyed(url: str, events: int) -> dict[str, Any]:
    """Ready-made bytes through a Sink, a thousand partition keys."""
    from kinesink import Sink

    target = Sink(config(url, max_pending_bytes=1 << 30))
    target.put(PAYLOAD)
    target.flush(30)
    keys = [f"customer-{number}" for number in range(1000)]

    def work() -> None:
        put = target.put
        for number in range(events):
            put(PAYLOAD, keys[number % 1000])
        if not target.flush(60):
            raise SystemExit(str(target.statistics()))

    return measure(work, events)


def producer(url: str, events: int) -> dict[str, Any]:
    """Await an outcome each, from a Producer in the application's own loop."""
    from kinesink import Producer

    async def run() -> dict[str, Any]:
        async with Producer(config(url, max_pending_bytes=8 << 20)) as target:
            await (await target.put(PAYLOAD)).wait()
            wall, cpu = time.perf_counter(), time.process_time()
            outcomes = [await target.put(PAYLOAD) for _ in range(events)]
            for outcome in outcomes:
                if not (await outcome.wait()).success:
                    raise SystemExit("a record was not delivered")
            return {
                "cpu": time.process_time() - cpu,
                "wall": time.perf_counter() - wall,
                "events": events,
            }

    return asyncio.run(run())


def aws_kinesis_agg(url: str, events: int) -> dict[str, Any]:
    """Run the aggregator of aws-kinesis-agg with boto3: no routing, no retry."""
    import boto3
    from aws_kinesis_agg.aggregator import RecordAggregator

    client = boto3.client("kinesis", region_name="us-east-1", endpoint_url=url)

    def work() -> None:
        aggregator = RecordAggregator(max_size=51_200)
        full: list[Any] = []

        def send() -> None:
            if not full:
                return
            records = []
            for record in full:
                key, _, data = record.get_contents()
                records.append({"PartitionKey": key, "Data": data})
            client.put_records(StreamName=STREAM, Records=records)
            full.clear()

        for number in range(events):
            done = aggregator.add_user_record(f"key-{number % 1000}", PAYLOAD)
            if done is not None:
                full.append(done)
                if len(full) >= 20:
                    send()
        last = aggregator.clear_and_get()
        if last is not None:
            full.append(last)
        send()

    return measure(work, events)


def boto3_put_records(url: str, events: int) -> dict[str, Any]:
    """boto3 in batches of 500: no aggregation, no retry of failed entries."""
    import boto3

    client = boto3.client("kinesis", region_name="us-east-1", endpoint_url=url)

    def work() -> None:
        for start in range(0, events, 500):
            count = min(500, events - start)
            records = [
                {"PartitionKey": f"key-{number % 1000}", "Data": PAYLOAD} for number in range(count)
            ]
            client.put_records(StreamName=STREAM, Records=records)

    return measure(work, events)


def aiokpl(url: str, events: int) -> dict[str, Any]:
    """Run the peer that ports the KPL to asyncio."""
    # By name: it is not among the test dependencies, since it holds botocore back.
    peer = import_module("aiokpl")

    async def run() -> dict[str, Any]:
        settings = peer.Config(region="us-east-1", endpoint_url=url)
        async with peer.Producer(settings) as target:
            outcome = await target.put_record(stream=STREAM, partition_key="k", data=PAYLOAD)
            await outcome.wait()
            wall, cpu = time.perf_counter(), time.process_time()
            outcomes = [
                await target.put_record(stream=STREAM, partition_key=f"k{n % 1000}", data=PAYLOAD)
                for n in range(events)
            ]
            for outcome in outcomes:
                await outcome.wait()
            return {
                "cpu": time.process_time() - cpu,
                "wall": time.perf_counter() - wall,
                "events": events,
            }

    return asyncio.run(run())


def latency(url: str, events: int) -> dict[str, Any]:
    """Time from put to acknowledgement at 1,000 events/s, default linger."""
    from kinesink import Producer

    async def run() -> dict[str, Any]:
        taken: list[float] = []
        async with Producer(config(url)) as target:
            await (await target.put(PAYLOAD)).wait()

            async def one(begun: float) -> None:
                outcome = await target.put(PAYLOAD)
                await outcome.wait()
                taken.append(time.perf_counter() - begun)

            tasks = []
            begin = time.perf_counter()
            for number in range(events):
                await asyncio.sleep(max(0.0, begin + number / 1000 - time.perf_counter()))
                tasks.append(asyncio.ensure_future(one(time.perf_counter())))
            await asyncio.gather(*tasks)
        taken.sort()
        return {
            "events": events,
            "p50": taken[len(taken) // 2],
            "p99": taken[int(len(taken) * 0.99)],
        }

    return asyncio.run(run())


def queued_memory(_: str, events: int) -> dict[str, Any]:
    """Memory of events that wait while the endpoint is down, by tracemalloc."""
    from kinesink import Sink

    target = Sink(config("http://127.0.0.1:9", max_pending_bytes=1 << 30, shutdown_timeout=0.1))
    target.put(PAYLOAD)
    target.flush(0.5)
    tracemalloc.start()
    for number in range(events):
        target.emit(PAYLOAD[:-12] + b"%010d" % number + PAYLOAD[-2:])
    target.flush(1.5)
    size, _peak = tracemalloc.get_traced_memory()
    pending = target.statistics().pending
    os.write(1, json.dumps({"events": pending, "bytes_per_event": size / pending}).encode() + b"\n")
    os._exit(0)


def first_delivery(url: str, _events: int) -> dict[str, Any]:
    """Import time, and the time from the first log call to its acknowledgement."""
    begun = time.perf_counter()
    import kinesink

    imported = time.perf_counter()
    handler = kinesink.KinesisHandler(STREAM, endpoint_url=url, region_name="us-east-1")
    logger = _logger(handler)
    constructed = time.perf_counter()
    logger.info("first")
    emitted = time.perf_counter()
    handler.flush(10)
    return {
        "import": imported - begun,
        "construct": constructed - imported,
        "first_call": emitted - constructed,
        "first_delivery": time.perf_counter() - constructed,
        "events": 1,
    }


ROWS: Final[dict[str, Row]] = {
    row.__name__: row
    for row in (
        null_handler, delivered_log, delivered_log_trio, sink, sink_keyed, producer,
        aws_kinesis_agg, boto3_put_records, aiokpl, latency, queued_memory, first_delivery,
    )
}  # fmt: skip


def main() -> None:
    """Measure one row and print the result."""
    row, port, events = sys.argv[1], sys.argv[2], int(sys.argv[3])
    print(json.dumps(ROWS[row](f"http://127.0.0.1:{port}", events)))


if __name__ == "__main__":
    main()

"""What is measured: one function per row, each run alone in a fresh process.

    python rows.py ROW URL '{"events": 1000, "size": 200}'

prints one JSON object. Rows that send wait until everything was acknowledged; most give
``cpu`` and ``wall`` in seconds for ``events`` events.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import resource
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from kinesink import Outcome
    from kinesink.config import Backend

STREAM: Final = "bench"
KEYS: Final = [f"customer-{number}" for number in range(1000)]
"""The partition keys of what has one."""
ENOUGH: Final = 1 << 30
"""Bytes of memory that hold all of a row: what it measures is not overload."""


class Case(NamedTuple):
    """How a row is run."""

    events: int = 100_000
    size: int = 200
    """Bytes of a ready-made event. A log call's message has 150 less, which makes an event of
    some 100 more: it says when, where and by whom."""
    backend: Backend = "asyncio"
    rate: float = 1_000.0
    """Events per second, in rows that have a pace."""
    target: str = "kinesink"
    """What logs, in rows that compare one thing with others."""
    options: Mapping[str, Any] = {}
    """Options of kinesink's configuration."""


Result = dict[str, Any]
Row = Callable[[str, Case], Result]


def payload(size: int) -> bytes:
    """Return a line of JSON of so many bytes."""
    return b'{"message":"' + b"x" * (size - 15) + b'"}\n'


def message(case: Case) -> str:
    """Return what a log call of the case says."""
    return "x" * max(8, case.size - 150)


def settings(url: str, case: Case) -> dict[str, Any]:
    """Return options without pacing, for the endpoint has no limits, and with enough room."""
    return {
        "stream_name": STREAM, "endpoint_url": url, "region_name": "us-east-1",
        "shard_rate_limit": math.inf, "max_pending_bytes": ENOUGH, "backend": case.backend,
        **case.options,
    }  # fmt: skip


def stopwatch(events: int) -> Callable[[], Result]:
    """Return what says what has been spent since now."""
    wall, cpu = time.perf_counter(), time.process_time()

    def spent() -> Result:
        return {
            "cpu": time.process_time() - cpu,
            "wall": time.perf_counter() - wall,
            "events": events,
        }

    return spent


def measure(work: Callable[[], Any], events: int) -> Result:
    """Run ``work`` and say what it took."""
    spent = stopwatch(events)
    work()
    return spent()


def must(delivered: object, account: Callable[[], object]) -> None:
    """End without a figure where something was not delivered."""
    if not delivered:
        raise SystemExit(str(account()))


# -- the doors ---------------------------------------------------------------------------


def _log(logger: logging.Logger, events: int, filler: str) -> None:
    for number in range(events):
        logger.info("user %s did %d", filler, number)


def logger_with(handler: logging.Handler) -> logging.Logger:
    """Return a logger with one handler alone."""
    logger = logging.getLogger("bench")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.handlers = [handler]
    return logger


def null_handler(_: str, case: Case) -> Result:
    """Log to nowhere: what the standard library itself costs."""
    logger = logger_with(logging.NullHandler())
    filler = message(case)
    _log(logger, case.events // 10, filler)
    return measure(lambda: _log(logger, case.events, filler), case.events)


def handler(url: str, case: Case) -> Result:
    """Log until it is acknowledged."""
    from kinesink import KinesisHandler

    door = KinesisHandler(**settings(url, case))
    logger = logger_with(door)
    filler = message(case)
    _log(logger, 1000, filler)
    must(door.flush(30), door.statistics)

    def work() -> None:
        _log(logger, case.events, filler)
        must(door.flush(120), door.statistics)

    return measure(work, case.events)


def structlog(url: str, case: Case) -> Result:
    """Log with structlog until it is acknowledged."""
    structlog = import_module("structlog")
    from kinesink import KinesisProcessor

    door = KinesisProcessor(drop=True, **settings(url, case))
    logger = structlog.wrap_logger(
        structlog.ReturnLogger(),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            door,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    ).bind()
    filler = message(case)

    def log(events: int) -> None:
        for number in range(events):
            logger.info("user did something", user=filler, count=number)
        must(door.flush(120), door.statistics)

    log(1000)
    return measure(lambda: log(case.events), case.events)


def opentelemetry(url: str, case: Case) -> Result:
    """Emit log records of OpenTelemetry until they are acknowledged."""
    from opentelemetry._logs import LogRecord, SeverityNumber
    from opentelemetry.sdk._logs import LoggerProvider

    from kinesink import KinesisLogRecordProcessor

    door = KinesisLogRecordProcessor(**settings(url, case))
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(door)
    logger = provider.get_logger("bench")
    filler = message(case)

    def log(events: int) -> None:
        for number in range(events):
            logger.emit(LogRecord(
                timestamp=time.time_ns(), severity_number=SeverityNumber.INFO,
                severity_text="INFO", body=filler, attributes={"count": number},
            ))  # fmt: skip
        must(door.force_flush(120_000), lambda: "not flushed")

    log(1000)
    return measure(lambda: log(case.events), case.events)


# -- ready-made bytes --------------------------------------------------------------------


def sink(url: str, case: Case) -> Result:
    """Hand ready-made bytes to a Sink, keyless."""
    from kinesink import Config, Sink

    target = Sink(Config(**settings(url, case)))
    data = payload(case.size)
    for _ in range(1000):
        target.put(data)
    must(target.flush(30), target.statistics)

    def work() -> None:
        put = target.put
        for _ in range(case.events):
            put(data)
        must(target.flush(120), target.statistics)

    return measure(work, case.events)


def sink_keyed(url: str, case: Case) -> Result:
    """Hand ready-made bytes to a Sink, with a thousand partition keys."""
    from kinesink import Config, Sink

    target = Sink(Config(**settings(url, case)))
    data = payload(case.size)
    target.put(data)
    must(target.flush(30), target.statistics)

    def work() -> None:
        put = target.put
        for number in range(case.events):
            put(data, KEYS[number % 1000])
        must(target.flush(120), target.statistics)

    return measure(work, case.events)


def run_on(case: Case, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run it on the backend of the case."""
    import anyio

    return anyio.run(work, backend=case.backend)


def producer(url: str, case: Case) -> Result:
    """Await an outcome each, from a Producer in the application's own loop."""
    from kinesink import Config, Producer

    data = payload(case.size)

    async def run() -> Result:
        async with Producer(Config(**{**settings(url, case), "max_pending_bytes": 8 << 20})) as to:
            await (await to.put(data)).wait()
            spent = stopwatch(case.events)
            outcomes = [await to.put(data) for _ in range(case.events)]
            for outcome in outcomes:
                must((await outcome.wait()).success, lambda: "a record was not delivered")
            return spent()

    return run_on(case, run)


# -- peers -------------------------------------------------------------------------------


def aws_kinesis_agg(url: str, case: Case) -> Result:
    """Run the aggregator of aws-kinesis-agg with boto3: no routing, no retry."""
    import boto3
    from aws_kinesis_agg.aggregator import RecordAggregator

    client = boto3.client("kinesis", region_name="us-east-1", endpoint_url=url)
    data = payload(case.size)

    def work() -> None:
        aggregator = RecordAggregator(max_size=51_200)
        full: list[Any] = []

        def send() -> None:
            if not full:
                return
            records = []
            for record in full:
                key, _, blob = record.get_contents()
                records.append({"PartitionKey": key, "Data": blob})
            client.put_records(StreamName=STREAM, Records=records)
            full.clear()

        for number in range(case.events):
            done = aggregator.add_user_record(KEYS[number % 1000], data)
            if done is not None:
                full.append(done)
                if len(full) >= 20:
                    send()
        last = aggregator.clear_and_get()
        if last is not None:
            full.append(last)
        send()

    return measure(work, case.events)


def boto3_put_records(url: str, case: Case) -> Result:
    """boto3 in batches of 500: no aggregation, no retry of failed entries."""
    import boto3

    client = boto3.client("kinesis", region_name="us-east-1", endpoint_url=url)
    data = payload(case.size)

    def work() -> None:
        for start in range(0, case.events, 500):
            count = min(500, case.events - start)
            records = [{"PartitionKey": KEYS[number], "Data": data} for number in range(count)]
            client.put_records(StreamName=STREAM, Records=records)

    return measure(work, case.events)


def aiokpl(url: str, case: Case) -> Result:
    """Run the peer that ports the KPL to asyncio, an outcome each."""
    # By name: peers are not among the test dependencies.
    peer = import_module("aiokpl")
    data = payload(case.size)

    async def run() -> Result:
        async with peer.Producer(peer.Config(region="us-east-1", endpoint_url=url)) as target:
            outcome = await target.put_record(stream=STREAM, partition_key="k", data=data)
            await outcome.wait()
            spent = stopwatch(case.events)
            outcomes = [
                await target.put_record(stream=STREAM, partition_key=KEYS[n % 1000], data=data)
                for n in range(case.events)
            ]
            for outcome in outcomes:
                await outcome.wait()
            return spent()

    return asyncio.run(run())


def async_kinesis(url: str, case: Case) -> Result:
    """Run async-kinesis with its aggregation in the KPL's format, and no limit of its own."""
    peer = import_module("kinesis")
    processors = import_module("kinesis.processors")
    text = payload(case.size).decode()

    async def run() -> Result:
        async with peer.Producer(
            STREAM, endpoint_url=url, region_name="us-east-1", skip_describe_stream=True,
            processor=processors.KPLStringProcessor(), put_rate_limit_per_shard=10**9,
            put_bandwidth_limit_per_shard=10**9,
        ) as target:  # fmt: skip
            await target.put(text)
            await target.flush()
            spent = stopwatch(case.events)
            for _ in range(case.events):
                await target.put(text)
            await target.flush()
            return spent()

    return asyncio.run(run())


# -- time --------------------------------------------------------------------------------


def quantiles(taken: list[float]) -> Result:
    """Return the median, the 99th and the 99.9th percentile."""
    taken.sort()
    last = len(taken) - 1
    return {
        name: taken[min(last, int(len(taken) * share))]
        for name, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))
    }


def latency(url: str, case: Case) -> Result:
    """Time from put to acknowledgement at a steady rate, default linger."""
    from kinesink import Config, Producer

    data = payload(case.size)

    async def run() -> Result:
        taken: list[float] = []

        async def watch(begun: float, outcome: Outcome) -> None:
            must((await outcome.wait()).success, lambda: "a record was not delivered")
            taken.append(time.perf_counter() - begun)

        async with Producer(Config(**settings(url, case))) as target:
            await (await target.put(data)).wait()
            begin, sent = time.perf_counter(), 0
            cpu = time.process_time()
            tasks = []
            while sent < case.events:
                due = min(case.events, int((time.perf_counter() - begin) * case.rate) + 1)
                for _ in range(due - sent):
                    begun = time.perf_counter()
                    outcome = await target.put(data)
                    tasks.append(asyncio.ensure_future(watch(begun, outcome)))
                sent = due
                await asyncio.sleep(0.001)
            await asyncio.gather(*tasks)
            used = time.process_time() - cpu
        return {
            "events": case.events,
            "load": used / (time.perf_counter() - begin),
            **quantiles(taken),
        }

    return asyncio.run(run())


def paced(url: str, case: Case) -> Result:
    """Log at a steady rate with the whole default configuration: what fills a record."""
    from kinesink import KinesisHandler

    door = KinesisHandler(STREAM, endpoint_url=url, region_name="us-east-1", **case.options)
    logger = logger_with(door)
    filler = message(case)
    logger.info("the first")
    must(door.flush(30), door.statistics)
    begin, cpu, sent = time.perf_counter(), time.process_time(), 0
    while sent < case.events:
        due = min(case.events, int((time.perf_counter() - begin) * case.rate) + 1)
        for number in range(sent, due):
            logger.info("user %s did %d", filler, number)
        sent = due
        time.sleep(0.001)
    must(door.flush(30), door.statistics)
    return {
        "events": case.events, "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - begin,
    }  # fmt: skip


def application(url: str, case: Case) -> Result:
    """Time of small requests in an asyncio application that logs 40 lines in each.

    Requests come at a steady rate whether or not those before are done, and their time
    counts from when they should have begun: what the sink's thread takes from the loop shows.
    """
    from kinesink import KinesisHandler

    door: logging.Handler = logging.NullHandler()
    if case.target == "kinesink":
        door = KinesisHandler(**settings(url, case))
    elif case.target == "json":
        door = _json_handler()
    elif case.target == "queue":
        door = _queue_handler()
    logger = logger_with(door)
    lines = 40
    taken: list[float] = []

    async def request(due: float) -> None:
        for half in range(2):
            for number in range(lines // 2):
                logger.info("user %s did %d", "somebody", number)
            json.dumps({"half": half, "items": list(range(100))})
            await asyncio.sleep(0)
        taken.append(time.perf_counter() - due)

    async def run() -> None:
        gap = lines / case.rate
        begin = time.perf_counter() + 0.1
        tasks = []
        for number in range(case.events // lines):
            due = begin + number * gap
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.ensure_future(request(due)))
        await asyncio.gather(*tasks)

    cpu, wall = time.process_time(), time.perf_counter()
    asyncio.run(run())
    load = (time.process_time() - cpu) / (time.perf_counter() - wall)
    if isinstance(door, KinesisHandler):
        must(door.flush(30), door.statistics)
    return {"events": case.events, "load": load, **quantiles(taken[len(taken) // 10 :])}


def _json_handler() -> logging.Handler:
    from tests.benchmarks.json_formatter import JsonFormatter

    stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as the process
    as_json: logging.Handler = logging.StreamHandler(stream)
    as_json.setFormatter(JsonFormatter())
    return as_json


def _queue_handler() -> logging.Handler:
    import queue
    from logging.handlers import QueueHandler, QueueListener

    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    listener = QueueListener(waiting, _json_handler())
    listener.start()
    return QueueHandler(waiting)


# -- resources ---------------------------------------------------------------------------


def queued_memory(_: str, case: Case) -> Result:
    """Memory of events that wait while the endpoint is down, by tracemalloc."""
    from kinesink import Config, Sink

    target = Sink(Config(**{**settings("http://127.0.0.1:9", case), "shutdown_timeout": 0.1}))
    data = payload(case.size)
    target.put(data)
    target.flush(0.5)
    tracemalloc.start()
    for number in range(case.events):
        target.emit(data[:-12] + b"%010d" % number + data[-2:])
    target.flush(1.5)
    size, _peak = tracemalloc.get_traced_memory()
    pending = target.statistics().pending
    os.write(1, json.dumps({"events": pending, "bytes_per_event": size / pending}).encode() + b"\n")
    os._exit(0)


def outage_memory(_: str, case: Case) -> Result:
    """Peak of the process's memory in an outage, beyond what it took before, over its bound."""
    from kinesink import KinesisHandler

    bound = 64 << 20
    given = {**settings("http://127.0.0.1:9", case), "max_pending_bytes": bound}
    door = KinesisHandler(**given, on_error=lambda *_: None, shutdown_timeout=0.1)
    logger = logger_with(door)
    logger.info("the first")
    door.flush(0.5)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    filler = message(case)
    for number in range(case.events):
        logger.info("user %s did %d", filler, number)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    account = door.statistics()
    result = {"events": case.events, "peak_over_bound": peak / bound, "pending": account.pending}
    os.write(1, json.dumps(result).encode() + b"\n")
    os._exit(0)


def idle(url: str, case: Case) -> Result:
    """Wake-ups per second and CPU of a process whose sink has nothing to do."""
    from kinesink import KinesisHandler

    before = threading.active_count()
    door = KinesisHandler(**settings(url, case))
    logger = logger_with(door)
    logger.info("the first")
    must(door.flush(30), door.statistics)
    time.sleep(2.0)
    seconds = 20.0
    switches, cpu = _switches(), time.process_time()
    time.sleep(seconds)
    return {
        "events": 1,
        "wakeups": (_switches() - switches) / seconds,
        "load": (time.process_time() - cpu) / seconds,
        "threads": threading.active_count() - before,
    }


def _switches() -> int:
    """Return how often threads beside this one have waited and gone on."""
    total = 0
    for task in Path("/proc/self/task").iterdir():
        if int(task.name) != threading.get_native_id():
            lines = (task / "status").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary"))
    return total


def first_delivery(url: str, case: Case) -> Result:
    """Import time, and the time from the first log call to its acknowledgement."""
    begun = time.perf_counter()
    import kinesink

    imported = time.perf_counter()
    door = kinesink.KinesisHandler(**settings(url, case))
    logger = logger_with(door)
    constructed = time.perf_counter()
    logger.info("first")
    emitted = time.perf_counter()
    must(door.flush(10), door.statistics)
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
        null_handler, handler, structlog, opentelemetry, sink, sink_keyed, producer,
        aws_kinesis_agg, boto3_put_records, aiokpl, async_kinesis, latency, paced, application,
        queued_memory, outage_memory, idle, first_delivery,
    )
}  # fmt: skip


def main() -> None:
    """Measure one row and print the result."""
    name, url, case = sys.argv[1], sys.argv[2], Case(**json.loads(sys.argv[3]))
    print(json.dumps(ROWS[name](url, case)), flush=True)
    # What is left in threads and hooks is no part of it.
    os._exit(0)


if __name__ == "__main__":
    main()

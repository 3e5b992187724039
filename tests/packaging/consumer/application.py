"""An application as its type checker sees it: what kinesink offers, with the types that it has.

Checked against the installed wheel by mypy and by pyright, and never run. A call that is wrong says
so by a comment, and a comment that is needed no more is an error.
"""

import asyncio
import logging
from concurrent.futures import Future
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider
from typing_extensions import assert_type

import kinesink
from kinesink import (
    Config,
    DeadLetter,
    DeaggregatedRecord,
    DropReason,
    EventOptions,
    Health,
    KinesisFormatter,
    KinesisHandler,
    KinesisLoggerFactory,
    KinesisLogRecordExporter,
    KinesisLogRecordProcessor,
    KinesisProcessor,
    Outcome,
    Producer,
    RecordResult,
    Sink,
    Statistics,
)
from kinesink.testing import FakeKinesis, KinesisCapture, Latency, capture_events


def on_error(kind: str, text: str) -> None:
    """Take what needs attention."""
    logging.getLogger(kind).warning(text)


def give_up(letters: list[DeadLetter]) -> None:
    """Take what was given up."""
    for letter in letters:
        assert_type(letter.stream_name, str)
        assert_type(letter.data, bytes)
        assert_type(letter.reason, DropReason)


def log_by_logging() -> Statistics:
    """Use the handler, with parameters of all kinds."""
    handler = KinesisHandler(
        "app-logs",
        level="INFO",
        region_name="eu-west-1",
        linger="250ms",
        max_pending_bytes=16 * 2**20,
        partition_key="logger",
        schema="ecs",
        redact="default",
        on_error=on_error,
        dead_letter=give_up,
    )
    logging.basicConfig(level="INFO", handlers=[handler])
    assert_type(handler.flush(timeout=1.0), bool)
    assert_type(handler.health(), Health)
    handler.setFormatter(KinesisFormatter(schema="datadog"))
    return handler.statistics()


def log_by_other_libraries() -> list[object]:
    """Use the doors of the extras."""
    provider = LoggerProvider()
    provider.add_log_record_processor(KinesisLogRecordProcessor("app-logs"))
    return [
        provider,
        KinesisProcessor("app-logs", drop=True),
        KinesisLoggerFactory("app-logs"),
        KinesisLogRecordExporter("app-logs", encoding="otlp_json"),
    ]


def send_from_a_thread() -> RecordResult:
    """Use the sink."""
    sink = Sink(Config("measurements", framing="lines", compression="gzip"))
    assert_type(sink.put(b"20.5", partition_key="sensor-1"), bool)
    future = sink.submit(b"20.6", explicit_hash_key=17)
    assert_type(future, Future[RecordResult])
    assert_type(sink.close(timeout=5), bool)
    return future.result(timeout=30)


async def send_from_a_loop() -> str | None:
    """Use the producer."""
    async with Producer(Config.from_environment(stream_name="orders")) as producer:
        outcome = await producer.put(b"order 17", stream_name="clicks")
        assert_type(outcome, Outcome)
        result = await outcome.wait()
        assert_type(result.success, bool)
        assert_type(producer.statistics("clicks").dropped.get(DropReason.EXPIRED), int | None)
        assert_type(await kinesink.aflush(1.0), bool)
        return result.shard_id


def read(data: bytes) -> list[bytes]:
    """Use what consumers need."""
    records = kinesink.deaggregate(data)
    assert_type(records, list[DeaggregatedRecord])
    return [record.data for record in records]


@kinesink.lambda_handler
def function(event: dict[str, int], context: object) -> int:
    """Use the decorator, which leaves types as they are."""
    del context
    return event["answer"]


def look_at_a_test(kinesis_sink: KinesisCapture) -> None:
    """Use the test kit."""
    with kinesis_sink.outage():
        assert_type(kinesis_sink.pending, int)
    assert_type(kinesis_sink.assert_logged(level="INFO", times=2, amount=12.5), dict[str, Any])
    assert_type(kinesis_sink.events, list[dict[str, Any]])
    with capture_events() as captured:
        captured.script(Latency(answer=0.1, times=1))
        assert_type(captured.kinesis, FakeKinesis)


def wrong() -> None:
    """Make mistakes that a type checker is there to find."""
    KinesisHandler("app-logs", framing="csv")  # type: ignore[arg-type]  # none of the three
    KinesisHandler("app-logs", lingers=1)  # type: ignore[call-arg]  # misspelt
    Sink("app-logs")  # type: ignore[arg-type]  # takes a Config
    EventOptions(schema=17)  # type: ignore[arg-type]  # no schema
    _ = kinesink.nothing  # type: ignore[attr-defined]  # not there


assert_type(function({"answer": 42}, None), int)
asyncio.run(send_from_a_loop())
kinesink.install_signal_handlers()
assert_type(kinesink.__version__, str)

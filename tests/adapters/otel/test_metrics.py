"""The account of all sinks as metrics of OpenTelemetry."""

from __future__ import annotations

import dataclasses
import gc
import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import kinesink
from kinesink import Config, Sink
from kinesink.adapters.otel_metrics import METRICS
from kinesink.core.records import DropReason
from kinesink.shell import totals
from kinesink.testing import FakeKinesis, Hang, ThrottleEntries
from tests.shell.scripts import run_script
from tests.shell.support import PATIENCE, adds_up, make_client, make_config, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Make = Callable[..., Sink]

Point = tuple[int, dict[str, Any]]

EXPORTED: Final = "otel.sdk.exporter.log.exported"
PROCESSED: Final = "otel.sdk.processor.log.processed"
INFLIGHT: Final = "otel.sdk.exporter.log.inflight"
QUEUE_SIZE: Final = "otel.sdk.processor.log.queue.size"
CAPACITY: Final = "otel.sdk.processor.log.queue.capacity"


def config_of(stream: str, **parameters: object) -> Config:
    """Return a quick configuration for a stream."""
    return dataclasses.replace(make_config(**parameters), stream_name=stream)


class Reading:
    """What a reader of metrics sees of one stream."""

    def __init__(self, reader: InMemoryMetricReader, stream: str) -> None:
        self.points: dict[str, list[Point]] = {}
        self.units: dict[str, str] = {}
        self.monotonic: set[str] = set()
        data: Any = reader.get_metrics_data()
        found = [
            metric
            for of_resource in (data.resource_metrics if data else ())
            for of_scope in of_resource.scope_metrics
            for metric in of_scope.metrics
        ]
        for metric in found:
            points = [
                (point.value, dict(point.attributes))
                for point in metric.data.data_points
                if point.attributes["aws.kinesis.stream_name"] == stream
            ]
            if points:
                # Two instruments of one name would be two entries.
                assert metric.name not in self.points
                self.points[metric.name] = points
                self.units[metric.name] = metric.unit
                if metric.data.is_monotonic:
                    self.monotonic.add(metric.name)

    def __getitem__(self, name: str) -> int:
        """Return the number without a reason."""
        (value,) = [value for value, more in self.points[name] if "error.type" not in more]
        return value

    def reasons(self, name: str) -> dict[str, int]:
        """Return the numbers with a reason, by it."""
        return {
            more["error.type"]: value
            for value, more in self.points.get(name, [])
            if "error.type" in more
        }


class Reader:
    """A provider with the instruments, and what reads it."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.provider = MeterProvider([self._reader], shutdown_on_exit=False)
        kinesink.instrument(self.provider)

    def read(self, stream: str) -> Reading:
        """Return what is to be seen of a stream."""
        return Reading(self._reader, stream)


@pytest.fixture
def reader() -> Iterator[Reader]:
    """Return a reader of the sinks of this process."""
    reader = Reader()
    yield reader
    reader.provider.shutdown()


@pytest.fixture
def stream(request: pytest.FixtureRequest) -> str:
    """Return the name of a stream that no other test has."""
    return f"s-{abs(hash(request.node.nodeid))}"


@pytest.fixture
def make_sink(stream: str) -> Iterator[Callable[..., Sink]]:
    """Return what makes sinks that deliver to the stream."""
    fakes: list[FakeKinesis] = []

    def make(fake: FakeKinesis | None = None, **parameters: object) -> Sink:
        fake = FakeKinesis() if fake is None else fake
        fake.create_stream(stream, shards=2)
        fakes.append(fake)
        config = config_of(stream, **parameters)
        return Sink(config, make_client=lambda config: make_client(fake, config))

    yield make
    for fake in fakes:
        fake.faults.clear()
        fake.release()


class TestNumbers:
    """The account, under names that others know."""

    def test_each_number_of_the_account_is_there(
        self, reader: Reader, make_sink: Make, stream: str, anyio_backend: str
    ) -> None:
        """Delivered, by whatever way, and in bytes."""
        sink = make_sink(backend=anyio_backend)
        for _ in range(20):
            sink.emit(b"event")
        assert sink.flush(PATIENCE)
        # Events without a key may be there before the shards are known.
        wait_until(lambda: sink.statistics().refreshes)
        account = sink.statistics()
        seen = reader.read(stream)
        assert (seen["kinesink.accepted"], seen[EXPORTED], seen[PROCESSED]) == (20, 20, 20)
        assert (seen[INFLIGHT], seen[QUEUE_SIZE], seen["kinesink.pending.size"]) == (0, 0, 0)
        assert seen["kinesink.requests"] == account.requests > 0
        assert seen["kinesink.entries"] == account.entries > 0
        assert seen["kinesink.refreshes"] == account.refreshes > 0
        assert seen["kinesink.sent.size"] == account.sent_bytes > 100
        assert seen["kinesink.delivered.size"] == 100
        assert seen["kinesink.pending.limit"] == sink.config.max_pending_bytes
        for name in ("retried", "throttled", "wrong_shard"):
            assert seen[f"kinesink.{name}"] == 0
        assert CAPACITY not in seen.points
        assert sink.close()

    def test_what_only_grows_is_a_counter(
        self, reader: Reader, make_sink: Make, stream: str
    ) -> None:
        """And what comes and goes is none; units are those of the conventions."""
        sink = make_sink(max_pending_events=50)
        sink.refuse(DropReason.TOO_LARGE)
        seen = reader.read(stream)
        states = {INFLIGHT, QUEUE_SIZE, CAPACITY, "kinesink.pending.size", "kinesink.pending.limit"}
        assert set(seen.points) - seen.monotonic == states
        assert seen[CAPACITY] == 50
        assert {seen.units[name] for name in (EXPORTED, PROCESSED, INFLIGHT, CAPACITY)} == {
            "{log_record}"
        }
        assert {name for name, unit in seen.units.items() if unit == "By"} == {
            name for name in seen.points if name.endswith((".size", ".limit"))
        } - {QUEUE_SIZE}

    def test_what_is_given_up_is_told_by_reason(
        self, reader: Reader, make_sink: Make, stream: str
    ) -> None:
        """Want of room is the queue's, everything else comes after it; together they add up."""
        sink = make_sink(max_pending_events=10)
        wake, sink._intake.wake = sink._intake.wake, lambda: None
        for level in (10, 20, 40):
            for _ in range(20):
                sink.emit(b"event", level=level)
        sink.refuse(DropReason.TOO_LARGE, 20)
        account = sink.statistics()
        assert adds_up(account)
        seen = reader.read(stream)
        assert seen.reasons("kinesink.dropped") == {
            reason.value: events for reason, events in account.dropped.items()
        }
        assert set(seen.reasons(PROCESSED)) == {"shed", "queue_full"}
        assert seen.reasons(EXPORTED) == {"too_large": 1}
        assert seen[QUEUE_SIZE] == account.pending > 0
        processed = seen[PROCESSED] + sum(seen.reasons(PROCESSED).values())
        assert processed + seen[QUEUE_SIZE] == seen["kinesink.accepted"] == 61
        wake()
        assert sink.close()

    def test_throttles_and_retries_are_told(
        self, reader: Reader, make_sink: Make, stream: str
    ) -> None:
        """What the service refuses for rate, and what was sent once more for that."""
        fake = FakeKinesis()
        fake.script(ThrottleEntries(times=1))
        sink = make_sink(fake)
        sink.emit(b"event")
        assert sink.flush(PATIENCE)
        seen = reader.read(stream)
        assert (seen["kinesink.throttled"], seen["kinesink.retried"], seen[EXPORTED]) == (1, 1, 1)
        assert sink.close()

    def test_what_is_under_way_is_told_while_it_is(
        self, reader: Reader, make_sink: Make, stream: str
    ) -> None:
        """Events and their bytes."""
        fake = FakeKinesis()
        fake.faults.append(Hang(operation="PutRecords"))
        sink = make_sink(fake)
        sink.emit(b"event")
        seen = reader.read(stream)
        assert (seen[INFLIGHT], seen["kinesink.pending.size"], seen[EXPORTED]) == (1, 5, 0)
        fake.faults.clear()

        def delivered() -> int:
            fake.release()
            return sink.statistics().delivered

        wait_until(delivered)
        seen = reader.read(stream)
        assert (seen[INFLIGHT], seen["kinesink.pending.size"], seen[EXPORTED]) == (0, 0, 1)
        assert sink.close()

    def test_attributes_say_whose_numbers_they_are(self, reader: Reader, stream: str) -> None:
        """By the names of the conventions; the address only where it was given."""
        sinks = [
            Sink(Config(stream, region_name="eu-west-1")),
            Sink(Config(stream, endpoint_url="https://kinesis.example.com")),
            Sink(Config(stream, endpoint_url="http://127.0.0.1:4567")),
        ]
        told = [more for _, more in reader.read(stream).points["kinesink.accepted"]]
        usual = {
            "otel.component.type": "kinesink.Sink",
            "otel.component.name": f"kinesink.Sink/{stream}",
            "aws.kinesis.stream_name": stream,
        }
        assert all(more.items() >= usual.items() for more in told)
        assert sorted(
            (more.get("server.address", ""), more.get("server.port", 0)) for more in told
        ) == [("", 0), ("127.0.0.1", 4567), ("kinesis.example.com", 0)]
        del sinks


def test_the_documentation_names_each_metric() -> None:
    """With its unit and its kind, and no other."""
    text = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z._]+)` \| `([^`]+)` \| (counter|state) \|", text, re.MULTILINE)
    assert rows == [
        (metric.name, metric.unit, "counter" if metric.grows else "state") for metric in METRICS
    ]


class TestTotals:
    """Counters are right whatever happens between two readings."""

    def test_sinks_of_one_stream_are_one_total(
        self, reader: Reader, make_sink: Make, stream: str
    ) -> None:
        """However many configurations there are for it."""
        fake = FakeKinesis()
        first = make_sink(fake)
        second = Sink(config_of(stream, linger=0.02))
        for sink in (first, second):
            sink.refuse(DropReason.TOO_LARGE)
        seen = reader.read(stream)
        assert (seen["kinesink.accepted"], seen.reasons(EXPORTED)) == (2, {"too_large": 2})
        assert seen["kinesink.pending.limit"] == 2 * first.config.max_pending_bytes

    def test_k_readings_count_once(self, reader: Reader, make_sink: Make, stream: str) -> None:
        """N2: totals are cumulative, and two readings differ by what happened between them."""
        sink = make_sink()
        sink.refuse(DropReason.INVALID)
        readings = [reader.read(stream) for _ in range(3)]
        sink.refuse(DropReason.INVALID)
        readings.append(reader.read(stream))
        assert [seen["kinesink.accepted"] for seen in readings] == [1, 1, 1, 2]

    def test_a_sink_that_is_gone_stays_in_the_totals(
        self, reader: Reader, make_sink: Make, stream: str, anyio_backend: str
    ) -> None:
        """What it delivers after that is in them as well; its room is not."""
        fake = FakeKinesis()
        fake.faults.append(Hang(operation="PutRecords"))
        sink: Sink | None = make_sink(fake, backend=anyio_backend)
        assert sink is not None
        sink.emit(b"event")
        assert reader.read(stream)[INFLIGHT] == 1
        sink = None
        gc.collect()
        fake.faults.clear()

        def delivered() -> int:
            fake.release()
            return reader.read(stream)[EXPORTED]

        wait_until(delivered)
        for _ in range(2):
            seen = reader.read(stream)
            assert (seen["kinesink.accepted"], seen[EXPORTED], seen[INFLIGHT]) == (1, 1, 0)
            assert seen["kinesink.pending.limit"] == 0
        again = Sink(config_of(stream))
        again.refuse(DropReason.INVALID)
        seen = reader.read(stream)
        assert (seen["kinesink.accepted"], seen[EXPORTED]) == (2, 1)
        assert seen["kinesink.pending.limit"] == again.config.max_pending_bytes

    def test_what_is_over_takes_no_room(self, stream: str) -> None:
        """However many sinks there were, there is one total for their stream."""
        account = totals.Totals()
        for _ in range(5):
            sink = Sink(config_of(stream))
            sink.refuse(DropReason.INVALID)
            account.read()
            del sink
            gc.collect()
        place = totals.Place(stream, None)
        assert account.read()[place].statistics.dropped == {DropReason.INVALID: 5}
        assert not [each for each in account._accounts.values() if each.place == place]

    def test_readers_in_several_threads_see_the_same(self, make_sink: Make, stream: str) -> None:
        """Each has its own time, and none of them a total that goes down."""
        readers = [Reader() for _ in range(3)]
        sink: Sink | None = make_sink()
        assert sink is not None
        wrong: list[tuple[int, int]] = []
        stop = threading.Event()

        def watch(reader: Reader) -> None:
            last = 0
            while not stop.is_set():
                now = reader.read(stream)["kinesink.accepted"]
                if now < last:
                    wrong.append((last, now))
                last = now

        threads = [threading.Thread(target=watch, args=(reader,)) for reader in readers]
        for thread in threads:
            thread.start()
        for _ in range(300):
            sink.emit(b"event")
        sink = None
        gc.collect()
        wait_until(lambda: readers[0].read(stream)[EXPORTED] == 300)
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
        assert wrong == []
        assert [reader.read(stream)["kinesink.accepted"] for reader in readers] == [300] * 3
        for reader in readers:
            reader.provider.shutdown()


ONCE: Final = """
import json, sys, kinesink
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
kinesink.instrument()
kinesink.instrument()
reader = InMemoryMetricReader()
provider = MeterProvider([reader], shutdown_on_exit=False)
metrics.set_meter_provider(provider)
kinesink.instrument()
kinesink.instrument(provider)
sink = kinesink.Sink(kinesink.Config("app"))
sink.refuse(kinesink.DropReason.INVALID)
(of_resource,) = reader.get_metrics_data().resource_metrics
(of_scope,) = of_resource.scope_metrics
names = [metric.name for metric in of_scope.metrics]
assert len(names) == len(set(names)) > 10, names
print(of_scope.scope.name, of_scope.scope.version == kinesink.__version__)
"""

FORKED: Final = """
import os, warnings, kinesink
# Newer Pythons warn of a fork while there are threads.
warnings.simplefilter("ignore", DeprecationWarning)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
reader = InMemoryMetricReader()
provider = MeterProvider([reader], shutdown_on_exit=False)
kinesink.instrument(provider)

def accepted():
    data = reader.get_metrics_data()
    return [
        point.value
        for of_resource in data.resource_metrics
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics if metric.name == "kinesink.accepted"
        for point in metric.data.data_points
    ]

def refuse(events):
    for _ in range(events):
        sink.refuse(kinesink.DropReason.INVALID)

def silent(*_):
    pass

sink = kinesink.Sink(kinesink.Config("app", on_error=silent))
refuse(3)
gone = kinesink.Sink(kinesink.Config("gone"))
gone.refuse(kinesink.DropReason.INVALID)
assert sorted(accepted()) == [1, 3]
del gone
assert sorted(accepted()) == [1, 3]
child = os.fork()
if not child:
    refuse(2)
    try:
        assert accepted() == [2], accepted()
    except BaseException as error:
        print(error, flush=True)
        os._exit(1)
    os._exit(0)
_, status = os.waitpid(child, 0)
refuse(1)
assert sorted(accepted()) == [1, 4]
print(status)
"""


class TestProviders:
    """Where the numbers are to be seen."""

    def test_each_provider_has_each_instrument_once(self) -> None:
        """Asked for again and again, before and after the global one is set."""
        ran = run_script(ONCE)
        assert (ran.status, ran.out.strip(), ran.err) == (0, "kinesink True", "")

    def test_several_providers_see_the_same(self, reader: Reader, stream: str) -> None:
        """Each of its own."""
        other = Reader()
        kinesink.instrument(other.provider)
        sink = Sink(config_of(stream))
        sink.refuse(DropReason.INVALID)
        assert reader.read(stream).points == other.read(stream).points
        other.provider.shutdown()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
    def test_a_forked_child_counts_from_zero(self) -> None:
        """What the parent has counted is the parent's, also of sinks that are gone."""
        ran = run_script(FORKED)
        assert (ran.status, ran.out.strip(), ran.err) == (0, "0", "")

"""The demonstration itself, in short runs, and what is to happen when something is amiss."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from kinesink.cli import demo
from kinesink.cli.consumer import Consumer
from kinesink.cli.demo import Demo
from kinesink.cli.dummy_account import dummy_account
from kinesink.cli.plan import STREAM_NAME, Plan
from kinesink.cli.shop_doors import KINDS
from kinesink.cli.workload import Workload, event_of
from kinesink.testing import AccessDenied, FakeKinesis, RequestError, Rewrite
from tests.core.entries import aggregated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kinesink.cli.observation import Seen
    from kinesink.cli.plan import Door
    from kinesink.cli.view import Moment, View
    from kinesink.cli.workload import Said
    from kinesink.config import Backend
    from kinesink.testing import Fault

EVENT = (
    b'{"timestamp":"1970-01-01T00:00:00.000000Z","level":"INFO","logger":"shop","message":"hello",'
    b'"attributes":{"sequence":7}}\n'
)


def shown(plan: Plan) -> tuple[int, str]:
    """Return the exit status of a demonstration, and what it showed in a pipe."""
    console = Console(file=io.StringIO(), width=80, highlight=False)
    with console.capture() as captured:
        status = Demo(plan, console).run()
    return status, captured.get()


@pytest.fixture
def healthy(monkeypatch: pytest.MonkeyPatch) -> list[FakeKinesis]:
    """Collect the fakes that a demonstration makes."""
    made: list[FakeKinesis] = []
    create = FakeKinesis.create_stream

    def create_stream(self: FakeKinesis, name: str, *, shards: int = 1) -> None:
        made.append(self)
        create(self, name, shards=shards)

    monkeypatch.setattr(FakeKinesis, "create_stream", create_stream)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_every_event_arrives_once(backend: Backend, healthy: list[FakeKinesis]) -> None:
    """And the account says so."""
    status, screen = shown(Plan(seconds=0.5, rate=800, backend=backend))
    assert status == 0, screen
    assert "400 accepted = 400 delivered + 0 dropped + 0 pending" in screen
    assert "They agree: every event logged arrived exactly once." in screen
    assert "[RuntimeError: the bank refuses the card for order 10100]" in screen
    # Which event the consumer meets first depends on the shard it was sent to.
    assert re.search(r'"attributes": \{"sequence": \d+', screen)
    assert len(healthy[0].user_records(STREAM_NAME)) == 400


@pytest.mark.slow
@pytest.mark.parametrize("door", KINDS)
def test_every_door_brings_every_event(door: Door) -> None:
    """And says by which library the shop logs."""
    status, screen = shown(Plan(seconds=0.5, rate=800, door=door))
    assert status == 0, screen
    assert screen.startswith(KINDS[door].library)
    assert f"→ kinesink    {KINDS[door].ships}('app-logs')" in screen
    assert "400 accepted = 400 delivered + 0 dropped + 0 pending" in screen


@pytest.mark.slow
def test_faults_cause_retries_and_no_loss() -> None:
    """What is refused for rate is sent once more."""
    status, screen = shown(Plan(seconds=1, rate=500, shards=1, threads=1, faults=True))
    assert status == 0, screen
    assert "1/3 of the records refused for rate" in screen
    assert "1 thread," in screen
    assert "1 shard," in screen
    assert " 0 records throttled" not in screen


@pytest.mark.slow
def test_an_event_that_nobody_logged_gives_status_1(
    healthy: list[FakeKinesis], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The producer's account alone would not show it."""
    start = Workload.start

    def start_and_add(self: Workload, log: Callable[[Said], object]) -> None:
        start(self, log)
        healthy[0].put(STREAM_NAME, EVENT.replace(b":7}", b":70000}"))

    monkeypatch.setattr(Workload, "start", start_and_add)
    status, screen = shown(Plan(seconds=0.2, rate=100))
    assert status == 1
    assert "differs   1 seen that nobody logged: 70000" in screen
    assert "They do not agree." in screen


@pytest.mark.slow
def test_what_the_producer_reports_is_shown_at_the_end(
    healthy: list[FakeKinesis], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line in the middle would tear the table apart."""
    start = Workload.start

    def start_amid_trouble(self: Workload, log: Callable[[Said], object]) -> None:
        healthy[0].script(AccessDenied(operation="DescribeStreamSummary"))
        start(self, log)

    monkeypatch.setattr(Workload, "start", start_amid_trouble)
    status, screen = shown(Plan(seconds=0.2, rate=100))
    assert status == 0
    assert "reported  " in screen
    assert "DescribeStreamSummary" in screen


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["ListShards", "GetShardIterator", "GetRecords"])
def test_a_stream_that_cannot_be_read_gives_status_1(
    operation: str, healthy: list[FakeKinesis], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, without a traceback."""
    create = FakeKinesis.create_stream

    def create_unreadable(self: FakeKinesis, name: str, *, shards: int = 1) -> None:
        create(self, name, shards=shards)
        self.script(RequestError("InternalFailure", "not now", 500, operation=operation))

    monkeypatch.setattr(FakeKinesis, "create_stream", create_unreadable)
    monkeypatch.setattr(demo, "_LONGEST_DELIVERY", 0.5)
    status, screen = shown(Plan(seconds=0.2, rate=100))
    assert status == 1
    assert f"The stream could not be read: {operation}: HTTP 500" in screen
    assert len(healthy) == 1


@pytest.mark.slow
def test_an_interrupt_ends_the_logging_and_the_account_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C is how a person says: enough."""

    class Impatient:
        """Interrupts at the second look."""

        def __init__(self) -> None:
            self.looks = 0

        def show(self, moment: Moment) -> None:
            del moment
            self.looks += 1
            if self.looks == 2:
                raise KeyboardInterrupt

        def show_end(self, moment: Moment) -> None:
            assert moment.account.pending == 0

    @contextmanager
    def impatient(_: Console) -> Iterator[View]:
        yield Impatient()

    monkeypatch.setattr(demo, "view_on", impatient)
    status, screen = shown(Plan(seconds=60, rate=1000))
    assert status == 0, screen
    assert "The account, after an interrupt" in screen
    assert "They agree" in screen


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there, Ctrl-C is no signal one can send")
def test_the_command_ends_cleanly_at_a_signal() -> None:
    """As a person sees it: the account, status 0, and no traceback."""
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "kinesink.cli", "demo", "--seconds=60", "--rate=500"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": "80"},
    ) as process:
        assert process.stdout is not None
        for row in process.stdout:
            if " logged " in row:
                process.send_signal(signal.SIGINT)
                break
        rest, complaints = process.communicate(timeout=30)
    assert process.returncode == 0, rest + complaints
    assert "after an interrupt" in rest
    assert "They agree" in rest
    assert complaints == ""


def test_the_loggers_are_left_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """Level, propagation and handlers, and what each logger remembers of its level."""
    monkeypatch.setattr(Workload, "start", lambda _self, _log: None)
    monkeypatch.setattr(Workload, "stop", lambda _: None)
    monkeypatch.setattr(Workload, "wait_ended", lambda _self, _timeout: True)
    logger = logging.getLogger("shop")
    status, screen = shown(Plan())
    assert status == 1
    assert "nothing was logged" in screen
    assert (logger.level, logger.propagate, logger.handlers) == (logging.NOTSET, True, [])
    assert not logger.isEnabledFor(logging.DEBUG)


class TestDummyAccount:
    """The environment of a demonstration."""

    def test_it_hides_what_the_user_has_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Neither an account nor an endpoint of theirs is ever talked to."""
        monkeypatch.setenv("AWS_PROFILE", "production")
        monkeypatch.setenv("KINESINK_ENDPOINT_URL", "https://production")
        with dummy_account("eu-west-1"):
            assert "AWS_PROFILE" not in os.environ
            assert "KINESINK_ENDPOINT_URL" not in os.environ
            assert os.environ["AWS_CONFIG_FILE"] == os.devnull
            assert os.environ["NO_PROXY"] == "*"
        assert os.environ["AWS_PROFILE"] == "production"

    def test_it_is_put_back_whatever_happens(self) -> None:
        """An error included."""
        before = dict(os.environ)
        with pytest.raises(ValueError, match="amiss"), dummy_account("eu-west-1"):
            raise ValueError("amiss")
        assert dict(os.environ) == before


class TestConsumer:
    """The consumer, over HTTP, against what other producers wrote."""

    def test_it_reads_single_records_and_aggregates(self) -> None:
        """Both are what producers write."""
        seen = self.seen(EVENT, aggregated(("key", None, EVENT), ("key", 0, EVENT)))
        assert (seen.events, seen.aggregates) == (3, 1)

    def test_it_drops_an_aggregate_with_an_event_astray(self) -> None:
        """As the Kinesis Client Library does, without a word; the account must show it."""
        astray = aggregated(("key", 0, EVENT), ("key", 2**128 - 1, EVENT))
        seen = self.seen(astray, shards=2)
        assert seen.events == 0

    def test_it_reads_on_while_it_is_behind(self) -> None:
        """One answer holds no more than 10 MiB."""
        late = Rewrite(
            operation="GetRecords",
            times=2,
            change=lambda answer: {**answer, "MillisBehindLatest": 5},
        )
        assert self.seen(EVENT, fault=late).events == 1

    def seen(self, *records: bytes, shards: int = 1, fault: Fault | None = None) -> Seen:
        """Return what the consumer has seen of a stream with these records."""
        fake = FakeKinesis()
        fake.create_stream(STREAM_NAME, shards=shards)
        for data in records:
            fake.put(STREAM_NAME, data, explicit_hash_key=0)
        if fault is not None:
            fake.script(fault)
        with fake.serve() as server:
            consumer = Consumer(server.endpoint_url)
            consumer.finish()
            consumer.run()
        return consumer.observation.seen()


class TestWorkload:
    """The application that logs."""

    @pytest.mark.slow
    def test_it_logs_at_the_rate_asked_for(self) -> None:
        """All threads together, to the event."""
        workload = Workload(Plan(seconds=0.3, rate=200, threads=3))
        said: list[Said] = []
        workload.start(said.append)
        assert not workload.wait_ended(0.01)
        assert workload.wait_ended(10)
        assert workload.logged == len(said) == 60

    def test_it_stops_when_told(self) -> None:
        """And leaves no thread behind."""
        before = set(threading.enumerate())
        workload = Workload(Plan(seconds=60))
        workload.start(id)
        own = set(threading.enumerate()) - before
        workload.stop()
        assert own
        assert not own & set(threading.enumerate())

    def test_its_events_are_of_each_kind(self) -> None:
        """Levels, fields, an exception now and then; each carries its number."""
        events = [event_of(number) for number in range(250)]
        assert {event.level for event in events} == {
            logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR,
        }  # fmt: skip
        assert [event.fields["sequence"] for event in events] == list(range(250))
        (failed,) = [event for event in events if event.error is not None]
        assert failed.text == "order 10100 not paid"


class TestDoors:
    """The libraries that the shop logs by."""

    @pytest.mark.parametrize("door", KINDS)
    def test_the_same_events_arrive_whatever_the_door(self, door: Door) -> None:
        """With level, logger, message, attributes and exception; and counted."""
        fake = FakeKinesis()
        fake.create_stream(STREAM_NAME)
        said = [event_of(number) for number in (0, 1, 20, 100)]
        with dummy_account("eu-west-1"), fake.serve() as server:
            parameters = {"stream_name": STREAM_NAME, "endpoint_url": server.endpoint_url}
            with KINDS[door].open(parameters) as opened:
                for event in said:
                    opened.log(event)
                assert opened.flush(30)
        assert opened.statistics().delivered == 4
        arrived = [json.loads(record.data) for record in fake.user_records(STREAM_NAME)]
        assert [event["message"] for event in arrived] == [event.text for event in said]
        assert [event["level"] for event in arrived] == ["INFO", "DEBUG", "WARNING", "ERROR"]
        assert [event["logger"] for event in arrived] == [event.logger for event in said]
        assert [event["attributes"]["sequence"] for event in arrived] == [0, 1, 20, 100]
        assert arrived[3]["exception"]["type"] == "RuntimeError"
        assert "refuses the card" in arrived[3]["exception"]["message"]
        assert "Traceback" in arrived[3]["exception"]["stacktrace"]

    def test_a_library_of_which_even_the_package_is_missing_is_not_installed(self) -> None:
        """OpenTelemetry's is a part of a package that is there or not."""
        kind = KINDS["otel"]
        assert kind.is_installed
        assert not kind._replace(needs="nowhere.at_all").is_installed
        assert not kind._replace(needs="nowhere").is_installed

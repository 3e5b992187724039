"""OpenTelemetry's own ways to configure an exporter, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from kinesink import KinesisLogRecordExporter
from tests.adapters.otel.support import events_in
from tests.shell.support import PATIENCE, make_fake, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink.testing import FakeKinesis

INSTRUMENT = Path(sys.executable).with_name("opentelemetry-instrument")

instrumented = pytest.mark.skipif(
    not INSTRUMENT.exists() or find_spec("opentelemetry.instrumentation.logging") is None,
    reason="auto-instrumentation is not installed",
)

QUIET = 1.0
"""Seconds without a request that show that none causes another; ten times what would pass."""

LOGGING = """
import logging
log = logging.getLogger("shop.orders")
log.warning("order %d accepted", 7, extra={"user": "ann"})
try:
    1 / 0
except ZeroDivisionError:
    log.exception("order failed")
"""


class Ended(NamedTuple):
    """What an instrumented program has said."""

    out: str
    err: str


class Program:
    """A program under auto-instrumentation, which reads a line before it ends if it likes."""

    def __init__(self, fake: FakeKinesis, source: str, **variables: str) -> None:
        self._server = fake.serve()
        url = self._server.__enter__().endpoint_url
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "OTEL_SERVICE_NAME": "shop",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_BLRP_SCHEDULE_DELAY": "100",
            "KINESINK_ENDPOINT_URL": url,
            "KINESINK_LINGER": "0.01",
            **variables,
        }
        self._process = subprocess.Popen(  # noqa: S603 - our own words
            [str(INSTRUMENT), sys.executable, "-c", source],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self) -> Ended:
        """Let the program go on, and wait for its end."""
        out, err = self._process.communicate("\n", timeout=50)
        assert self._process.returncode == 0, err
        return Ended(out, err)

    def close(self) -> None:
        """Leave nothing behind."""
        self._process.kill()
        said = self._process.communicate()
        # Seen only where a test has failed.
        sys.stderr.writelines(said)
        self._server.__exit__(None, None, None)


class Programs:
    """Starts programs, and ends what a test has not."""

    def __init__(self) -> None:
        self.fake = make_fake()
        self._started: list[Program] = []

    def start(self, source: str, **variables: str) -> Program:
        """Start a program."""
        program = Program(self.fake, source, **variables)
        self._started.append(program)
        return program

    def run(self, source: str, **variables: str) -> Ended:
        """Run a program to its end."""
        return self.start(source, **variables).end()

    def close(self) -> None:
        """End all."""
        for program in self._started:
            program.close()


@pytest.fixture
def programs() -> Iterator[Programs]:
    """Return what starts programs against a fake."""
    programs = Programs()
    yield programs
    programs.close()


def test_the_exporter_is_found_by_its_name() -> None:
    """In the group that the SDK looks into."""
    (found,) = entry_points(group="opentelemetry_logs_exporter", name="kinesis")
    assert found.load() is KinesisLogRecordExporter


@instrumented
@pytest.mark.slow
class TestAutoInstrumentation:
    """Variables alone make a program ship its logs."""

    def test_a_program_that_only_logs(self, programs: Programs) -> None:
        """Its records arrive with message, level, logger and service, no code needed."""
        ended = programs.run(LOGGING, OTEL_LOGS_EXPORTER="kinesis", KINESINK_STREAM_NAME="app")
        first, second = sorted(events_in(programs.fake), key=lambda event: event["timestamp"])
        assert (first["message"], first["level"]) == ("order 7 accepted", "WARNING")
        assert (first["logger"], first["service"]) == ("shop.orders", "shop")
        assert (first["severity_number"], first["attributes"]["user"]) == (13, "ann")
        assert (second["message"], second["level"]) == ("order failed", "ERROR")
        assert second["exception"]["type"] == "ZeroDivisionError"
        assert second["exception"]["stacktrace"].endswith("ZeroDivisionError: division by zero\n")
        assert "kinesink" not in ended.err

    def test_beside_another_exporter(self, programs: Programs) -> None:
        """Each gets every record."""
        ended = programs.run(
            LOGGING, OTEL_LOGS_EXPORTER="kinesis,console", KINESINK_STREAM_NAME="app"
        )
        assert len(events_in(programs.fake)) == 2
        assert "order 7 accepted" in ended.out

    def test_an_encoding_by_a_variable(self, programs: Programs) -> None:
        """One Kinesis record per request."""
        programs.run(
            LOGGING,
            OTEL_LOGS_EXPORTER="kinesis",
            KINESINK_STREAM_NAME="app",
            KINESINK_ENCODING="otlp_json",
        )
        data = [record.data for record in programs.fake.records("app")]
        assert all(each.startswith(b'{"resourceLogs":') for each in data)
        assert b"order 7 accepted" in b"".join(data)

    def test_without_a_stream_the_program_runs_and_the_variable_is_named(
        self, programs: Programs
    ) -> None:
        """Auto-instrumentation says why it failed."""
        ended = programs.run("print('it runs')", OTEL_LOGS_EXPORTER="kinesis")
        assert "it runs" in ended.out
        assert "KINESINK_STREAM_NAME" in ended.err

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_kinesink_s_own_work_makes_no_spans_and_no_records(
        self, programs: Programs, backend: str
    ) -> None:
        """With httpx and botocore instrumented and root at DEBUG, while the application's do."""
        source = f"""
import logging, os, httpx
logging.getLogger().setLevel(logging.DEBUG)
logging.getLogger("shop").info("began")
from opentelemetry import trace
with trace.get_tracer("shop").start_as_current_span("order"):
    httpx.get(os.environ["KINESINK_ENDPOINT_URL"])
{LOGGING}
print("ready", flush=True)
input()
"""
        program = programs.start(
            source,
            OTEL_LOGS_EXPORTER="kinesis",
            OTEL_TRACES_EXPORTER="console",
            KINESINK_STREAM_NAME="app",
            KINESINK_BACKEND=backend,
        )
        fake = programs.fake
        wait_until(lambda: "order failed" in [event["message"] for event in events_in(fake)])
        _wait_for_quiet(fake)
        ended = program.end()
        assert '"name": "order"' in ended.out
        assert '"name": "GET"' in ended.out
        assert '"name": "POST"' not in ended.out
        assert "PutRecords" not in ended.out
        loggers = {event["logger"] for event in events_in(fake)}
        # The application's own request is heard of, and no other.
        messages = [event["message"] for event in events_in(fake)]
        requests = [message for message in messages if message.startswith("HTTP Request:")]
        assert len(requests) == 1
        assert requests[0].startswith("HTTP Request: GET")
        assert {"shop", "shop.orders", "httpx"} <= loggers
        assert not any(name.startswith(("botocore.auth", "kinesink")) for name in loggers)

    def test_the_spans_of_a_record_are_those_of_the_application(self, programs: Programs) -> None:
        """Trace and span id of where it was logged."""
        source = """
import logging
from opentelemetry import trace
with trace.get_tracer("shop").start_as_current_span("order") as span:
    logging.getLogger("shop").warning("inside")
print(format(span.get_span_context().trace_id, "032x"))
"""
        ended = programs.run(source, OTEL_LOGS_EXPORTER="kinesis", KINESINK_STREAM_NAME="app")
        (event,) = events_in(programs.fake)
        assert event["trace_id"] == ended.out.strip()
        assert len(event["span_id"]) == 16

    def test_a_file_configures_it_by_keywords(self, programs: Programs, tmp_path: Path) -> None:
        """Declarative configuration hands its mapping over."""
        pytest.importorskip("opentelemetry.configuration")
        file = tmp_path / "otel.yaml"
        file.write_text("""
file_format: "1.0"
resource:
  attributes:
    - name: service.name
      value: from-the-file
logger_provider:
  processors:
    - batch:
        schedule_delay: 100
        exporter:
          kinesis:
            stream_name: app
            linger: 10ms
            static_fields: {team: orders}
            max_event_bytes: 64KiB
            export_timeout: 20
    - simple:
        exporter:
          kinesis:
            stream_name: app
            encoding: otlp_proto
""")
        source = f"{LOGGING}\nfrom opentelemetry._logs import get_logger_provider\n"
        ended = programs.run(source, OTEL_CONFIG_FILE=str(file))
        records = [record.data for record in programs.fake.user_records("app")]
        assert len(records) == 4, ended.err
        lines = sorted(data for data in records if data.startswith(b"{"))
        assert len(lines) == 2
        assert b'"service":"from-the-file"' in lines[0]
        assert b'"team":"orders"' in lines[0]

    def test_a_mistake_in_a_file_is_named(self, programs: Programs, tmp_path: Path) -> None:
        """The program runs without logs."""
        pytest.importorskip("opentelemetry.configuration")
        file = tmp_path / "otel.yaml"
        file.write_text("""
file_format: "1.0"
logger_provider:
  processors:
    - simple:
        exporter:
          kinesis:
            stream_name: app
            lingr: 10ms
""")
        ended = programs.run("print('it runs')", OTEL_CONFIG_FILE=str(file))
        assert "it runs" in ended.out
        assert "lingr" in ended.err


def _wait_for_quiet(fake: FakeKinesis) -> None:
    """Wait until no request has come for a while."""
    deadline = time.monotonic() + PATIENCE
    count, since = fake.count("PutRecords"), time.monotonic()
    while time.monotonic() - since < QUIET:
        assert time.monotonic() < deadline, "each request causes the next"
        time.sleep(0.01)
        if fake.count("PutRecords") != count:
            count, since = fake.count("PutRecords"), time.monotonic()

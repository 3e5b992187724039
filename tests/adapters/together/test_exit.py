"""The end of a process that logs through OpenTelemetry or structlog and closes nothing."""

from __future__ import annotations

import re
import socket
import time
from typing import Final

import pytest

from tests.shell.scripts import run_against, run_script
from tests.shell.support import landed, make_fake

pytestmark = pytest.mark.slow

PROVIDER: Final = """
from opentelemetry.sdk._logs import LoggerProvider
provider = LoggerProvider()
"""
PROCESSOR: Final = """
from kinesink import KinesisLogRecordProcessor
provider.add_log_record_processor(KinesisLogRecordProcessor("app"))
"""
EXPORTER: Final = """
from kinesink import KinesisLogRecordExporter
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
provider.add_log_record_processor(BatchLogRecordProcessor(KinesisLogRecordExporter("app")))
"""
LOG: Final = """
from opentelemetry._logs import LogRecord
def log(text):
    provider.get_logger("shop").emit(LogRecord(body=text))
"""
IMPORTED_FIRST: Final = "import kinesink.shell.sink\n"
STRUCTLOG: Final = """
import structlog, kinesink
structlog.configure(processors=[kinesink.KinesisProcessor("app", drop=True)])
def log(text):
    structlog.get_logger().info(text)
"""

WAYS: Final = {
    "processor": f"{PROVIDER}{PROCESSOR}{LOG}",
    "exporter": f"{PROVIDER}{EXPORTER}{LOG}",
    # The hook of the provider then runs before ours, and not after it.
    "processor, kinesink imported first": f"{IMPORTED_FIRST}{PROVIDER}{PROCESSOR}{LOG}",
    "exporter, kinesink imported first": f"{IMPORTED_FIRST}{PROVIDER}{EXPORTER}{LOG}",
    "structlog": STRUCTLOG,
}


@pytest.mark.parametrize("way", WAYS)
def test_what_was_logged_is_delivered(way: str, anyio_backend: str) -> None:
    """T12: once each, and nothing is said."""
    fake = make_fake()
    source = f"{WAYS[way]}\nfor number in range(700): log(f'event {{number}}')\n"
    ran = run_against(fake, source, KINESINK_BACKEND=anyio_backend, KINESINK_SHUTDOWN_TIMEOUT="20")
    assert (ran.status, ran.err) == (0, "")
    assert len(landed(fake)) == 700


@pytest.mark.parametrize("way", WAYS)
def test_an_endpoint_that_is_down_delays_the_exit_by_one_timeout(
    way: str, anyio_backend: str
) -> None:
    """T13: however many hooks wait for it, the deadline is the process's, and the loss is told."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        source = f"{WAYS[way]}\nfor number in range(700): log(f'event {{number}}')\n"
        ran = run_script(
            f"{source}import time\nprint(time.time())\n",
            KINESINK_ENDPOINT_URL=f"http://localhost:{reserved.getsockname()[1]}",
            KINESINK_BACKEND=anyio_backend,
            KINESINK_SHUTDOWN_TIMEOUT="5",
        )
        took = time.time() - float(ran.out)
    assert ran.status == 0
    lost = re.findall(r"kinesink: (\d+) events .* not delivered", ran.err)
    # What a hook of others hands over when ours has ended is told by itself.
    assert 1 <= len(lost) <= 2, ran.err
    assert sum(map(int, lost)) == 700
    # The timeout once, half a second each to tell of the loss, and a busy machine's share.
    assert took < 2 * 5

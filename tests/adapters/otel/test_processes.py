"""The end and the fork of a process that logs through OpenTelemetry."""

from __future__ import annotations

import os

import pytest

from tests.adapters.otel.support import events_in, messages_in
from tests.shell.scripts import run_against
from tests.shell.support import make_fake

pytestmark = pytest.mark.slow

PROCESSOR = "processor = kinesink.KinesisLogRecordProcessor('app')"
EXPORTER = """
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
processor = BatchLogRecordProcessor(kinesink.KinesisLogRecordExporter('app'))
"""
SIMPLE = """
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
processor = SimpleLogRecordProcessor(kinesink.KinesisLogRecordExporter('app'))
"""

ways = pytest.mark.parametrize(
    "way", [PROCESSOR, EXPORTER, SIMPLE], ids=["processor", "batch", "simple"]
)

AFTER = """
import kinesink
{way}
from opentelemetry.sdk._logs import LoggerProvider
provider = LoggerProvider()
provider.add_log_record_processor(processor)
"""

BEFORE = """
from opentelemetry.sdk._logs import LoggerProvider
provider = LoggerProvider()
import kinesink
{way}
provider.add_log_record_processor(processor)
"""

LOG = """
import os
logger = provider.get_logger("app.orders")
def log(name, count=100):
    for number in range(count):
        logger.emit(body=f"{name} {number:03}", attributes={"pid": os.getpid()})
"""


def messages(*names: str, count: int = 100) -> list[str]:
    """Return what each name has logged."""
    return sorted(f"{name} {number:03}" for name in names for number in range(count))


@ways
@pytest.mark.parametrize("made", [BEFORE, AFTER], ids=["before", "after"])
def test_what_was_logged_is_delivered_at_the_end(way: str, made: str, anyio_backend: str) -> None:
    """Whether the provider's exit hook runs before ours or after it (T12)."""
    fake = make_fake()
    ran = run_against(
        fake,
        f"{made.format(way=way)}{LOG}log('one')",
        KINESINK_BACKEND=anyio_backend,
        KINESINK_SHUTDOWN_TIMEOUT="20",
    )
    assert (ran.status, ran.err) == (0, "")
    assert messages_in(fake) == messages("one")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@ways
def test_parent_and_child_go_on_after_a_fork(way: str, anyio_backend: str) -> None:
    """Each event arrives once, from the process that has logged it, and says so."""
    fake = make_fake()
    ran = run_against(
        fake,
        f"""
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
{AFTER.format(way=way)}{LOG}
log("before")
if os.fork():
    log("parent")
    assert os.wait()[1] == 0
else:
    log("child")
    provider.shutdown()
    os._exit(0)
""",
        KINESINK_BACKEND=anyio_backend,
        KINESINK_SHUTDOWN_TIMEOUT="20",
    )
    assert (ran.status, ran.err) == (0, "")
    assert messages_in(fake) == messages("before", "parent", "child")
    events = events_in(fake)
    assert all(event["pid"] == event["attributes"]["pid"] for event in events)
    assert len({event["pid"] for event in events}) == 2

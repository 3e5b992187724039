"""S7: cached loggers and processors go on in a forked child, each with its own events."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.shell.scripts import run_against
from tests.shell.support import make_fake

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]

SCRIPT = """
import os, warnings
import structlog
from kinesink import KinesisLoggerFactory, KinesisProcessor
warnings.simplefilter("ignore", DeprecationWarning)
structlog.configure(
    processors=[{processors}],
    logger_factory={factory},
    cache_logger_on_first_use=True,
)
log = structlog.get_logger("app")
def emit(name):
    for number in range(50):
        log.info(f"{{name}} {{number}}", pid=os.getpid())
emit("before")
child = os.fork()
if child:
    emit("parent")
    assert os.waitpid(child, 0)[1] == 0
else:
    emit("child")
    os._exit(0 if {door}.flush(20) else 1)
"""

PROCESSOR = {
    "processors": "door := KinesisProcessor('app', drop=True)",
    "factory": "structlog.ReturnLoggerFactory()",
    "door": "door",
}
FACTORY = {
    "processors": "structlog.processors.JSONRenderer()",
    "factory": "(door := KinesisLoggerFactory('app'))",
    "door": "door",
}


def said(event: dict[str, Any]) -> str:
    """Return the message of an event, whoever has written it."""
    return str(event.get("message", event.get("event")))


@pytest.mark.parametrize("chain", [PROCESSOR, FACTORY], ids=["processor", "factory"])
def test_s7_each_event_arrives_once(anyio_backend: str, chain: dict[str, str]) -> None:
    """What is pending at the fork is the parent's; the child says which process it is."""
    fake = make_fake()
    ran = run_against(
        fake, SCRIPT.format(**chain), KINESINK_BACKEND=anyio_backend, KINESINK_SHUTDOWN_TIMEOUT="20"
    )
    assert (ran.status, ran.err) == (0, "")
    events = [json.loads(record.data) for record in fake.user_records("app")]
    expected = {
        f"{name} {number}" for name in ("before", "parent", "child") for number in range(50)
    }
    assert sorted(map(said, events)) == sorted(expected)
    # The field of the event, where the processor has written it, is the process that logged.
    for event in events:
        assert event["pid"] == event.get("attributes", event)["pid"]
    children = {event["pid"] for event in events if said(event).startswith("child")}
    assert len(children) == 1
    assert len({event["pid"] for event in events}) == 2

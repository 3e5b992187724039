"""S6: a process that ends delivers what it has logged, however it ends."""

from __future__ import annotations

import socket

import pytest

from tests.shell.scripts import run_against, run_script
from tests.shell.support import landed, make_fake

pytestmark = pytest.mark.slow

WITH_SINK = """
import kinesink
sink = kinesink.Sink(kinesink.Config.from_environment(stream_name="app"))
def log(text):
    sink.emit(text.encode())
"""
WITH_HANDLER = """
import logging, kinesink
handler = kinesink.KinesisHandler("app")
handler.setFormatter(logging.Formatter("%(message)s"))
logging.basicConfig(level="INFO", handlers=[handler])
def log(text):
    logging.getLogger("shop").info(text)
"""

ENDINGS = {
    "end of main": ("", "log('one')", 0),
    "sys.exit": ("", "log('one'); import sys; sys.exit(3)", 3),
    "unhandled exception": ("", "log('one'); 1 / 0", 1),
    "a thousand and the end": ("", "for _ in range(1000): log('one')", 0),
    "first emit in a hook registered before the import": (
        "import atexit; atexit.register(lambda: log('one'))", "", 0,
    ),
    "first emit in a hook registered after the import": (
        "", "import atexit; atexit.register(lambda: log('one'))", 0,
    ),
    "emit before and in a hook registered before the import": (
        "import atexit; atexit.register(lambda: log('one'))", "log('one')", 0,
    ),
}  # fmt: skip
COUNTS = {
    "a thousand and the end": 1000,
    "emit before and in a hook registered before the import": 2,
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("way", [WITH_SINK, WITH_HANDLER], ids=["sink", "handler"])
def test_s6_what_was_logged_is_delivered(way: str, ending: str, anyio_backend: str) -> None:
    """Once each, silently, with the exit status that the program has chosen."""
    before, after, status = ENDINGS[ending]
    fake = make_fake()
    source = f"{before}\n{way}\n{after}\n"
    ran = run_against(fake, source, KINESINK_BACKEND=anyio_backend, KINESINK_SHUTDOWN_TIMEOUT="20")
    assert ran.status == status, ran.err
    said = ran.err.replace("Traceback (most recent call last):", "")
    assert "kinesink:" not in said
    if status != 1:
        assert said == ""
    newline = b"\n" if way == WITH_HANDLER else b""
    assert landed(fake) == [b"one" + newline] * COUNTS.get(ending, 1)


def test_s6_an_endpoint_that_is_down_delays_the_exit_by_the_timeout_at_most(
    anyio_backend: str,
) -> None:
    """One line says how many events and bytes were not delivered, and why."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://localhost:{reserved.getsockname()[1]}"
        ran = run_script(
            f"{WITH_HANDLER}\nlog('one'); log('two')",
            KINESINK_ENDPOINT_URL=url,
            KINESINK_BACKEND=anyio_backend,
            KINESINK_SHUTDOWN_TIMEOUT="4",
        )
    assert ran.status == 0
    lines = [line for line in ran.err.splitlines() if "not delivered" in line]
    assert len(lines) == 1, ran.err
    assert lines[0].startswith(
        "kinesink: 2 events (8 bytes) not delivered to 'app' within 4 s; last error: "
    )
    assert ran.seconds < 15


def test_s6_an_event_from_a_finalizer_at_the_very_end_is_told() -> None:
    """It comes too late to be sent, and is not passed over in silence."""
    source = f"""
{WITH_SINK}
class Late:
    def __del__(self):
        log("late")
late = Late()
late.self = late
"""
    fake = make_fake()
    ran = run_against(fake, source)
    assert ran.status == 0
    assert "1 event (4 bytes) not delivered to 'app'" in ran.err


def test_importing_kinesink_imports_nothing_heavy() -> None:
    """Nor does making a handler: no event loop, HTTP client or AWS library."""
    source = """
import sys
import kinesink
heavy = {"anyio", "asyncio", "trio", "httpx", "botocore"} & set(sys.modules)
assert not heavy, heavy
assert not any(name.startswith("kinesink.") for name in sys.modules if name != "kinesink._version")
kinesink.KinesisHandler("app")
kinesink.Sink(kinesink.Config("app"))
heavy = {"anyio", "trio", "httpx", "botocore"} & set(sys.modules)
assert not heavy, heavy
import threading
assert threading.active_count() == 1
"""
    ran = run_script(source)
    assert (ran.status, ran.err) == (0, "")

"""Logging that is configured again and again, shut down, captured, or run by somebody's loop."""

from __future__ import annotations

import json
import re
import socket
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.shell.scripts import run_against, run_script
from tests.shell.support import make_fake

if TYPE_CHECKING:
    from pathlib import Path

    from kinesink.testing import FakeKinesis

pytestmark = pytest.mark.slow

PRELUDE = """
import gc, logging, logging.config, os, sys, threading, time
import kinesink
from kinesink.shell.sink import SINKS

def configure(**more):
    logging.config.dictConfig({
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"kinesis": {"class": "kinesink.KinesisHandler", "stream_name": "app"}},
        "root": {"level": "INFO", "handlers": ["kinesis"]},
        **more,
    })

def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, [threading.enumerate(), list(SINKS)]
        time.sleep(0.01)

def nothing_is_left():
    gc.collect()
    return not len(SINKS) and threading.active_count() == 1
"""


def messages(fake: FakeKinesis) -> Counter[str]:
    """Return what each message says before the first blank, and how often."""
    events = [json.loads(record.data)["message"] for record in fake.user_records("app")]
    assert len(set(events)) == len(events)
    return Counter(event.partition(" ")[0] for event in events)


def test_a_hundred_times_while_threads_log(anyio_backend: str) -> None:
    """No event is lost and no thread is left, though each time closes every handler."""
    fake = make_fake()
    ran = run_against(
        fake,
        f"""{PRELUDE}
# A handler of nobody's configuration, which every configuration closes all the same.
steady = logging.getLogger("steady")
steady.propagate = False
steady.addHandler(kinesink.KinesisHandler("app"))
configured = threading.Event()
counts = [0] * 4
def traffic(index):
    while not configured.is_set():
        steady.info("t%d %d", index, counts[index])
        counts[index] += 1
        time.sleep(0.001)
configure()
threads = [threading.Thread(target=traffic, args=(index,)) for index in range(4)]
for thread in threads:
    thread.start()
for number in range(100):
    configure()
    logging.getLogger("shop").info("main %d", number)
configured.set()
for thread in threads:
    thread.join()
assert kinesink.flush()
print(*counts)
configure(root={{"handlers": []}})
for kept in steady.handlers[:]:
    steady.removeHandler(kept)
    kept.close()
del kept
wait_until(nothing_is_left)
""",
        KINESINK_BACKEND=anyio_backend,
        KINESINK_SHUTDOWN_TIMEOUT="20",
    )
    assert (ran.status, ran.err) == (0, "")
    counts = {f"t{index}": int(count) for index, count in enumerate(ran.out.split())}
    assert all(counts.values())
    assert messages(fake) == counts | {"main": 100}


def test_an_endpoint_that_hangs_holds_no_configuration_up(anyio_backend: str) -> None:
    """Nor a fork or another thread that waits for the lock of logging meanwhile."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(128)
        ran = run_script(
            f"""{PRELUDE}
configure()
logger = logging.getLogger("shop")
done = threading.Event()
def traffic():
    while not done.is_set():
        # Makes the caches cold, so that the next call takes the lock.
        logger.setLevel("INFO")
        logger.info("x")
        time.sleep(0.001)
def forks():
    while hasattr(os, "fork") and not done.is_set():
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        forked.append(child)
forked = []
threads = [threading.Thread(target=target, daemon=True) for target in (traffic, forks)]
logger.info("x")
kinesink.flush(0.5)
for thread in threads:
    thread.start()
began = time.monotonic()
for _ in range(10):
    before = len(forked)
    configure()
    logger.info("y")
    wait_until(lambda: len(forked) > before or not hasattr(os, "fork"))
# Each of both would take 5 s, if it waited.
assert time.monotonic() - began < 30
done.set()
for thread in threads:
    thread.join()
""",
            KINESINK_ENDPOINT_URL=f"http://127.0.0.1:{silent.getsockname()[1]}",
            KINESINK_BACKEND=anyio_backend,
            KINESINK_SHUTDOWN_TIMEOUT="5",
        )
    assert ran.status == 0, ran.err
    assert "not delivered" in ran.err
    assert ran.seconds < 45


def test_loggers_that_are_disabled_and_those_that_are_named(anyio_backend: str) -> None:
    """What logging disables is not shipped; a logger that is named goes on."""
    fake = make_fake()
    ran = run_against(
        fake,
        f"""{PRELUDE}
configure()
gone, kept = logging.getLogger("gone"), logging.getLogger("kept")
gone.info("gone before")
kept.info("kept before")
configure(disable_existing_loggers=True, loggers={{"kept": {{"level": "INFO"}}}})
gone.info("never")
kept.info("kept after")
logging.getLogger("new").info("new after")
assert kinesink.flush()
""",
        KINESINK_BACKEND=anyio_backend,
        KINESINK_SHUTDOWN_TIMEOUT="20",
    )
    assert (ran.status, ran.err) == (0, "")
    assert messages(fake) == {"gone": 1, "kept": 2, "new": 1}


def test_logging_goes_on_after_its_shutdown(anyio_backend: str) -> None:
    """The application's own ``logging.shutdown`` is a flush, and what comes later is delivered."""
    fake = make_fake()
    ran = run_against(
        fake,
        f"""{PRELUDE}
configure()
(handler,) = logging.getLogger().handlers
logger = logging.getLogger("shop")
for number in range(3):
    logger.info("one %d", number)
logging.shutdown()
assert handler.statistics().delivered == 3
for number in range(3):
    logger.info("two %d", number)
logging.shutdown()
logger.info("three")
""",
        KINESINK_BACKEND=anyio_backend,
        KINESINK_SHUTDOWN_TIMEOUT="20",
    )
    assert (ran.status, ran.err) == (0, "")
    assert messages(fake) == {"one": 3, "two": 3, "three": 1}


UNDER_TEST = """
import logging, sys
import pytest, kinesink

@pytest.fixture(autouse=True)
def shipped():
    handler = kinesink.KinesisHandler("app")
    root = logging.getLogger()
    root.setLevel("INFO")
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)

def test_streams(capsys):
    print("to the test")
    logging.getLogger("shop").info("streams")
    assert capsys.readouterr() == ("to the test\\n", "")

def test_descriptors(capfd):
    logging.getLogger("shop").info("descriptors")
    assert kinesink.flush(FLUSH)
    assert capfd.readouterr() == ("", "")
"""
WITH_CAPLOG = """
def test_records(caplog):
    logging.getLogger("shop").info("records")
    assert [record.message for record in caplog.records] == ["records"]
"""
CAPTURES = {
    "as usual": [],
    "sys": ["--capture=sys"],
    "none": ["--capture=no"],
    "without its logging": ["-p", "no:logging"],
}


@pytest.mark.parametrize("capture", CAPTURES)
def test_pytest_captures(capture: str, anyio_backend: str, tmp_path: Path) -> None:
    """Tests see what they wrote and nothing of ours, and every event arrives."""
    options = CAPTURES[capture]
    caplog = "no:logging" not in options
    test = UNDER_TEST.replace("FLUSH", "20") + (WITH_CAPLOG if caplog else "")
    (tmp_path / "test_shop.py").write_text(test)
    options = ["-q", "-W", "error", "-p", "no:cacheprovider", "-p", "no:randomly", *options]
    options += ["--rootdir", str(tmp_path), str(tmp_path)]
    fake = make_fake()
    ran = run_against(
        fake,
        f"import pytest, sys; sys.exit(pytest.main({options!r}))",
        KINESINK_BACKEND=anyio_backend,
        KINESINK_SHUTDOWN_TIMEOUT="20",
    )
    assert (ran.status, ran.err) == (0, ""), ran.out
    expected = {"streams": 1, "descriptors": 1} | ({"records": 1} if caplog else {})
    assert messages(fake) == expected


def test_a_loss_is_told_when_pytest_has_ended(anyio_backend: str, tmp_path: Path) -> None:
    """The streams of a test are closed by then, and its verdict stands."""
    (tmp_path / "test_shop.py").write_text(
        UNDER_TEST.replace("assert kinesink.flush(FLUSH)", "kinesink.flush(0)")
    )
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        ran = run_script(
            f"import pytest, sys; sys.exit(pytest.main({options!r}))",
            KINESINK_ENDPOINT_URL=f"http://127.0.0.1:{reserved.getsockname()[1]}",
            KINESINK_BACKEND=anyio_backend,
            KINESINK_SHUTDOWN_TIMEOUT="1",
        )
    assert ran.status == 0, ran.out
    # Each handler that is gone leaves its sink to end by itself.
    told = re.findall(r"(\d+) events? \(\d+ bytes\) not delivered", ran.err)
    assert sum(map(int, told)) == 2, ran.err
    assert "Traceback" not in ran.err


CELLS = """
import logging, threading, kinesink
handler = kinesink.KinesisHandler("app")
logger = logging.getLogger("shop")
logger.addHandler(handler)
logger.setLevel("INFO")
# ---
logger.info("first 1")
assert await handler.aflush()
assert handler.statistics().delivered == 1
# ---
logger.info("second 1")
logger.info("second 2")
assert await kinesink.aflush()
assert handler.statistics().delivered == 3
# ---
# Blocks the loop, and ends all the same.
logger.info("third 1")
handler.close()
assert handler.statistics().delivered == 4
# ---
logger.info("fourth 1")
"""
LOOPS = {
    "asyncio": "import asyncio; asyncio.run(main())",
    "trio": "import trio; trio.run(main)",
    # Each cell is a task of a loop that runs all the time.
    "notebook": """
import asyncio
loop = asyncio.new_event_loop()
async def cells():
    for cell in CELLS:
        await asyncio.ensure_future(run(cell))
    loop.stop()
task = loop.create_task(cells())
loop.run_forever()
task.result()
loop.close()
""",
}


@pytest.mark.parametrize("loop", LOOPS)
def test_inside_a_loop_of_the_application_s(loop: str, anyio_backend: str) -> None:
    """Logging, flushing and closing work whatever loop runs, and whatever runs the producer."""
    fake = make_fake()
    ran = run_against(
        fake,
        f"""
import ast, inspect, types
CELLS = {CELLS.split("# ---")!r}
names = {{}}
async def run(cell):
    code = compile(cell, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = types.FunctionType(code, names)()
    if inspect.isawaitable(result):
        await result
async def main():
    for cell in CELLS:
        await run(cell)
{LOOPS[loop]}
""",
        KINESINK_BACKEND=anyio_backend,
        KINESINK_SHUTDOWN_TIMEOUT="20",
    )
    assert (ran.status, ran.err) == (0, "")
    assert messages(fake) == {"first": 1, "second": 2, "third": 1, "fourth": 1}

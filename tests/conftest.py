"""What every test gets: two backends for async tests, and integration tests only when asked for."""

from __future__ import annotations

import gc
import inspect
import os
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
from blockbuster import blockbuster_ctx
from coverage import Coverage
from hypothesis import HealthCheck, settings

from kinesink.shell.background import every_background

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockbuster import BlockBusterFunction

    from kinesink.shell.background import Background

pytest_plugins = ["tests.kinesis_mock"]

# Speed is measured by benchmarks; a machine that stands still for a moment breaks no test.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

WITHOUT_EXTRAS = os.environ.get("KINESINK_TEST_WITHOUT_EXTRAS") == "1"
"""Set by the nox session that installs no extra; elsewhere a missing trio is an error."""

_NEED_EXTRAS = [
    "cli",
    "docs",
    "adapters/otel",
    "adapters/structlog",
    "adapters/together",
    "integration/test_doors.py",
]
collect_ignore = _NEED_EXTRAS if WITHOUT_EXTRAS else []


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run the test once on each event loop that anyio knows."""
    backend: str = request.param
    return backend


def _let_coverage_lock(acquire: BlockBusterFunction) -> None:
    """Do not take coverage's lock for one of ours.

    It locks its data whenever its tracer meets a file for the first time, in whatever function
    of ours that may be, and since 7.17.5 without a frame of its own that would tell.
    """
    collector = getattr(Coverage.current(), "_collector", None)
    its_own = getattr(collector, "data_lock", None)
    if its_own is None:
        return
    may_block = acquire.can_block_predicate

    def predicate(lock: object, *arguments: object, **keywords: object) -> bool:
        return lock is its_own or may_block(lock, *arguments, **keywords)

    # What is active keeps the predicate it began with.
    acquire.deactivate()
    acquire.can_block_predicate = predicate
    acquire.activate()


@pytest.fixture(scope="session", autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    """Fail when code of kinesink blocks inside a running asyncio loop."""
    with blockbuster_ctx("kinesink") as blockbuster:
        for name in ("threading.Lock.acquire", "threading.Lock.acquire_lock"):
            _let_coverage_lock(blockbuster.functions[name])
            # An event is set under its lock, which a waiter holds for a moment.
            blockbuster.functions[name].can_block_in("threading.py", "set")
        # In its own thread, so that others go on.
        blockbuster.functions["time.sleep"].can_block_in("kinesink/shell/resting.py", "rest")
        for name, function in blockbuster.functions.items():
            if name.startswith(("sqlite3.", "os.", "io.", "threading.")):
                # A log call of spool_mode="always" is on disk when it returns, wherever it is
                # made; and when a producer ends its loop has nothing else to do.
                function.can_block_in("kinesink/shell/spooler.py", {"keep", "leave", "_close"})
                # A sink may be made in a loop: a relative path asks where this process is.
                function.can_block_in("kinesink/spool/directory.py", "__init__")
        yield


_HEARD: Final = {
    "SIGINT": signal.default_int_handler,
    # The tests live on, and programs get none of their handlers.
    "SIGHUP": lambda _number, _frame: None,
}
"""What is done about signals that ``&`` and nohup would have ignored."""


@pytest.fixture(scope="session", autouse=True)
def signals_are_heard() -> Iterator[None]:
    """Let every program under test hear Ctrl-C and a terminal that hangs up.

    Whoever starts the tests in the background has them ignored, and programs inherit that.
    """
    ignored = {
        signal.Signals[name]: action
        for name, action in _HEARD.items()
        if hasattr(signal, name) and signal.getsignal(signal.Signals[name]) is signal.SIG_IGN
    }
    for number, action in ignored.items():
        signal.signal(number, action)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


_MOST_TO_END: Final = 10.0
"""Seconds after which a producer that still works has been left to itself."""


@contextmanager
def leaving_nothing(patience: float = _MOST_TO_END) -> Iterator[None]:
    """Fail if a producer that began inside still works afterwards, or would if somebody woke it.

    A flush in a later test would wait for it, and the exit tell of it.
    """
    before = _at_work()
    yield
    deadline = time.monotonic() + patience
    if _at_work() - before:
        # A sink that an exception holds, by the frames it has come through.
        gc.collect()
    while (left := _at_work() - before) and time.monotonic() < deadline:
        time.sleep(0.002)
    assert [(each.config.stream_name, each.statistics().pending) for each in left] == []


@pytest.fixture(autouse=True)
def nothing_goes_on() -> Iterator[None]:
    """Fail a test that leaves a producer to later ones."""
    with leaving_nothing():
        yield


def _at_work() -> set[Background]:
    return {each for each in every_background() if each.is_running or each.statistics().pending}


@pytest.fixture(autouse=True)
def no_aws_account_in_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the account, the region and the configuration of whoever runs the tests.

    Without this, botocore also asks the instance metadata service for credentials: the network.
    """
    for name in [name for name in os.environ if name.startswith(("AWS_", "KINESINK_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


# Before anyio's own hook, which looks for the mark and ties the test to `anyio_backend`.
@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: Any) -> None:  # noqa: ANN401 - whatever a module holds
    """Mark every async test for anyio, so that nobody has to."""
    if collector.istestfunction(obj, name) and inspect.iscoroutinefunction(inspect.unwrap(obj)):
        pytest.mark.anyio(obj)


# Before pytest's own hook of this name, which applies -m.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave integration tests out unless -m names them; what uses kinesis-mock is one.

    Not by a default -m, because any -m on the command line would replace it: `-m "not slow"` would
    then reach for Docker.
    """
    for item in items:
        if "kinesis_mock" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.integration)
    left_out = [item for item in items if _is_left_out(item, config.option.markexpr)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _is_left_out(item: pytest.Item, markexpr: str) -> bool:
    if item.get_closest_marker("integration") and "integration" not in markexpr:
        return True
    # Any parameter, for plain tests of what runs an event loop of its own name theirs as they like.
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return WITHOUT_EXTRAS and "trio" in parameters.values()

"""What the other tests rely on: backends, marks, and which tests run by default."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from kinesink.testing import Hang
from tests.conftest import WITHOUT_EXTRAS, leaving_nothing
from tests.shell.support import make_fake, make_sink

INTEGRATION: Final = Path(__file__).with_name("integration")


def running_loop() -> str:
    """Return the name of the event loop that runs the caller."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return "trio"
    return "asyncio"


@pytest.fixture
async def fixture_loop() -> str:
    """Tell where an async fixture runs."""
    return running_loop()


async def test_an_async_test_needs_no_mark(anyio_backend_name: str, fixture_loop: str) -> None:
    """It runs, with its fixtures, on the backend in its name."""
    assert running_loop() == fixture_loop == anyio_backend_name


class TestInAClass:
    """Async tests may be methods."""

    async def test_it_needs_no_mark_either(self, anyio_backend_name: str) -> None:
        """A method is found like a function."""
        assert running_loop() == anyio_backend_name


@pytest.mark.slow
@pytest.mark.parametrize("expression", [None, "not slow", "not integration"])
def test_integration_tests_run_only_when_named(expression: str | None) -> None:
    """No other -m reaches for Docker, nor does a plain run."""
    mark = [] if expression is None else ["-m", expression]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *mark, str(INTEGRATION)]
    # Tests are run without variables of kinesink's; this one is about the tests.
    environment = {**os.environ, "KINESINK_TEST_WITHOUT_EXTRAS": str(int(WITHOUT_EXTRAS))}
    ran = subprocess.run(  # noqa: S603 - ours
        command, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, ran.stdout + ran.stderr


@pytest.mark.parametrize("package", ["trio", "typer", "rich", "structlog", "opentelemetry"])
def test_the_extras_are_there_unless_the_session_leaves_them_out(package: str) -> None:
    """No test dependency brings in what the session without extras promises to be absent."""
    assert (importlib.util.find_spec(package) is None) == WITHOUT_EXTRAS


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there is nothing to ignore")
def test_programs_under_test_hear_signals_that_the_tests_were_to_ignore() -> None:
    """A shell's ``&`` and nohup have them ignored."""
    this = f"{__file__}::test_a_program_under_test_hears_signals"
    ignored = f"""if True:
        import signal, subprocess, sys
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        sys.exit(subprocess.call([sys.executable, "-m", "pytest", "-q", {this!r}]))
    """
    ran = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-c", ignored], capture_output=True, text=True, check=False
    )
    assert ran.returncode == pytest.ExitCode.OK, ran.stdout + ran.stderr
    assert "1 passed" in ran.stdout


@pytest.mark.skipif(os.name == "nt", reason="there is nothing to ignore")
def test_a_program_under_test_hears_signals() -> None:
    """As one does that is started at a terminal."""
    program = """if True:
        import signal
        print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
        print(signal.getsignal(signal.SIGHUP) is signal.SIG_DFL)
    """
    ran = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert ran.stdout.split() == ["True", "True"]


def test_a_producer_that_is_left_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that works on something, and one that nobody has woken; not one that has ended."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    fake = make_fake()
    fake.faults.append(Hang(operation="PutRecords"))
    working, asleep = make_sink(fake), make_sink(fake)
    with pytest.raises(AssertionError, match="'app', 1"), leaving_nothing(patience=0.05):
        working.emit(b"event")
    wake, asleep._intake.wake = asleep._intake.wake, lambda: None
    with pytest.raises(AssertionError, match="'app', 1"), leaving_nothing(patience=0.05):
        asleep.emit(b"event")
    wake()
    fake.faults.clear()
    fake.release()
    with leaving_nothing():
        assert all(sink.close() for sink in (working, asleep))

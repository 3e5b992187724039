"""An application: eight threads log through every door there is, and children are forked.

It does what it reads: each line is the name of a child to be forked; at the end of the
input it closes its sink and ends. A child logs until it is told to stop; every second one
ends like a script, the others as servers end their workers.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kinesink
from tests.torture.program import FIRST_FLUSH, Traffic, memory, tell, tell_account

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from kinesink.adapters.parameters import EventParameters
    from tests.torture.program import Log

FOLDER = Path(sys.argv[1])
PATIENCE = 60.0

LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)


def by_logging(sink: kinesink.Sink, name: str, **options: Unpack[EventParameters]) -> Log:
    """Return what logs through logging's door, at all levels in turn."""
    logger = logging.Logger(f"shop.{name}")  # noqa: LOG001 - out of reach
    logger.addHandler(kinesink.KinesisHandler(sink=sink, **options))
    return lambda text: logger.log(LEVELS[len(text) % 4], "%s", text, extra={"size": len(text)})


def by_structlog(sink: kinesink.Sink) -> Log:
    """Return what logs through structlog's door."""
    import structlog  # noqa: PLC0415 - not everywhere

    logger = structlog.wrap_logger(
        structlog.ReturnLogger(),
        processors=[
            structlog.stdlib.add_log_level,
            kinesink.KinesisProcessor(sink=sink, drop=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    )
    return lambda text: logger.info(text, size=len(text))


def by_opentelemetry(sink: kinesink.Sink) -> Log:
    """Return what emits records of OpenTelemetry's."""
    from opentelemetry._logs import LogRecord, SeverityNumber  # noqa: PLC0415 - not everywhere
    from opentelemetry.sdk._logs import LoggerProvider  # noqa: PLC0415 - as above

    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(kinesink.KinesisLogRecordProcessor(sink=sink))
    logger = provider.get_logger("shop")
    severity = SeverityNumber.INFO
    return lambda text: logger.emit(LogRecord(body=text, severity_number=severity))


def logs_of(sink: kinesink.Sink) -> list[Log]:
    """Return what each of eight threads logs by; without the extras all by logging."""
    keyless = by_logging(sink, "keyless")
    keyed = by_logging(sink, "keyed", partition_key="logger")
    spread = by_logging(sink, "spread", partition_key="size")
    logs = [keyless, keyless, keyed, spread]
    logs += [by_structlog(sink)] * 2 if find_spec("structlog") else [keyless, keyed]
    logs += [by_opentelemetry(sink)] * 2 if find_spec("opentelemetry.sdk") else [keyless, spread]
    return logs


class Application:
    """This process, or the child that it has become."""

    def __init__(self) -> None:
        self.name = "app"
        self.facts: dict[str, Any] = {}
        # Before anything of kinesink's is used, so that it runs after the hook of its own.
        atexit.register(self.tell_account)
        self.sink = kinesink.Sink(kinesink.Config.from_environment(stream_name="app"))

    def tell_account(self) -> None:
        """Print the account."""
        tell_account(self.name, self.sink, **self.facts)

    def run(self) -> None:
        """Do what is read."""
        logs = logs_of(self.sink)
        files = open_files()
        logs[0](f"{self.name}-first 1")
        assert self.sink.flush(FIRST_FLUSH)
        tell(name=self.name, memory=memory("VmRSS"))
        traffic = Traffic(FOLDER, self.name, logs)
        children: list[int] = []
        for line in iter(sys.stdin.readline, ""):
            child = os.fork()
            if child == 0:
                self.be_child(line.strip(), logs, ends_like_a_script=len(children) % 2 == 0)
                return
            children.append(child)
        traffic.wait()
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
        assert self.sink.close()
        self.facts = {"left": left_behind(files)}

    def be_child(self, name: str, logs: list[Log], *, ends_like_a_script: bool) -> None:
        """Log until told to stop."""
        self.name = name
        Traffic(FOLDER, name, [logs[0], logs[3], logs[-1]]).wait()
        if not ends_like_a_script:
            self.sink.flush(PATIENCE)
            self.tell_account()
            os._exit(0)


def open_files() -> int:
    """Return how many files, sockets and pipes are open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the names are enough


def left_behind(files: int) -> list[str]:
    """Return the threads that do not end, and how many files stay open that were not."""
    deadline = time.monotonic() + PATIENCE
    while True:
        threads = [each.name for each in threading.enumerate() if each.name != "MainThread"]
        more = open_files() - files
        left = [*threads, *([f"{more} files"] if more > 0 else [])]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.01)


if __name__ == "__main__":
    # A process with threads forks here, which Python 3.12 warns of.
    warnings.simplefilter("ignore", DeprecationWarning)
    Application().run()

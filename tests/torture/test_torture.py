"""Everything at once: whatever is done to Kinesis and to processes, no event is lost."""

from __future__ import annotations

import os
import random
import re
import sys
import threading
import time
from collections import Counter, defaultdict
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Final

import pytest

from kinesink.testing import FakeKinesis, ShardLimits, check_completeness
from tests.conftest import WITHOUT_EXTRAS
from tests.torture.chaos import STREAM, Chaos, Endpoint
from tests.torture.evidence import Evidence
from tests.torture.processes import PATIENCE, Process, Workers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Read before a fixture takes all such variables away.
GIVEN_SECONDS: Final = os.environ.get("KINESINK_TORTURE_SECONDS")
SECONDS: Final = float(GIVEN_SECONDS or 12)
SEED: Final = int(os.environ.get("KINESINK_TORTURE_SEED") or random.randrange(2**32))

BACKENDS: Final = (
    ["asyncio", "trio"]
    if GIVEN_SECONDS
    # The short run is for every Python, and one loop at each is enough.
    else ["trio" if sys.version_info.minor % 2 and not WITHOUT_EXTRAS else "asyncio"]
)

WORKERS: Final = 2

MEMORY_KIB: Final = 64 * 1024
"""More than an application may grow that has no more than 16 MiB of events."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(SECONDS + 6 * PATIENCE),
    pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc"),
]


class Torture:
    """The fake, the processes that write to it, and what is known of both."""

    def __init__(self, folder: Path, resources: ExitStack, backend: str) -> None:
        self.folder = folder
        self._resources = resources
        self.fake = FakeKinesis(
            limits=ShardLimits(records_per_second=300, bytes_per_second=300_000),
            keep_calls=0,
            seed=SEED,
        )
        self.fake.create_stream(STREAM, shards=4)
        self.endpoint = resources.enter_context(Endpoint(self.fake).running())
        self.spool = folder / "spool"
        self._environment = {
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "KINESINK_ENDPOINT_URL": self.endpoint.url,
            "KINESINK_BACKEND": backend,
            "KINESINK_REQUEST_TIMEOUT": "4",
            "KINESINK_SHUTDOWN_TIMEOUT": "60",
            "KINESINK_MAX_PENDING_BYTES": "16MiB",
        }
        self._of_workers = {
            "KINESINK_SPOOL_PATH": str(self.spool),
            "KINESINK_SPOOL_MODE": "always",
        }
        self.processes: list[Process] = []

    def start(self, name: str, program: str, **environment: str) -> Process:
        """Start a program."""
        process = Process(self.folder, name, program, {**self._environment, **environment})
        self._resources.callback(process.dispose)
        self.processes.append(process)
        return process

    def start_worker(self, name: str) -> Process:
        """Start a program that may be killed."""
        return self.start(name, "worker.py", **self._of_workers)

    # -- what is known of the processes ----------------------------------------

    @property
    def returned(self) -> dict[str, int]:
        """How many log calls of each thread have returned."""
        return {
            file.stem: int(file.read_text(encoding="ascii") or "0")
            for file in self.folder.glob("*.told")
        }

    @property
    def accounts(self) -> dict[str, dict[str, Any]]:
        """What each process said, by its name: all of it together."""
        accounts: dict[str, dict[str, Any]] = defaultdict(dict)
        for process in self.processes:
            for facts in process.told:
                accounts[facts["name"]].update(facts)
        return accounts

    def spooled(self) -> list[Path]:
        """Return the files of spools there are."""
        return [*self.spool.rglob("*.db")]


def at_work() -> Counter[object]:
    """Return the threads that this process has, and what it has open: files and sockets."""
    found: Counter[object] = Counter(threading.enumerate())
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 - the names are enough
        # What the list itself was read from is gone.
        with suppress(FileNotFoundError):
            found[os.readlink(f"/proc/self/fd/{number}")] += 1  # noqa: PTH115 - no path either
    return found


@pytest.fixture
def nothing_is_left() -> Iterator[None]:
    """Check that what this process has at the end is what it had in the beginning, or less.

    Less, for others may have left something that ends meanwhile.
    """
    before = at_work()
    yield
    deadline = time.monotonic() + PATIENCE
    while (left := at_work() - before) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == Counter()


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("anyio_backend", BACKENDS)
def test_nothing_is_lost_whatever_happens(tmp_path: Path, anyio_backend: str) -> None:
    """Every event whose log call has returned arrives, and every process can account for its own.

    While Kinesis is killed, frozen, resharded, throttled and wrong, an application logs from
    eight threads and forks, and workers with a spool are killed.
    """
    sys.stdout.write(f"KINESINK_TORTURE_SEED={SEED}\n")
    with ExitStack() as resources:
        torture = Torture(tmp_path, resources, anyio_backend)
        chaos = Chaos(torture.fake, torture.endpoint, SEED)
        application = torture.start("app", "application.py")
        application.wait_for(lambda: application.told, "was ready")
        workers = [
            Workers(f"worker{number}", torture.start_worker, SEED) for number in range(WORKERS)
        ]
        # Throttles whatever the rate, before a process has learned anything of its shards, would
        # teach it that there is no room, for minutes.
        time.sleep(5.0)
        chaos.run(SECONDS / 3)
        application.say("child0")
        chaos.run(SECONDS / 3)
        application.say("child1")
        # It ends in the middle of everything.
        application.tell_to_stop("child0")
        chaos.run(SECONDS / 3)
        survivors = [each.last() for each in workers]
        survivors[0].tell_to_stop()
        survivors[0].end()
        for survivor in survivors[1:]:
            survivor.kill()
        application.tell_to_stop("child1")
        application.tell_to_stop()
        application.end()
        heir = torture.start_worker("heir")
        heir.wait_for(lambda: heir.logs and len(torture.spooled()) == 1, "sent what was left")
        heir.tell_to_stop()
        heir.end()
        for process in torture.processes:
            assert not re.search("Traceback|Warning|of kinesink's own", process.err), process.err
        assert not [*torture.spool.glob("*/*")]
        evidence = Evidence(torture.fake, torture.endpoint)
        check_events(torture, evidence)
        check_accounts(torture, evidence)


def check_accounts(torture: Torture, evidence: Evidence) -> None:
    """Check what every process that has ended by itself says, and what the stream says of it."""
    returned = torture.returned
    accounts = torture.accounts
    assert accounts.keys() >= {"app", "child0", "child1", "heir"}
    writers = {writer.boot_id: writer for writer in check_completeness(evidence.lines).writers}
    for name, account in accounts.items():
        logged = sum(count for thread, count in returned.items() if process_of(thread) == name)
        writer = writers.pop(account["boot_id"])
        assert writer.verdict == "complete", writer
        # The first event of all is no thread's.
        assert writer.last == logged + (name == "app")
        assert account["accepted"] == account["delivered"] + account["pending"]
        assert account["dropped"] == 0
        # What is left for a successor is on disk, and who has none delivers all.
        assert account["pending"] == account["spooled"]
        assert account["pending"] == 0 or name.startswith("worker")
        if name in {"app", "child0", "child1"}:
            assert account["accepted"] == account["delivered"] == writer.last
            assert evidence.superfluous(name) <= account["retried"]
            assert account["peak"] - accounts["app"]["memory"] < MEMORY_KIB
    assert accounts["app"]["left"] == []
    for writer in writers.values():
        # A number that was taken and not yet on disk: no more than one of each thread.
        assert writer.missing_events <= 2, writer


def check_events(torture: Torture, evidence: Evidence) -> None:
    """Check that what was logged is there, and why some of it more than once."""
    killed = {process.name for process in torture.processes if process.killed_at}
    for thread, count in torture.returned.items():
        assert not evidence.missing(thread, count), thread
        # Of a call that had not returned when the process was killed nobody knows.
        begun = count + (process_of(thread) in killed)
        assert max(evidence.copies[thread]) <= begun, thread
    deaths = [process.killed_at for process in torture.processes if process.killed_at]
    unexplained = [*evidence.unexplained(deaths)]
    assert not unexplained, unexplained[:5]


def process_of(thread: str) -> str:
    """Return the name of the process that a thread belongs to."""
    return thread.rpartition("-")[0]

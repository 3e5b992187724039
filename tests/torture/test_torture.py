"""Everything at once: whatever is done to Kinesis and to processes, no event is lost."""

from __future__ import annotations

import json
import os
import random
import sys
import threading
from collections import Counter, defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from kinesink.testing import FakeKinesis, ShardLimits, check_completeness
from tests.conftest import WITHOUT_EXTRAS
from tests.torture.chaos import STREAM, Chaos, Endpoint
from tests.torture.processes import PATIENCE, Process, Workers, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

# Read before a fixture takes all such variables away.
GIVEN_SECONDS: Final = os.environ.get("KINESINK_TORTURE_SECONDS")
SECONDS: Final = float(GIVEN_SECONDS or 15)
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
            "KINESINK_REQUEST_TIMEOUT": "3",
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
        """What each process said at its end."""
        said = [fact for process in self.processes for fact in process.told if "boot_id" in fact]
        return {account["name"]: account for account in said}

    def spooled(self) -> list[Path]:
        """Return the files of spools there are."""
        return [*self.spool.rglob("*.db")]

    def lines(self) -> list[bytes]:
        """Return what a consumer sees."""
        return [record.data for record in self.fake.user_records(STREAM)]


def open_files() -> int:
    """Return how many files and sockets this process has."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the names are enough


@pytest.fixture
def nothing_is_left() -> Iterator[None]:
    """Check that this process has as many threads and files at the end as in the beginning."""
    threads, files = threading.active_count(), open_files()
    yield
    wait_until(lambda: (threading.active_count(), open_files()) == (threads, files), "as before")


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("anyio_backend", BACKENDS)
def test_nothing_is_lost_whatever_happens(tmp_path: Path, anyio_backend: str) -> None:
    """Every event whose log call has returned arrives, and every process can account for its own.

    While Kinesis is killed, frozen, resharded, throttled and wrong, an application logs from
    eight threads and forks, and workers with a spool are killed.
    """
    print(f"KINESINK_TORTURE_SEED={SEED}")
    with ExitStack() as resources:
        torture = Torture(tmp_path, resources, anyio_backend)
        chaos = Chaos(torture.fake, torture.endpoint, SEED)
        application = torture.start("app", "application.py")
        application.wait_for(lambda: application.told, "was ready")
        workers = [
            Workers(f"worker{number}", torture.start_worker, SEED) for number in range(WORKERS)
        ]
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
        print(*chaos.diary, sep="\n")
        check(torture)


def check(torture: Torture) -> None:
    lines = torture.lines()
    arrived: dict[str, Counter[int]] = defaultdict(Counter)
    for line in lines:
        if line != b"first" and b"kinesink lost" not in line:
            name, number = json.loads(line)["message"].split()[:2]
            arrived[name][int(number)] += 1
    told = Counter()
    for r in torture.fake.user_records(STREAM):
        if r.data != b"first" and r.sequence_number in torture.endpoint.told and not any(k - 1 <= r.arrival <= k for k in torture.endpoint.kills):
            told[tuple(json.loads(r.data)["message"].split()[:2])] += 1
    per = defaultdict(Counter)
    for (name, number), c in told.items():
        per[name.split("-")[0]][c] += 1
    shown = Counter()
    t0 = torture.fake.records(STREAM)[0].arrival
    for (name, number), c in told.items():
        if c > 1 and not name.startswith("worker") and shown[name] < 3:
            shown[name] += 1
            for r in torture.fake.user_records(STREAM):
                if r.data != b"first" and json.loads(r.data)["message"].split()[:2] == [name, number]:
                    print("DUP", name, number, f"{r.arrival - t0:.2f}", r.shard_id, r.sub_sequence_number, r.sequence_number in torture.endpoint.told)
    print("KILLS", [f"{k - t0:.2f}" for k in torture.endpoint.kills])
    for sh in torture.fake._named(STREAM).shards.values():
        print("SHARD", sh.shard_id, f"{sh.opened_at - t0:.2f}", sh.parents)
    print("TOLD", {k: dict(v) for k, v in per.items()})
    copies = Counter(count for counts in arrived.values() for count in counts.values())
    print(len(lines), copies)
    for account in torture.accounts.values():
        print(account)
    returned = torture.returned
    print(returned)
    missing = {
        name: sorted(set(range(1, count + 1)) - arrived[name].keys())
        for name, count in returned.items()
    }
    missing = {k: v for k, v in missing.items() if v}
    print("missing", missing)
    report = check_completeness(lines)
    print(report)
    print(torture.fake)
    for process in torture.processes:
        print(process.name, process.err)
    assert not missing
    assert not torture.spooled()

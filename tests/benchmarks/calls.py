"""What the benchmarks of single calls share: a sink that does the least, and a table.

The runs of the rows are interleaved, so that a busy moment of the machine falls on all of
them; medians and their ratios are what to compare, absolute times are not.
"""

from __future__ import annotations

import gc
import statistics
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from kinesink.config import Config
from kinesink.shell.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CALLS: Final = 1_000
ROUNDS: Final = int(sys.argv[1]) if len(sys.argv) > 1 else 201


class SmallestSink(Sink):
    """The work of a hand-off that nobody can avoid: a bound, an append, a flag."""

    def __init__(self) -> None:
        super().__init__(Config("benchmark"))
        self.intake: deque[bytes] = deque()
        self.pending = 0
        self.bound = 1 << 40
        self.awake = True

    def emit(
        self,
        data: bytes,
        partition_key: str | None = None,  # noqa: ARG002 - as the real one
        explicit_hash_key: int | None = None,  # noqa: ARG002 - as the real one
        level: int | None = None,  # noqa: ARG002 - as the real one
    ) -> bool:
        """Take the event and forget about its size at the next round."""
        size = len(data) + 150
        if self.pending + size > self.bound:
            return False
        self.pending += size
        self.intake.append(data)
        if not self.awake:
            self.awake = True
        return True

    def forget(self) -> None:
        """Begin the next run as the first one began."""
        self.intake.clear()
        self.pending = 0


class Row(NamedTuple):
    """One line of the table."""

    name: str
    call: Callable[[], object]
    prepare: Callable[[], object] = lambda: None
    """Called before each run, unmeasured."""
    is_baseline: bool = False
    """Whether this row and those after it are compared with it."""
    forget: Callable[[], object] = lambda: None
    """Called after each run, unmeasured."""
    threads: int = 1
    """Threads that share the calls of a run."""


def microseconds(call: Callable[[], object], threads: int = 1) -> float:
    """Return the time of one of :data:`CALLS` calls, which so many threads share."""
    if threads == 1:
        start = time.perf_counter()
        for _ in range(CALLS):
            call()
        return (time.perf_counter() - start) / CALLS * 1e6
    each = CALLS // threads
    gate = threading.Barrier(threads + 1)

    def work() -> None:
        gate.wait()
        for _ in range(each):
            call()

    crowd = [threading.Thread(target=work) for _ in range(threads)]
    for thread in crowd:
        thread.start()
    gate.wait()
    start = time.perf_counter()
    for thread in crowd:
        thread.join()
    return (time.perf_counter() - start) / (each * threads) * 1e6


def print_table(rows: Sequence[Row], sink: SmallestSink, rest: float = 0.0) -> None:
    """Measure the rows and print their medians, quartiles and ratios.

    :param rest: seconds after each run, for threads that work behind a row.
    """
    times: dict[str, list[float]] = {row.name: [] for row in rows}
    gc.disable()
    for _ in range(ROUNDS):
        for row in rows:
            row.prepare()
            times[row.name].append(microseconds(row.call, row.threads))
            row.forget()
            sink.forget()
            if rest:
                time.sleep(rest)
        gc.collect()
    gc.enable()
    print(f"Python {sys.version.split()[0]}, {ROUNDS} rounds of {CALLS} calls")
    print(f"{'':52}{'median':>10}{'quartiles':>16}{'ratio':>8}")
    baseline = 1.0
    for row in rows:
        low, median, high = statistics.quantiles(times[row.name], n=4)
        baseline = median if row.is_baseline else baseline
        print(f"{row.name:52}{median:8.2f} µs{low:8.2f}-{high:.2f}{median / baseline:8.2f}")

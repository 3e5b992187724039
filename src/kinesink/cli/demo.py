"""``kinesink demo``: from a log call through a Kinesis in memory to a consumer, counted."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Final

from rich.console import Console

from kinesink.cli import closing
from kinesink.cli.account import disagreements
from kinesink.cli.consumer import Consumer, ReadError
from kinesink.cli.dummy_account import dummy_account
from kinesink.cli.plan import REGION, STREAM_NAME, Plan
from kinesink.cli.shop_doors import KINDS, OpenDoor
from kinesink.cli.view import Moment, View, view_on
from kinesink.cli.workload import Workload
from kinesink.testing import FakeKinesis, Latency, ThrottleEntries

_FAULTS: Final = (
    ThrottleEntries(operation="PutRecords", share=1 / 3),
    Latency(operation="PutRecords", share=1 / 3, answer=0.15),
)

_LONGEST_DELIVERY: Final = 30.0
"""Seconds for what is pending when the logging ends: 30 MiB for each shard."""

_INTERVAL: Final = 0.125
"""Seconds from one look at everything to the next."""

_REMARKS: Final = 5
"""Reports of the producer that are shown at the end, the latest."""


class Demo:
    """One demonstration, to be run once."""

    def __init__(self, plan: Plan, console: Console) -> None:
        self._plan = plan
        self._console = console
        self._workload = Workload(plan)
        self._remarks: deque[str] = deque(maxlen=_REMARKS)
        self._interrupted = False

    def run(self) -> int:
        """Run it, and return the exit status: 0 if each event arrived exactly once."""
        try:
            return self._run()
        except ReadError as error:
            closing.say(self._console, f"The stream could not be read: {error}", "bold red")
            return 1

    def _run(self) -> int:
        # Its shards take what those of the service take, and no more.
        fake = FakeKinesis(limits=True, region=REGION, keep_calls=0)
        fake.create_stream(STREAM_NAME, shards=self._plan.shards)
        if self._plan.faults:
            fake.script(*_FAULTS)
        with dummy_account(REGION), fake.serve() as server, ThreadPoolExecutor(1) as thread:
            closing.introduce(self._console, self._plan, server.endpoint_url)
            consumer = Consumer(server.endpoint_url)
            reading = thread.submit(consumer.run)
            try:
                with self._door(server.endpoint_url) as door:
                    self._watch(door, consumer, reading)
            finally:
                consumer.finish()
            reading.result()
        return self._conclude(door, consumer)

    @contextmanager
    def _door(self, endpoint_url: str) -> Iterator[OpenDoor]:
        """Open the door that is wanted, and let nobody through any more before it is closed."""
        parameters = {
            "stream_name": STREAM_NAME,
            "endpoint_url": endpoint_url,
            "backend": self._plan.backend,
            "on_error": lambda _, text: self._remarks.append(text),
        }
        with KINDS[self._plan.door].open(parameters) as door:
            try:
                yield door
            finally:
                self._workload.stop()

    # -- while it runs ---------------------------------------------------------

    def _watch(self, door: OpenDoor, consumer: Consumer, reading: Future[None]) -> None:
        """Log, deliver, and read; at an interrupt go on to the next."""
        start = time.monotonic()

        def now() -> Moment:
            return Moment(
                at=time.monotonic() - start,
                logged=self._workload.logged,
                account=door.statistics(),
                seen=consumer.observation.seen(),
            )

        def has_read(timeout: float) -> bool:
            consumer.finish()
            return bool(wait([reading], timeout).done)

        with view_on(self._console) as view:
            self._workload.start(door.log)
            self._show_until(self._workload.wait_ended, view, now, self._plan.seconds + 60)
            self._workload.stop()
            self._show_until(door.flush, view, now, _LONGEST_DELIVERY)
            self._show_until(has_read, view, now, _LONGEST_DELIVERY)
            view.show_end(now())

    def _show_until(
        self,
        ended: Callable[[float], bool],
        view: View,
        now: Callable[[], Moment],
        longest: float,
    ) -> None:
        """Show the course of things until something has ended, an interrupt comes, or too long."""
        deadline = time.monotonic() + longest
        try:
            while not ended(_INTERVAL) and time.monotonic() < deadline:
                view.show(now())
        except KeyboardInterrupt:
            self._interrupted = True

    def _conclude(self, door: OpenDoor, consumer: Consumer) -> int:
        account, logged = door.statistics(), self._workload.logged
        closing.show_events(self._console, consumer.observation.samples())
        found = disagreements(logged, account, consumer.observation.times())
        end = closing.End(
            account, consumer.observation.seen(), found, list(self._remarks), self._interrupted
        )
        closing.show_account(self._console, end)
        return 1 if found else 0

"""A sink tells how it fares."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

import kinesink
from kinesink import KinesisHandler
from kinesink.readiness import Health
from kinesink.testing import Hang
from tests.shell.scripts import run_against
from tests.shell.support import PATIENCE, landed, make_fake, make_sink, wait_until

if TYPE_CHECKING:
    from kinesink import Sink, Statistics
    from kinesink.readiness import Vitals

pytestmark = pytest.mark.usefixtures("signed")


def vitals(sink: Sink) -> Vitals:
    """Return what the producer has noted."""
    return sink._background.vitals


def test_a_sink_that_has_done_nothing_is_well() -> None:
    """Nothing waits."""
    sink = make_sink(make_fake())
    assert sink.health() == Health("ok", "", 0.0)
    assert KinesisHandler("app-logs").health() == Health("ok", "", 0.0)


def test_the_producer_notes_what_it_does(anyio_backend: str) -> None:
    """By the clock of the process, whatever the event loop's says."""
    fake = make_fake()
    sink = make_sink(fake, backend=anyio_backend)
    handler = KinesisHandler(sink=sink)
    began = time.monotonic()
    sink.emit(b"event")
    assert sink.flush()
    wait_until(lambda: vitals(sink).delivered_at >= began)
    assert vitals(sink).delivered_at <= time.monotonic()
    assert vitals(sink).noted_at >= vitals(sink).delivered_at
    assert (sink.health().status, handler.health().status) == ("ok", "ok")
    sink.close()


def test_the_age_of_the_oldest_event_is_known(anyio_backend: str) -> None:
    """Of those that wait, and no other."""
    fake = make_fake()
    fake.faults.append(Hang(operation="PutRecords", times=1))
    sink = make_sink(fake, backend=anyio_backend)
    began = time.monotonic()
    sink.emit(b"first")
    wait_until(lambda: began <= vitals(sink).oldest <= time.monotonic())
    assert sink.health().oldest_pending > 0
    wait_until(lambda: fake.hanging)
    fake.release()
    wait_until(lambda: len(landed(fake)) == 1)
    wait_until(lambda: sink.health().oldest_pending == 0)
    sink.close()


def test_a_loss_is_told_for_a_while() -> None:
    """With what was lost in all."""
    fake = make_fake()
    sink = make_sink(fake, max_pending_events=1)
    fake.faults.append(Hang(operation="PutRecords"))
    sink.emit(b"taken")
    sink.emit(b"refused")
    wait_until(lambda: "1 dropped (queue_full 1)" in sink.health().reason)
    assert sink.health().status == "degraded"
    mine = kinesink.health()
    assert mine.status != "ok"
    fake.faults.clear()
    fake.release()
    sink.close()


def test_the_account_goes_to_a_callback_again_and_again(anyio_backend: str) -> None:
    """For a metrics system of any kind."""
    readings: list[Statistics] = []
    sink = make_sink(
        make_fake(), backend=anyio_backend, on_statistics=readings.append, statistics_interval=0.01
    )
    sink.emit(b"event")
    wait_until(lambda: len(readings) > 3 and readings[-1].delivered == 1)
    sink.close()


def test_the_last_account_is_handed_over_however_short_the_life(anyio_backend: str) -> None:
    """Whoever counts by it would miss nearly all of what a short job has sent."""
    readings: list[Statistics] = []
    sink = make_sink(make_fake(), backend=anyio_backend, on_statistics=readings.append)
    sink.emit(b"first")
    wait_until(lambda: len(readings) == 1)
    sink.emit(b"second")
    assert sink.close()
    assert readings[1:] == [sink.statistics()]
    assert readings[1].delivered == 2
    # The next producer begins at once, whatever its clock says.
    sink.emit(b"third")
    wait_until(lambda: len(readings) == 3)
    assert sink.close()
    assert readings[3:] == [sink.statistics()]


def test_the_last_account_waits_for_a_callback_that_is_busy() -> None:
    """As the end does for it."""
    go_on = threading.Event()
    readings: list[Statistics] = []

    def take(account: Statistics) -> None:
        go_on.wait(PATIENCE)
        readings.append(account)

    sink = make_sink(make_fake(), on_statistics=take, statistics_interval=0.01)
    for number in range(5):
        sink.emit(b"%d" % number)
        assert sink.flush()
    threading.Timer(0.1, go_on.set).start()
    assert sink.close()
    assert len(readings) == 2
    assert readings[-1] == sink.statistics()


def test_the_last_account_is_handed_over_at_exit() -> None:
    """Also by a program that closes nothing."""
    script = """
        import kinesink
        def tell(account):
            print(account.delivered, flush=True)
        config = kinesink.Config.from_environment(stream_name="app", on_statistics=tell)
        sink = kinesink.Sink(config)
        for number in range(3):
            sink.emit(b"%d" % number)
        """
    ran = run_against(make_fake(), script)
    assert ran.out.split()[-1:] == ["3"], ran.err


def test_a_callback_that_raises_is_told_about() -> None:
    """And called again."""
    told: list[str] = []
    calls: list[int] = []

    def fail(account: Statistics) -> None:
        calls.append(account.accepted)
        raise ValueError("no")

    sink = make_sink(
        make_fake(), on_statistics=fail, statistics_interval=0.01,
        on_error=lambda kind, text: told.append(f"{kind} {text}"),
    )  # fmt: skip
    sink.emit(b"event")
    wait_until(lambda: len(calls) > 1 and told)
    sink.close()
    assert told == ["on_statistics stream 'app': on_statistics raised ValueError('no')"]

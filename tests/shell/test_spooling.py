"""A sink with a spool, against a fake: what goes to disk, what comes back, and the account."""

from __future__ import annotations

import inspect
import logging
import math
import os
import sqlite3
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

import kinesink
from kinesink import DropReason, Sink
from kinesink.event.losses import LOST
from kinesink.shell import spool_disk, spooler
from kinesink.shell.producer_task import ProducerTask
from kinesink.spool import file as spool_file
from kinesink.spool.file import SpoolFile
from kinesink.testing import AccessDenied, Hang, RejectRequest, Reset, ThrottleEntries
from tests.shell.support import (
    PATIENCE,
    adds_up,
    landed,
    make_client,
    make_fake,
    make_sink,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kinesink.shell.losses import Loss
    from kinesink.testing import FakeKinesis

MODES = ["overflow", "always"]


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have credentials to sign with."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


def small(fake: FakeKinesis, path: Path, backend: str, **parameters: object) -> Sink:
    """Return a sink with room for some hundred events, one call at a time, and a spool."""
    given = {
        "backend": backend,
        "spool_path": str(path / "spool"),
        "max_pending_bytes": 100_000,
        "max_requests_in_flight": 1,
        "request_max_entries": 1,
        "aggregate_max_bytes": 5120,
        "shutdown_timeout": 1.0,
        **parameters,
    }
    return make_sink(fake, **given)


def events(number: int, begin: int = 0) -> list[bytes]:
    """Return events that tell their number."""
    return [b"%06d" % i + b"x" * 100 for i in range(begin, begin + number)]


def emit_all(sink: Sink, all_of: list[bytes]) -> None:
    """Emit events no faster than the producer takes them in."""
    for index, event in enumerate(all_of):
        assert sink.emit(event)
        if not index % 50:
            wait_until(lambda: _is_taken_in(sink))


def _is_taken_in(sink: Sink) -> bool:
    """Tell whether the producer has taken in what there is, and put on disk what is too much."""
    intake = sink._intake
    return not intake._items and (sink.config.spool_mode == "always" or intake.fill < 0.85)


def give_up(sink: Sink) -> None:
    """Close a sink that cannot deliver, and wait until it has left what it has on disk."""
    sink.close(0)
    assert sink._background.wait_ended(PATIENCE)


def disk_of(sink: Sink) -> spool_disk.SpoolDisk:
    """Return what a sink with a spool has on disk."""
    assert sink._background._spooler is not None
    return sink._background._spooler._disk


def files_in(path: Path) -> list[str]:
    """Return the names of all files below a directory."""
    return sorted(name for _, _, names in os.walk(path) for name in names)


def count_on_disk(path: Path) -> int:
    """Return how many events the databases below a directory hold; nobody may have them open."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            if name.endswith(".db"):
                connection = sqlite3.connect(os.path.join(folder, name))  # noqa: PTH118 - from os.walk
                total += connection.execute("SELECT count(*) FROM events").fetchone()[0]
                connection.close()
    return total


@contextmanager
def nothing_arrives(fake: FakeKinesis) -> Iterator[None]:
    """Have no call with events answered."""
    fault = Hang(operation="PutRecords")
    fake.faults.append(fault)
    try:
        yield
    finally:
        fake.faults.clear()
        fake.release()


def drained(sink: Sink) -> Callable[[], bool]:
    """Return whether nothing is pending, and the account adds up all the while."""

    def condition() -> bool:
        account = sink.statistics()
        assert adds_up(account), account
        assert account.pending >= account.spooled >= 0
        return not account.pending

    return condition


@pytest.mark.parametrize("mode", MODES)
def test_more_than_memory_holds_goes_to_disk_and_arrives(
    tmp_path: Path, anyio_backend: str, mode: str
) -> None:
    """While nothing is answered events wait on disk; each arrives once when that is over."""
    fake = make_fake()
    sink = small(fake, tmp_path, anyio_backend, spool_mode=mode, shutdown_timeout=PATIENCE)
    every = events(1500)
    with nothing_arrives(fake):
        emit_all(sink, every)
        wait_until(lambda: sink.statistics().spooled > 500)
        assert sink.statistics().accepted == sink.statistics().pending == len(every)
    wait_until(drained(sink))
    assert landed(fake) == every
    assert sink.statistics().lost == 0
    assert sink.close()
    assert files_in(tmp_path) == []


def test_what_comes_back_is_in_order(tmp_path: Path, anyio_backend: str) -> None:
    """What was on disk is sent the oldest first."""
    fake = make_fake(shards=1)
    first = small(fake, tmp_path, anyio_backend, shutdown_timeout=0.2)
    every = events(300)
    fake.faults.append(Reset(operation="PutRecords"))
    emit_all(first, every)
    give_up(first)
    fake.faults.clear()
    assert first.statistics().spooled == len(every)
    with_one_more = small(fake, tmp_path, anyio_backend, shutdown_timeout=PATIENCE)
    with_one_more.emit(b"later")
    wait_until(drained(with_one_more))
    arrived = [record.data for record in fake.user_records("app") if record.data != b"later"]
    assert arrived == every
    assert with_one_more.close()


@pytest.mark.parametrize("mode", MODES)
def test_what_is_left_at_close_is_delivered_by_the_next_sink(
    tmp_path: Path, anyio_backend: str, mode: str
) -> None:
    """What does not arrive within the shutdown's time is kept, said, and sent by the next one."""
    fake = make_fake()
    told: list[str] = []
    sink = small(
        fake, tmp_path, anyio_backend, spool_mode=mode, shutdown_timeout=0.2,
        on_error=lambda _, text: told.append(text),
    )  # fmt: skip
    fake.faults.append(Reset(operation="PutRecords"))
    for event in events(50):
        sink.emit(event)
    give_up(sink)
    wait_until(lambda: any("50 of them kept in" in text for text in told))
    account = sink.statistics()
    assert adds_up(account)
    assert (account.accepted, account.spooled, account.lost) == (50, 50, 0)
    assert count_on_disk(tmp_path) == 50
    fake.faults.clear()

    other = small(fake, tmp_path, anyio_backend, shutdown_timeout=PATIENCE)
    other.emit(b"one more")
    wait_until(drained(other))
    assert landed(fake) == [*events(50), b"one more"]
    assert other.statistics().accepted == 51
    assert other.close()
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("mode", MODES)
def test_a_sink_that_opens_again_sends_what_it_has_left(
    tmp_path: Path, anyio_backend: str, mode: str
) -> None:
    """What a closed sink has on disk counts once, also when the same sink goes on with it."""
    fake = make_fake()
    sink = small(fake, tmp_path, anyio_backend, spool_mode=mode, shutdown_timeout=0.2)
    fake.faults.append(Reset(operation="PutRecords"))
    for event in events(50):
        sink.emit(event)
    give_up(sink)
    assert sink.statistics().spooled == 50
    fake.faults.clear()
    sink.emit(b"one more")
    wait_until(drained(sink))
    assert sink.statistics().accepted == sink.statistics().delivered == 51
    assert landed(fake) == [*events(50), b"one more"]
    assert sink.close(PATIENCE)
    assert files_in(tmp_path) == []


def test_expired_events_go_to_disk_and_arrive_later(
    tmp_path: Path, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a spool the time to live ends an event's stay in memory, and nothing else."""
    monkeypatch.setattr(spooler, "REST", 0.1)
    letters: list[object] = []
    fake = make_fake()
    sink = small(
        fake, tmp_path, anyio_backend, time_to_live=0.3, dead_letter=letters.append,
        shutdown_timeout=PATIENCE,
    )  # fmt: skip
    fake.faults.append(Reset(operation="PutRecords"))
    for event in events(20):
        sink.emit(event)
    wait_until(lambda: sink.statistics().spooled == 20)
    # They come back, expire again, and so on.
    wait_until(lambda: sink.statistics().spooled < 20)
    wait_until(lambda: sink.statistics().spooled == 20)
    # What expires while its call is under way, and is taken all the same, would come twice.
    lets_live = threading.Event()

    def let_live(task: ProducerTask) -> None:
        for stream in task.streams:
            stream.pipeline._stock._time_to_live = math.inf
        lets_live.set()

    sink._intake.command(let_live)
    wait_until(lets_live.is_set)
    fake.faults.clear()
    wait_until(drained(sink))
    assert landed(fake) == events(20)
    assert sink.close()
    assert sink.statistics().dropped == {}
    assert letters == []


def test_statistics_add_up_at_any_moment(
    tmp_path: Path, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the mode `always` every reading has all events whose call has returned."""
    # On a busy machine a call may wait for its turn longer than a user should.
    monkeypatch.setattr(spool_file, "_PATIENCE", PATIENCE)
    fake = make_fake()
    sink = small(fake, tmp_path, anyio_backend, spool_mode="always", shutdown_timeout=PATIENCE)
    numbers = count()
    returned = [0] * 3
    ends = threading.Event()

    def log(thread: int) -> None:
        while not ends.is_set():
            assert sink.emit(b"%06d" % next(numbers) + b"x" * 100)
            returned[thread] += 1
            if not returned[thread] % 50:
                # The disk has to get on too.
                ends.wait(0.001)

    threads = [threading.Thread(target=log, args=(number,)) for number in range(len(returned))]
    with nothing_arrives(fake):
        for thread in threads:
            thread.start()
        try:
            deadline = time.monotonic() + 1.0
            while time.monotonic() < deadline or sink.statistics().spooled < 100:
                least = sum(returned)
                account = sink.statistics()
                most = sum(returned) + len(threads)
                assert adds_up(account)
                assert least <= account.accepted <= most
                assert account.pending >= account.spooled >= 0
        finally:
            ends.set()
            for thread in threads:
                thread.join()
    wait_until(drained(sink))
    assert sink.statistics().accepted == sum(returned) == len(landed(fake))
    assert len(set(landed(fake))) == sum(returned)
    assert sink.close()
    assert files_in(tmp_path) == []


def test_the_oldest_give_way_when_the_spool_is_full(tmp_path: Path, anyio_backend: str) -> None:
    """At the bound of the spool the oldest on disk are counted, told, and handed on as lost."""
    fake = make_fake()
    letters: list[Any] = []
    told: list[tuple[str, str]] = []
    sink = small(
        fake, tmp_path, anyio_backend, spool_max_bytes=1024 * 1024, dead_letter=letters.extend,
        on_error=lambda kind, text: told.append((kind, text)), shutdown_timeout=PATIENCE,
    )  # fmt: skip
    every = events(9000)
    with nothing_arrives(fake):
        emit_all(sink, every)
        wait_until(lambda: DropReason.SPOOL_FULL in sink.statistics().dropped)
        assert adds_up(sink.statistics())
    wait_until(drained(sink))
    account = sink.statistics()
    assert account.accepted == len(every)
    assert set(account.dropped) == {DropReason.SPOOL_FULL}
    arrived = landed(fake)
    assert len(arrived) == account.delivered
    assert arrived[-1] == every[-1]
    assert sink.close()
    assert any(kind == "dropped:spool_full" for kind, _ in told)
    lost = [letter.data for letter in letters]
    assert sorted(lost + arrived) == every


def test_the_oldest_give_way_also_when_every_event_is_on_disk(
    tmp_path: Path, anyio_backend: str
) -> None:
    """In the mode `always` room is made before there is none, and what is in memory is spared."""
    fake = make_fake()
    sink = small(
        fake, tmp_path, anyio_backend, spool_mode="always", spool_max_bytes=1024 * 1024,
        shutdown_timeout=PATIENCE,
    )  # fmt: skip
    every = events(9000)
    with nothing_arrives(fake):
        for index, event in enumerate(every):
            assert sink.emit(event)
            if not index % 100:
                wait_until(lambda: disk_of(sink).fill() < 0.97)
    wait_until(drained(sink))
    account = sink.statistics()
    assert set(account.dropped) == {DropReason.SPOOL_FULL}
    assert len(landed(fake)) == account.delivered == len(every) - account.lost
    # What was in memory when it began is there, however old.
    assert landed(fake)[0] == every[0]
    assert landed(fake)[-1] == every[-1]
    assert sink.close()


def test_a_loss_on_disk_is_in_the_loss_record(tmp_path: Path, anyio_backend: str) -> None:
    """The stream itself says how many events of which level the spool had no room for."""
    fake = make_fake()
    sink = small(
        fake, tmp_path, anyio_backend, spool_max_bytes=1024 * 1024, shutdown_timeout=PATIENCE,
    )  # fmt: skip
    lines: list[tuple[int, dict[str, int], dict[str, int]]] = []

    def write(loss: Loss) -> tuple[bytes, ...]:
        lines.append((loss.events, dict(loss.reasons), dict(loss.levels)))
        return (b'{"%s": %d}' % (LOST.encode(), loss.events),)

    sink.tell_losses_by(write)
    every = [b'{"level": "INFO", "n": %06d, "pad": "%s"}' % (i, b"x" * 80) for i in range(9000)]
    with nothing_arrives(fake):
        emit_all(sink, every)
        wait_until(lambda: DropReason.SPOOL_FULL in sink.statistics().dropped)
    wait_until(lambda: lines)
    wait_until(drained(sink))
    assert sink.close()
    lost = sink.statistics().dropped[DropReason.SPOOL_FULL]
    assert sum(events for events, _, _ in lines) == lost
    assert {name for _, reasons, _ in lines for name in reasons} == {"spool_full"}
    assert sum(levels["INFO"] for _, _, levels in lines) == lost


@pytest.mark.parametrize("mode", MODES)
def test_a_corrupt_file_is_set_aside_and_told(
    tmp_path: Path, anyio_backend: str, mode: str
) -> None:
    """What was in a file that cannot be read counts as lost, and everything else goes on."""
    fake = make_fake()
    told: list[tuple[str, str]] = []
    sink = small(
        fake, tmp_path, anyio_backend, spool_mode=mode, shutdown_timeout=PATIENCE,
        on_error=lambda kind, text: told.append((kind, text)),
    )  # fmt: skip
    every = events(1500)
    with nothing_arrives(fake):
        emit_all(sink, every)
        wait_until(lambda: sink.statistics().spooled > 500)
        before = sink.statistics()
        (own,) = (rows.file for rows in disk_of(sink).files)
        # When nothing else is under way there, as where a statement finds out.
        with own._lock:
            own._failed(sqlite3.DatabaseError("malformed"))
        emit_all(sink, events(300, begin=2000))
    wait_until(drained(sink))
    account = sink.statistics()
    assert account.accepted == 1800
    assert set(account.dropped) == {DropReason.SPOOL_FAILED}
    assert 0 < account.lost <= before.spooled + 100
    assert len(landed(fake)) == len(set(landed(fake))) == account.delivered
    assert set(events(300, begin=2000)) <= set(landed(fake))
    assert sink.close()
    assert any(kind == "dropped:spool_failed" for kind, _ in told)
    assert any(".corrupt-" in name for name in files_in(tmp_path))


def test_a_corrupt_file_of_a_dead_process_is_set_aside_and_told(
    tmp_path: Path, anyio_backend: str
) -> None:
    """A file that is no spool is renamed, told, and stops nothing."""
    fake = make_fake()
    told: list[tuple[str, str]] = []
    left = small(fake, tmp_path, anyio_backend, shutdown_timeout=0.1)
    fake.faults.append(Reset(operation="PutRecords"))
    left.emit(b"left")
    give_up(left)
    fake.faults.clear()
    (database,) = (tmp_path / "spool").glob("*/*.db")
    database.write_bytes(b"no database" * 1000)

    sink = small(
        fake, tmp_path, anyio_backend, on_error=lambda kind, text: told.append((kind, text))
    )
    sink.emit(b"other")
    wait_until(lambda: told)
    wait_until(drained(sink))
    assert sink.close()
    assert told[0][0] == "spool"
    assert ".corrupt-" in told[0][1]
    assert landed(fake) == [b"other"]


@pytest.mark.parametrize("mode", MODES)
def test_a_directory_that_cannot_be_made_is_told_once(
    tmp_path: Path, anyio_backend: str, mode: str
) -> None:
    """Where there can be no spool events go as without one, with one warning."""
    (tmp_path / "spool").write_text("a file")
    fake = make_fake()
    told: list[tuple[str, str]] = []
    sink = small(
        fake, tmp_path, anyio_backend, spool_mode=mode, shutdown_timeout=PATIENCE,
        on_error=lambda kind, text: told.append((kind, text)),
    )  # fmt: skip
    for event in events(300):
        sink.emit(event)
    wait_until(drained(sink))
    assert landed(fake) == events(300)
    assert sink.close()
    assert [kind for kind, _ in told] == ["spool"]
    assert sink.statistics().lost == 0


def test_a_full_disk_leaves_events_in_memory(
    tmp_path: Path, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the disk refuses memory sheds as without a spool; afterwards it is used again."""
    monkeypatch.setattr(spool_disk, "REST", 0.2)
    full = True
    append = SpoolFile.append

    def refuse(self: SpoolFile, saved: list[Any]) -> list[int]:
        if full:
            raise self._failed(sqlite3.OperationalError("database or disk is full"))
        return append(self, saved)

    monkeypatch.setattr(SpoolFile, "append", refuse)
    fake = make_fake()
    told: list[tuple[str, str]] = []
    sink = small(
        fake, tmp_path, anyio_backend, shutdown_timeout=PATIENCE, overflow="drop_newest",
        on_error=lambda kind, text: told.append((kind, text)),
    )  # fmt: skip
    with nothing_arrives(fake):
        for event in events(1000):
            sink.emit(event)
        wait_until(lambda: sink.statistics().dropped.get(DropReason.QUEUE_FULL))
        assert sink.statistics().pending_bytes <= 100_000
        wait_until(lambda: any(kind == "spool" for kind, _ in told))
        full = False
        wait_until(lambda: _emitted_to_disk(sink))
    wait_until(drained(sink))
    account = sink.statistics()
    assert set(account.dropped) == {DropReason.QUEUE_FULL}
    assert len(landed(fake)) == account.delivered
    assert sink.close()
    assert sum(kind == "spool" for kind, _ in told) == 1


def _emitted_to_disk(sink: Sink) -> bool:
    sink.emit(b"more")
    return sink.statistics().spooled > 0


def test_a_full_disk_leaves_drop_oldest_as_it_is(tmp_path: Path, anyio_backend: str) -> None:
    """Where there can be no spool `drop_oldest` keeps memory within its bound."""
    (tmp_path / "spool").write_text("a file")
    fake = make_fake()
    sink = small(
        fake, tmp_path, anyio_backend, overflow="drop_oldest", shutdown_timeout=PATIENCE,
        on_error=lambda *_: None,
    )  # fmt: skip
    every = events(2000)
    with nothing_arrives(fake):
        emit_all(sink, every)
        wait_until(lambda: sink.statistics().dropped.get(DropReason.QUEUE_FULL, 0) > 500)
    wait_until(drained(sink))
    assert set(sink.statistics().dropped) == {DropReason.QUEUE_FULL}
    assert landed(fake)[-1] == every[-1]
    assert sink.close()


def test_a_missing_permission_is_tried_again_and_loses_nothing(
    tmp_path: Path, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is refused for what the stream is goes back to disk, and is tried now and then."""
    monkeypatch.setattr(spooler, "REST", 0.2)
    fake = make_fake()
    sink = small(
        fake, tmp_path, anyio_backend, spool_mode="always", shutdown_timeout=PATIENCE,
        on_error=lambda *_: None,
    )  # fmt: skip
    fake.faults.append(AccessDenied(operation="PutRecords"))
    for event in events(20):
        sink.emit(event)
    wait_until(lambda: sink.statistics().spooled == 20)
    wait_until(lambda: sink.statistics().requests > 2)
    assert adds_up(sink.statistics())
    assert sink.statistics().lost == 0
    fake.faults.clear()
    wait_until(drained(sink))
    assert landed(fake) == events(20)
    assert sink.close()
    assert files_in(tmp_path) == []


def test_an_event_that_kinesis_never_takes_is_given_up_for_good(
    tmp_path: Path, anyio_backend: str
) -> None:
    """One bad event is counted, handed on and gone from disk; it does not come back for ever."""
    fake = make_fake()
    letters: list[Any] = []
    sink = small(
        fake, tmp_path, anyio_backend, spool_mode="always", shutdown_timeout=PATIENCE,
        dead_letter=letters.extend, on_error=lambda *_: None, request_max_entries=100,
        aggregate_max_events=1,
    )  # fmt: skip
    sink.emit(b"first")
    wait_until(drained(sink))
    fake.faults.append(RejectRequest(entry=lambda entry: b"bad" in entry.data))
    for event in [*events(20), b"bad", *events(20, begin=20)]:
        sink.emit(event)
    wait_until(drained(sink))
    assert sink.close()
    assert sink.statistics().dropped == {DropReason.REJECTED: 1}
    assert landed(fake) == [*events(40), b"first"]
    assert [letter.data for letter in letters] == [b"bad"]
    assert files_in(tmp_path) == []


def test_fail_if_throttled_gives_up_what_is_on_disk_too(tmp_path: Path, anyio_backend: str) -> None:
    """Who asks for refusals to be final gets that, with a spool as without."""
    fake = make_fake()
    sink = small(
        fake, tmp_path, anyio_backend, spool_mode="always", shutdown_timeout=PATIENCE,
        fail_if_throttled=True, on_error=lambda *_: None,
    )  # fmt: skip
    fake.faults.append(ThrottleEntries(times=1))
    sink.emit(b"one")
    wait_until(drained(sink))
    assert sink.close()
    assert sink.statistics().dropped == {DropReason.THROTTLED: 1}
    assert landed(fake) == []
    assert files_in(tmp_path) == []


def test_what_has_no_valid_key_never_goes_to_disk(tmp_path: Path, anyio_backend: str) -> None:
    """An event that Kinesis can never take is dropped as without a spool."""
    fake = make_fake()
    sink = small(
        fake, tmp_path, anyio_backend, spool_mode="always", shutdown_timeout=PATIENCE,
        on_error=lambda *_: None,
    )  # fmt: skip
    sink.emit(b"one", partition_key="")
    sink.emit(b"two", partition_key="k" * 257)
    sink.emit(b"three", partition_key="key", explicit_hash_key=2**127)
    sink.emit(b"four", explicit_hash_key=2**127)
    wait_until(drained(sink))
    assert sink.close()
    assert sink.statistics().dropped == {DropReason.INVALID: 2}
    assert landed(fake) == [b"four", b"three"]
    assert files_in(tmp_path) == []


def test_keys_survive_the_disk(tmp_path: Path, anyio_backend: str) -> None:
    """An event that was on disk goes to the shard that its keys say."""
    fake = make_fake()
    left = small(fake, tmp_path, anyio_backend, spool_mode="always", shutdown_timeout=0.1)
    fake.faults.append(Reset(operation="PutRecords"))
    left.emit(b"by key", partition_key="a key")
    left.emit(b"by hash", explicit_hash_key=2**127)
    give_up(left)
    fake.faults.clear()
    sink = small(fake, tmp_path, anyio_backend, shutdown_timeout=PATIENCE)
    sink.emit(b"last")
    wait_until(drained(sink))
    assert sink.close()
    records = {record.data: record for record in fake.user_records("app")}
    assert records[b"by key"].partition_key == "a key"
    assert records[b"by hash"].explicit_hash_key == 2**127
    assert len(records) == 3


def test_a_submitted_record_is_not_spooled(tmp_path: Path, anyio_backend: str) -> None:
    """Whoever waits for a result learns it in time; nothing is sent behind their back."""
    fake = make_fake()
    sink = small(fake, tmp_path, anyio_backend, spool_mode="always", shutdown_timeout=0.2)
    fake.faults.append(Reset(operation="PutRecords"))
    future = sink.submit(b"one")
    give_up(sink)
    assert future.result(PATIENCE).reason is DropReason.SHUTDOWN
    assert files_in(tmp_path) == []
    assert sink.statistics().dropped == {DropReason.SHUTDOWN: 1}


def test_the_bound_in_events_holds_in_memory(tmp_path: Path, anyio_backend: str) -> None:
    """`max_pending_events` bounds memory in the mode `always` too; the rest is on disk."""
    fake = make_fake()
    sink = small(
        fake, tmp_path, anyio_backend, spool_mode="always", max_pending_events=50,
        shutdown_timeout=PATIENCE,
    )  # fmt: skip
    with nothing_arrives(fake):
        emit_all(sink, events(300))
        account = sink.statistics()
        assert account.pending == 300
        assert account.pending - account.spooled <= 50
        assert not sink.turns_away(logging.DEBUG)
    wait_until(drained(sink))
    assert landed(fake) == events(300)
    assert sink.close()


def test_an_error_of_the_pipeline_costs_what_it_held_and_no_more(
    tmp_path: Path, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an error of kinesink's own the account adds up, and the disk holds nothing of it."""
    fake = make_fake()
    sink = small(
        fake, tmp_path, anyio_backend, spool_mode="always", shutdown_timeout=PATIENCE,
        on_error=lambda *_: None,
    )  # fmt: skip
    sink.emit(b"first")
    wait_until(drained(sink))

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr("kinesink.core.pipeline.Pipeline.add", fail)
        sink.emit(b"second")
        wait_until(drained(sink))
    sink.emit(b"third")
    wait_until(drained(sink))
    assert sink.close()
    assert sink.statistics().dropped == {DropReason.INTERNAL: 1}
    assert landed(fake) == [b"first", b"third"]
    assert files_in(tmp_path) == []


def test_an_error_of_the_spool_leaves_events_in_memory(
    tmp_path: Path, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the work on disk raises, events go the way they would without a spool."""

    def fail(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(spool_disk.SpoolDisk, "adopt", fail)
    told: list[str] = []
    fake = make_fake()
    sink = small(
        fake, tmp_path, anyio_backend, shutdown_timeout=PATIENCE,
        on_error=lambda _, text: told.append(text),
    )  # fmt: skip
    for event in events(20):
        sink.emit(event)
    wait_until(drained(sink))
    assert landed(fake) == events(20)
    assert sink.close(PATIENCE)
    assert any("ZeroDivisionError" in text for text in told)


def test_close_waits_for_what_is_under_way_on_disk(
    tmp_path: Path, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has arrived is removed before the end, however slow the disk, and comes never again."""
    removes, looked, may_remove = threading.Event(), threading.Event(), threading.Event()
    remove = spool_disk.SpoolDisk.remove
    is_spooling: Any = inspect.getattr_static(ProducerTask, "is_spooling")

    def remove_late(disk: spool_disk.SpoolDisk, done: list[Any]) -> object:
        removes.set()
        assert may_remove.wait(PATIENCE)
        return remove(disk, done)

    def look(task: ProducerTask) -> bool:
        busy: bool = is_spooling.fget(task)
        if busy:
            looked.set()
        return busy

    monkeypatch.setattr(spool_disk.SpoolDisk, "remove", remove_late)
    monkeypatch.setattr(ProducerTask, "is_spooling", property(look))
    fake = make_fake()
    sink = small(fake, tmp_path, anyio_backend, spool_mode="always", shutdown_timeout=PATIENCE)
    sink.emit(b"one")
    wait_until(removes.is_set)
    closed: list[bool] = []
    closing = threading.Thread(target=lambda: closed.append(sink.close(PATIENCE)))
    closing.start()
    wait_until(looked.is_set)
    assert files_in(tmp_path) != []
    assert closed == []
    may_remove.set()
    closing.join()
    assert closed == [True]
    assert landed(fake) == [b"one"]
    assert files_in(tmp_path) == []


def test_two_sinks_share_a_directory(tmp_path: Path, anyio_backend: str) -> None:
    """Sinks of one process have a file each, and streams a folder each."""
    fake = make_fake()
    fake.create_stream("other", shards=1)
    config = {"spool_mode": "always", "shutdown_timeout": PATIENCE}
    other = small(fake, tmp_path, anyio_backend, **config).config
    sinks = [
        small(fake, tmp_path, anyio_backend, **config),
        small(fake, tmp_path, anyio_backend, **config, linger=0.02),
        Sink(replace(other, stream_name="other"), make_client=lambda of: make_client(fake, of)),
    ]
    with nothing_arrives(fake):
        for sink in sinks:
            sink.emit(b"event")
        assert sum(name.endswith(".db") for name in files_in(tmp_path)) == 3
        assert len(list((tmp_path / "spool").iterdir())) == 2
    for sink in sinks:
        wait_until(drained(sink))
        assert sink.close()
    assert landed(fake) == [b"event", b"event"]
    assert [record.data for record in fake.user_records("other")] == [b"event"]
    assert files_in(tmp_path) == []


async def test_a_log_call_in_an_event_loop_is_on_disk_when_it_returns(
    tmp_path: Path, anyio_backend: str
) -> None:
    """The mode `always` writes in the calling thread, also in that of an event loop."""
    fake = make_fake()
    sink = small(fake, tmp_path, anyio_backend, spool_mode="always", shutdown_timeout=PATIENCE)
    sink.emit(b"one")
    assert any(name.endswith(".db") for name in files_in(tmp_path))
    assert await sink.aflush(PATIENCE)
    assert landed(fake) == [b"one"]
    sink.retire()
    assert kinesink.DropReason.SPOOL_FULL not in sink.statistics().dropped

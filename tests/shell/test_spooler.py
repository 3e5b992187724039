"""The spool's decisions and its account, with real files and the jobs done by hand."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from kinesink.core.records import Attempt, Chunk, DropReason, RecordResult, UserRecord
from kinesink.shell import spooler
from kinesink.shell.spool_disk import SpoolDisk
from kinesink.shell.spool_owner import Owner
from kinesink.shell.spooler import ADOPTION_INTERVAL, Spooler
from kinesink.statistics import Statistics
from tests.shell.support import make_config

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kinesink.core.records import Content

TAKEN = RecordResult(success=True, shard_id="s", sequence_number="1", attempts=())


def failed(reason: DropReason, code: str | None = None) -> RecordResult:
    """Return what a record is told that was given up, after a call with this error."""
    attempts = () if code is None else (Attempt(0.0, 0.0, success=False, error_code=code),)
    return RecordResult(
        success=False, shard_id=None, sequence_number=None, attempts=attempts, reason=reason
    )


class World:
    """A spooler, and what its task has been told; the task's hands are the test's."""

    def __init__(self, path: Path, **parameters: object) -> None:
        self.spooler = Spooler(make_config(spool_path=str(path), **parameters))
        self.now = 100.0
        self.works = True
        self.memory: list[UserRecord] = []
        self.taken_back: dict[DropReason, int] = {}
        self.dropped: list[tuple[DropReason, list[bytes]]] = []
        self.lost: list[tuple[DropReason, int]] = []
        self.told: list[str] = []
        self.begin()

    def begin(self) -> None:
        """Begin with a task."""
        self.spooler.begin(Owner(
            add=self._add, take_back=self._take_back, dropped=self._dropped, lost=self._lost,
            report=self.told.append, works=lambda: self.works, clock=lambda: self.now,
        ))  # fmt: skip

    def _add(self, contents: list[Content]) -> None:
        for content in contents:
            assert isinstance(content, UserRecord)
            self.memory.append(content)

    def _take_back(self, reason: DropReason, events: int) -> None:
        self.taken_back[reason] = self.taken_back.get(reason, 0) + events

    def _dropped(self, reason: DropReason, contents: list[Content], _: str) -> None:
        self.dropped.append((reason, [data for content in contents for data in content.each()]))

    def _lost(self, reason: DropReason, levels: Mapping[str | None, int], _: str) -> None:
        self.lost.append((reason, sum(levels.values())))

    def work(self, fill: float = 0.0) -> None:
        """Do all the jobs there are."""
        while (job := self.spooler.job(self.now, fill)) is not None:
            job.run()
            self.spooler.finish()

    def work_once(self, fill: float = 0.0) -> None:
        """Do the next job."""
        job = self.spooler.job(self.now, fill)
        assert job is not None
        job.run()
        self.spooler.finish()

    def account(self) -> Statistics:
        """Return the account, with what callers have parked."""
        settled = self.spooler.settle()
        parked = self.spooler.parked_by_callers.value
        assert settled.pending + parked == self.spooler.parked
        return settled

    def end(self, result: RecordResult) -> list[bytes]:
        """End all that is in memory; return what it was."""
        memory, self.memory = self.memory, []
        for record in memory:
            assert record.ticket is not None
            record.ticket.resolve(result)
        return [record.data for record in memory]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a spooler in a directory of its own."""
    return World(tmp_path)


def test_nothing_is_made_before_the_first_event(tmp_path: Path) -> None:
    """A spooler without events touches nothing, also when it looks for what others left."""
    world = World(tmp_path / "spool")
    world.work()
    world.spooler.close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_saved_comes_back_in_order_and_is_removed(world: World) -> None:
    """Events on disk are pending there, then in memory, and gone once they are delivered."""
    world.spooler.save([Chunk([b"1", b"2"], 100.0), Chunk([b"3"], 100.0)], None)
    assert world.account() == Statistics(accepted=3, pending=3, spooled=3)
    world.work(fill=1.0)
    assert world.account() == Statistics(accepted=3, pending=3, spooled=3)
    world.work()
    assert [record.data for record in world.memory] == [b"1", b"2", b"3"]
    assert world.account() == Statistics()
    world.end(TAKEN)
    world.spooler.close()
    other = World(world.spooler._disk._directory._root)
    other.work()
    assert other.memory == []


@pytest.mark.parametrize("work", ["write", "read", "remove", "adopt"])
def test_an_error_of_its_own_costs_neither_events_nor_the_spool(
    world: World, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    """What the work was for waits, or goes where it would without; the disk is tried again."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(spooler, "_REMOVAL_DELAY", 0.0)
    if work != "write":
        world.spooler.save([Chunk([b"1"], 100.0)], None)
        world.work(fill=1.0)
    if work == "remove":
        world.work()
        assert world.end(TAKEN) == [b"1"]
    world.now += ADOPTION_INTERVAL
    with monkeypatch.context() as patch:
        patch.setattr(SpoolDisk, work, fail)
        if work == "write":
            world.spooler.save([Chunk([b"1"], 100.0)], DropReason.EXPIRED)
        job = world.spooler.job(world.now, 0.0)
        while job is not None and not job.failed:
            with contextlib.suppress(ZeroDivisionError):
                job.run()
            job = world.spooler.job(world.now, 0.0)
        assert not world.spooler.is_busy
        assert not world.spooler.takes
    monkeypatch.setattr(world.spooler._disk, "_rests_until", 0.0)
    world.now += 2 * ADOPTION_INTERVAL
    world.work()
    if work == "write":
        assert world.dropped == [(DropReason.EXPIRED, [b"1"])]
    else:
        assert [record.data for record in world.memory] == [b"1"] * (work != "remove")
        world.end(TAKEN)
    world.spooler.save([Chunk([b"2"], 100.0)], None)
    world.work()
    assert world.end(TAKEN) == [b"2"]
    world.spooler.close()
    other = World(world.spooler._disk._directory._root)
    other.work()
    assert other.memory == []


def test_what_expires_in_memory_stays_on_disk(world: World) -> None:
    """An event that comes back in vain is in the spool's account again, and rests."""
    world.spooler.save([Chunk([b"1"], 100.0)], None)
    world.work()
    assert world.end(failed(DropReason.EXPIRED)) == [b"1"]
    assert world.taken_back == {DropReason.EXPIRED: 1}
    assert world.account().spooled == 1
    world.work()
    assert world.memory == []
    world.now += 31.0
    world.work()
    assert world.end(TAKEN) == [b"1"]
    assert world.account() == Statistics()


@pytest.mark.parametrize(
    ("result", "works", "final"),
    [
        (failed(DropReason.TOO_LARGE), True, True),
        (failed(DropReason.THROTTLED), True, True),
        (failed(DropReason.REJECTED, "InvalidArgumentException"), True, True),
        (failed(DropReason.REJECTED, "InvalidArgumentException"), False, False),
        (failed(DropReason.REJECTED, "AccessDeniedException"), True, False),
        (failed(DropReason.REJECTED), True, False),
    ],
)
def test_only_the_fault_of_the_event_is_the_end_of_it(
    world: World, result: RecordResult, *, works: bool, final: bool
) -> None:
    """What the stream or the account is to blame for stays on disk."""
    world.works = works
    world.spooler.save([Chunk([b"1"], 100.0)], None)
    world.work()
    world.end(result)
    assert world.account().spooled == (not final)
    assert world.dropped == ([(result.reason, [b"1"])] if final else [])


def test_one_hundred_try_whether_kinesis_takes_them(world: World) -> None:
    """Until something has arrived few are brought back; then as many as there is room for."""
    world.spooler.save([Chunk([b"%d" % n for n in range(2500)], 100.0)], None)
    world.work()
    assert len(world.memory) == 100
    world.end(TAKEN)
    world.work()
    assert len(world.memory) == 2400


def test_what_a_spooler_leaves_another_one_adopts(tmp_path: Path) -> None:
    """Files that are closed are found by whoever looks next, within a minute."""
    world, other = World(tmp_path), World(tmp_path)
    other.work()
    world.spooler.save([Chunk([b"1", b"2"], 100.0)], DropReason.SHUTDOWN)
    world.spooler.close()
    assert world.account() == Statistics(accepted=2, pending=2, spooled=2)
    other.work()
    assert other.memory == []
    other.now += ADOPTION_INTERVAL
    other.work()
    assert [record.data for record in other.memory] == [b"1", b"2"]
    world.begin()
    world.work()
    assert world.memory == []


def test_what_callers_have_parked_comes_back(world: World) -> None:
    """An event that was kept and had no room in memory counts once, and is brought back."""
    ticket = world.spooler.keep(b"1", "key", 7, 20)
    assert ticket is not None
    assert world.account() == Statistics()
    world.work()
    assert world.memory == []
    world.spooler.park(ticket)
    world.work()
    (record,) = world.memory
    assert (record.data, record.partition_key, record.explicit_hash_key) == (b"1", "key", 7)
    # Less by what the reader adds: the one that the caller has parked.
    assert world.account() == Statistics(accepted=-1, pending=-1, spooled=-1)
    world.end(TAKEN)
    world.spooler.close()


def test_a_disk_that_hangs_is_not_waited_for_in_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it is at is not touched by its side, and is there for the next process."""
    monkeypatch.setattr(spooler, "_PATIENCE", 0.01)
    world.spooler.save([Chunk([b"1"], 100.0)], None)
    world.work(fill=1.0)
    hangs = world.spooler.job(world.now, 0.0)
    assert hangs is not None
    world.spooler.close()
    files = [rows.file for rows in world.spooler._disk.files]
    assert len(files) == 1
    assert not files[0].closed
    hangs.run()
    world.begin()
    world.spooler.finish()
    assert world.end(TAKEN) == [b"1"]
    world.spooler.close()
    assert files[0].closed


def test_the_result_of_a_job_is_taken_also_by_the_next_task(world: World) -> None:
    """What a thread was at when a task ended is in the account of the one that follows."""
    world.spooler.save([Chunk([b"1"], 100.0)], None)
    job = world.spooler.job(world.now, 1.0)
    assert job is not None
    world.begin()
    assert world.spooler.job(world.now, 1.0) is None
    assert world.spooler.deadline(world.now) == world.now + 1.0
    job.run()
    world.work()
    assert [record.data for record in world.memory] == [b"1"]


def test_a_key_that_no_disk_can_hold_goes_the_other_way(world: World) -> None:
    """An event that cannot be written is refused by the disk, and nothing else is."""
    assert world.spooler.keep(b"1", "\ud800", None, None) is None
    assert world.spooler.keep(b"1", "key", None, None) is not None


def test_a_record_with_a_key_goes_to_disk_as_it_is(world: World) -> None:
    """And comes back with its keys."""
    record = UserRecord(b"1", arrival=100.0, partition_key="k", explicit_hash_key=7)
    world.spooler.save([record], DropReason.EXPIRED)
    world.work()
    (back,) = world.memory
    assert (back.data, back.partition_key, back.explicit_hash_key) == (b"1", "k", 7)


def test_an_event_whose_file_is_gone_finds_another_one(world: World) -> None:
    """While it was in memory its file turned out to be corrupt."""
    world.spooler.save([Chunk([b"1"], 100.0)], DropReason.EXPIRED)
    world.work()
    (rows,) = world.spooler._disk.files
    rows.file.close(remove_if_empty=False)
    world.work()
    world.end(failed(DropReason.EXPIRED))
    assert world.taken_back == {DropReason.EXPIRED: 1}
    world.now += 3600
    world.work()
    assert [record.data for record in world.memory] == [b"1"]
    assert world.spooler._disk.files != [rows]


def test_what_memory_gave_away_it_takes_back_if_the_disk_refuses(tmp_path: Path) -> None:
    """Nothing is lost that need not be."""
    (tmp_path / "spool").write_bytes(b"in the way")
    world = World(tmp_path / "spool")
    chunk = Chunk([b"1", b"2"], 100.0)
    taken: list[Content] = []
    world.spooler._owner = world.spooler._owner._replace(add=taken.extend)
    world.spooler.save([chunk], None)
    world.work()
    assert [data for content in taken for data in content.each()] == [b"1", b"2"]
    assert world.account() == Statistics()


def test_what_is_parked_while_others_are_read_is_found_later(world: World) -> None:
    """The place where the look goes on is not moved past it."""
    world.spooler.save([Chunk([b"1", b"2"], 100.0)], None)
    world.work(fill=1.0)
    (rows,) = world.spooler._disk.files
    rows.after = 5
    begun = rows.look()
    found = rows.scan(10)
    rows._returned.append(1)
    rows.take(found, begun)
    assert rows.after == 0

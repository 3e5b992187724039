"""The spool's work on the disk: it raises nothing, and says what it has done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from kinesink.core.records import Chunk, DropReason
from kinesink.shell.spool_disk import SpoolDisk, _without
from kinesink.shell.spooler import Spooler
from kinesink.spool.errors import SpoolUnavailableError, Trouble
from tests.shell.support import make_config
from tests.shell.test_spooler import TAKEN, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kinesink.shell.spool_rows import Rows

EVENTS = [b"%03d" % number for number in range(10)]


def failing(trouble: Trouble, path: Path) -> Callable[..., NoReturn]:
    """Return what raises as a spool does."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise SpoolUnavailableError(trouble, path, "as a test wants it")

    return fail


@pytest.fixture
def disk(tmp_path: Path) -> SpoolDisk:
    """Return a disk with a directory of its own, and room for ten thousand events."""
    return SpoolDisk(make_config(spool_path=str(tmp_path), spool_max_bytes="1MiB"))


def saved(disk: SpoolDisk, events: list[bytes] = EVENTS, at: float = 1.0) -> Rows:
    """Save events, and return the file they are in."""
    written = disk.write([(Chunk(list(events), at), None)], 0.0)
    ((rows, number),) = written.saved
    assert (number, written.left, written.evicted) == (len(events), [], [])
    rows.moved += number
    return rows


@pytest.mark.parametrize("trouble", [Trouble.DISK, Trouble.BUSY])
def test_a_disk_that_refuses_is_left_alone_for_a_while(
    disk: SpoolDisk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trouble: Trouble
) -> None:
    """Nothing is saved, nothing is raised, and it is told once."""
    monkeypatch.setattr(disk._directory, "open", failing(trouble, tmp_path))
    batch: list[Any] = [(Chunk(list(EVENTS), 0.0), None)]
    written = disk.write(batch, 0.0)
    assert (written.saved, written.left) == ([], batch)
    assert disk.rests > 0
    assert len(disk.troubles) == 1


def test_another_file_is_tried_where_one_has_gone(
    disk: SpoolDisk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is wrong with one says nothing about the next."""
    rows = saved(disk)
    monkeypatch.setattr(rows.file, "append", failing(Trouble.GONE, tmp_path))
    rows.file.close(remove_if_empty=False)
    again = saved(disk, [b"again"])
    assert again is not rows
    assert disk.rests <= 0


def test_a_file_that_goes_on_failing_is_given_up(
    disk: SpoolDisk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """After a few tries the events are left to whoever has them."""
    rows = disk.own()
    monkeypatch.setattr(rows.file, "append", failing(Trouble.GONE, tmp_path))
    batch: list[Any] = [(Chunk(list(EVENTS), 0.0), None)]
    assert disk.write(batch, 0.0).left == batch


def test_reading_removing_adopting_and_making_room_raise_nothing(
    disk: SpoolDisk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each says that it has done nothing."""
    rows = saved(disk)
    for name in ("read", "delete", "oldest_at"):
        monkeypatch.setattr(rows.file, name, failing(Trouble.DISK, tmp_path))
    monkeypatch.setattr(disk._directory, "adopt", failing(Trouble.DISK, tmp_path))
    assert disk.read({rows: 0}, 10) is None
    assert disk.remove([(rows, [1, 2])]).left == [(rows, [1, 2])]
    assert disk.adopt() is None
    assert disk.make_room(-1.0, 1 << 20).evicted == []
    assert len(disk.troubles) == 4


def test_room_is_made_by_the_oldest_of_all_files(disk: SpoolDisk, tmp_path: Path) -> None:
    """And no further than is wanted."""
    old = SpoolDisk(make_config(spool_path=str(tmp_path), spool_max_bytes="1MiB"))
    saved(old, [b"old"], at=0.5)
    for rows in old.files:
        rows.file.close(remove_if_empty=False)
    rows = saved(disk)
    adoption = disk.adopt()
    assert adoption is not None
    (file,) = adoption.files
    adopted = type(rows)(file, file.held_events)
    disk.files.append(adopted)
    ((first, events),) = disk.make_room(0.0, 10).evicted
    assert (first, events) == (adopted, [b"old"])
    adopted.moved -= 1
    everything = disk.make_room(-1.0, 1 << 20).evicted
    assert [(of, list(data)) for of, data in everything] == [(rows, EVENTS)]


def test_what_comes_in_displaces_the_oldest_of_a_full_disk(disk: SpoolDisk) -> None:
    """And is saved; of the old, no more goes than it needs."""
    events = [b"%03d" % number + bytes(100_000) for number in range(10)]
    rows = saved(disk, events)
    new = b"new" + bytes(150_000)
    written = disk.write([(Chunk([new], 2.0), None)], 0.0)
    assert (written.saved, written.left) == ([(rows, 1)], [])
    assert [(of, list(data)) for of, data in written.evicted] == [(rows, events[:2])]
    assert [event.data for _, event in rows.file.read(100)] == [*events[2:], new]
    assert disk.fill() <= 1.0


def test_where_nothing_is_parked_there_is_nothing_to_read_or_to_evict(disk: SpoolDisk) -> None:
    """What is in memory is not the disk's to give away."""
    rows = saved(disk)
    found = disk.read({rows: 0}, 100)
    assert found is not None
    rows.take(found.events, 0)
    assert disk.read({rows: 0}, 100) is None
    # One that seems to hold something that is nowhere else does not keep it busy.
    rows.moved += 1
    assert disk.make_room(-1.0, 1 << 20).evicted == []


def test_of_contents_that_were_saved_in_part_the_rest_is_left() -> None:
    """Cut within a chunk, so that nothing comes twice."""
    first, second = Chunk([b"1", b"2"], 0.0), Chunk([b"3", b"4"], 0.0)
    left = _without([(first, None), (second, None)], 3)
    assert [(content.each(), reason) for content, reason in left] == [([b"4"], None)]
    assert _without([(first, None)], 0) == [(first, None)]


class TestKeep:
    """Saving an event within its log call."""

    def test_a_file_that_has_just_been_closed_is_replaced(self, tmp_path: Path) -> None:
        """Once; whoever finds the next one gone as well goes on in memory."""
        spooler = Spooler(make_config(spool_path=str(tmp_path)))
        first = spooler.keep(b"1", None, None, 20)
        assert first is not None
        file = first.rows.file
        keep = type(first.rows).keep
        calls: list[int] = []

        def gone_once(self: Rows, *arguments: Any) -> int:  # noqa: ANN401 - passed on
            calls.append(1)
            if len(calls) == 1:
                raise SpoolUnavailableError(Trouble.GONE, tmp_path, "closed")
            return keep(self, *arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(first.rows), "keep", gone_once)
            assert spooler.keep(b"2", None, None, 20) is not None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(first.rows), "keep", failing(Trouble.GONE, tmp_path))
            assert spooler.keep(b"3", None, None, 20) is None
        assert file.held_events == 2

    def test_a_disk_that_has_refused_is_not_asked_again_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Log calls go on without it."""
        spooler = Spooler(make_config(spool_path=str(tmp_path)))
        opened: list[int] = []

        def fail() -> NoReturn:
            opened.append(1)
            raise SpoolUnavailableError(Trouble.DISK, tmp_path, "full")

        monkeypatch.setattr(spooler._disk._directory, "open", fail)
        assert spooler.keep(b"1", None, None, 20) is None
        assert spooler.keep(b"2", None, None, 20) is None
        assert opened == [1]
        assert not spooler.is_ready


def test_what_cannot_be_removed_now_is_removed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would come twice otherwise, once the process has ended."""
    world = World(tmp_path)
    world.spooler.save([Chunk([b"1"], 100.0)], None)
    world.work()
    (rows,) = world.spooler._disk.files
    world.end(TAKEN)
    world.work()
    world.now += 1
    with monkeypatch.context() as patch:
        patch.setattr(rows.file, "delete", failing(Trouble.REFUSED, tmp_path))
        world.work_once()
    assert rows.done == [1]
    world.work()
    world.now += 1
    world.work()
    assert rows.done == []
    assert rows.file.held_events == 0


def test_a_file_that_turns_out_to_be_corrupt_while_it_is_read_costs_its_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are counted, and those in memory find another file."""
    world = World(tmp_path)
    world.spooler.save([Chunk([b"1", b"2"], 100.0)], DropReason.EXPIRED)
    world.work(fill=1.0)
    (rows,) = world.spooler._disk.files

    def corrupt(*_: object) -> NoReturn:
        rows.file.close(remove_if_empty=False)
        raise SpoolUnavailableError(Trouble.CORRUPT, tmp_path, "garbage")

    with monkeypatch.context() as patch:
        patch.setattr(rows.file, "read", corrupt)
        world.work()
    world.work()
    assert world.lost == [(DropReason.SPOOL_FAILED, 2)]
    assert world.account().pending == 0


def test_an_event_that_finds_no_room_makes_some(tmp_path: Path) -> None:
    """It goes on in memory; the oldest on disk give way to what comes next."""
    world = World(tmp_path, spool_max_bytes="1MiB")
    world.spooler.save([Chunk([bytes(600_000)], 100.0)], None)
    world.work(fill=1.0)
    assert world.spooler.keep(bytes(600_000), None, None, 20) is None
    assert [world.spooler._disk.full] == [True]
    world.work(fill=1.0)
    assert [world.spooler._disk.full] == [False]
    assert world.spooler.is_ready


def test_what_would_be_lost_otherwise_is_lost_where_the_disk_refuses(tmp_path: Path) -> None:
    """For the reason that it had, and it is told."""
    (tmp_path / "spool").write_bytes(b"in the way")
    world = World(tmp_path / "spool")
    world.spooler.save([Chunk([b"1", b"2"], 100.0)], DropReason.EXPIRED)
    world.work()
    assert world.dropped == [(DropReason.EXPIRED, [b"1", b"2"])]
    account = world.account()
    assert (account.accepted, account.pending, account.lost) == (2, 0, 2)

"""One file: what goes in comes out, and is counted."""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING

import pytest

from kinesink.spool import rows
from kinesink.spool.errors import SpoolUnavailableError, Trouble
from kinesink.spool.event import ROW_BYTES, SpooledEvent, size_of
from tests.spool.support import MIB, append, directory_in, event, names, numbers

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = [
    SpooledEvent(b"", None, None, None, 0.0),
    SpooledEvent(b"\0\xff" * 5000, "key \0 ü", 0, 10, 1764141234.567891),
    SpooledEvent(b"x", "k" * 256, 2**128 - 1, -1, -1.5),
]


def test_every_part_of_an_event_comes_back(tmp_path: Path) -> None:
    """One by one as well as together, with the bytes counted that it was said to take."""
    file = directory_in(tmp_path).open()
    ids = file.append(EVENTS) + [file.append_one(*each) for each in EVENTS]
    assert file.read(100) == list(zip(ids, EVENTS * 2, strict=True))
    assert ids == sorted(ids)
    assert file.held_events == 6
    assert file.held_bytes == 2 * sum(size_of(each.data, each.partition_key) for each in EVENTS)
    file.close()


def test_the_size_in_the_database_is_the_size_in_memory(tmp_path: Path) -> None:
    """So that what was added is what is taken off."""
    directory = directory_in(tmp_path)
    file = directory.open()
    ids = file.append(EVENTS)
    file.delete(ids[:2])
    assert file.held_bytes == ROW_BYTES + 1 + 256
    file.delete(ids)
    assert (file.held_events, file.held_bytes) == (0, 0)
    file.close()


def test_reading_goes_on_behind_a_row_and_stops_at_a_number_of_bytes(tmp_path: Path) -> None:
    """The oldest first; one event at least, however large."""
    file = directory_in(tmp_path).open()
    ids = file.append([event(number, size=100) for number in range(10)])
    assert [row_id for row_id, _ in file.read(3)] == ids[:3]
    assert [row_id for row_id, _ in file.read(3, after=ids[2])] == ids[3:6]
    assert [row_id for row_id, _ in file.read(9, max_bytes=101)] == ids[:2]
    assert [row_id for row_id, _ in file.read(9, after=ids[4], max_bytes=1)] == [ids[5]]
    assert file.read(3, after=ids[-1]) == []
    file.close()


def test_an_append_of_nothing_is_nothing(tmp_path: Path) -> None:
    """No row, no error."""
    file = directory_in(tmp_path).open()
    assert file.append([]) == []
    file.close()


def test_many_events_are_appended_and_deleted_in_order(tmp_path: Path) -> None:
    """More than one statement takes, deleted in runs and here and there."""
    file = directory_in(tmp_path).open()
    ids = file.append([event(number) for number in range(3000)])
    file.delete(ids[:2500])
    assert numbers([file]) == list(range(2500, 3000))
    file.delete(ids[2500::2])
    assert numbers([file]) == list(range(2501, 3000, 2))
    assert file.held_events == 250
    file.delete([*ids, *ids, 99_999])
    assert (file.held_events, file.held_bytes) == (0, 0)
    file.close()


@pytest.mark.parametrize(
    ("ids", "runs"),
    [
        ([], []),
        ([3, 1, 2], [(1, 3)]),
        ([1, 2, 4, 7, 8], [(1, 2), (4, 4), (7, 8)]),
        (range(1, 2500), [(1, 1000), (1001, 2000), (2001, 2499)]),
    ],
)
def test_rows_are_removed_in_runs(ids: list[int], runs: list[tuple[int, int]]) -> None:
    """No row between two runs is in either, and none is so long that others wait for it."""
    assert list(rows.runs_of(ids)) == runs


def test_what_an_emptied_file_took_is_given_back(tmp_path: Path) -> None:
    """A long outage leaves no large file behind in a process that lives on."""
    directory = directory_in(tmp_path)
    file = directory.open()
    ids = file.append([event(number, size=10_000) for number in range(600)])
    assert sum(path.stat().st_size for path in directory.path.iterdir()) > 6 * MIB
    file.delete(ids)
    assert sum(path.stat().st_size for path in directory.path.iterdir()) < MIB
    assert append(file, 1) > ids[-1]
    assert numbers([file]) == [1]
    file.delete(file.append([event(2)]))
    file.close()


def test_the_oldest_are_evicted_and_counted_by_level(tmp_path: Path) -> None:
    """No more than need be, and never those that are on their way."""
    file = directory_in(tmp_path).open()
    levels = [10, 20, 20, None, 40]
    ids = file.append([event(number, levels[number % 5], size=36) for number in range(3000)])
    evicted = file.evict(100 * 1000, after=ids[9])
    assert evicted.events == 2000
    assert evicted.size == 200_000
    assert evicted.by_level == {10: 400, 20: 800, None: 400, 40: 400}
    assert numbers([file]) == [*range(10), *range(2010, 3000)]
    assert (file.held_events, file.held_bytes) == (1000, 100_000)
    assert file.evict(99_999).events == 1
    assert file.evict(99_900) == (0, 0, {})
    assert file.evict(0, after=ids[-1]) == (0, 0, {})
    assert file.evict(0).events == 999
    file.close()


def test_beyond_the_bound_nothing_is_saved(tmp_path: Path) -> None:
    """And room that is made is room."""
    file = directory_in(tmp_path, max_bytes=1000).open()
    ids = [append(file, number) for number in range(10, 25)]
    assert file.held_bytes == 990
    for refused in (lambda: append(file, 99), lambda: file.append([event(99)])):
        with pytest.raises(SpoolUnavailableError, match="its bound is reached") as caught:
            refused()
        assert (caught.value.trouble, caught.value.path) == (Trouble.FULL, file.path)
    file.delete(ids[:1])
    append(file, 99)
    assert numbers([file]) == [*range(11, 25), 99]
    file.close()


def test_what_was_saved_before_the_bound_is_named(tmp_path: Path) -> None:
    """An append of many keeps what had room, whole statements of it."""
    file = directory_in(tmp_path, max_bytes=66 * 400).open()
    with pytest.raises(SpoolUnavailableError) as caught:
        file.append([event(number) for number in range(10, 99)] * 6)
    assert len(caught.value.saved) == 320
    assert [row_id for row_id, _ in file.read(1000)] == caught.value.saved
    file.close()


@pytest.mark.parametrize(
    "refused",
    [
        event(1, level=2**64),
        event(1)._replace(partition_key="\ud800"),
        event(1)._replace(explicit_hash_key=2**128),
        event(1)._replace(at=float("nan")),
    ],
)
def test_what_no_database_holds_is_refused(tmp_path: Path, refused: SpooledEvent) -> None:
    """With the same exception as everything, and the file goes on."""
    file = directory_in(tmp_path).open()
    for attempt in (lambda: file.append_one(*refused), lambda: file.append([refused])):
        with pytest.raises(SpoolUnavailableError) as caught:
            attempt()
        assert caught.value.trouble is Trouble.REFUSED
    append(file, 7)
    assert numbers([file]) == [7]
    file.close()


def test_after_close_it_says_so(tmp_path: Path) -> None:
    """A second close is nothing."""
    file = directory_in(tmp_path).open()
    file.close()
    file.close()
    assert file.closed
    for call in (lambda: append(file, 1), lambda: file.read(1), lambda: file.delete([1])):
        with pytest.raises(SpoolUnavailableError, match="it is closed") as caught:
            call()
        assert caught.value.trouble is Trouble.GONE


def test_an_empty_file_disappears_at_close(tmp_path: Path) -> None:
    """With everything beside it."""
    directory = directory_in(tmp_path)
    file = directory.open()
    file.delete([append(file, 1)])
    assert len(names(directory)) == 3
    file.close()
    assert names(directory) == []


def test_a_file_that_is_not_empty_stays_at_close(tmp_path: Path) -> None:
    """Alone; so does an empty one if it shall."""
    directory = directory_in(tmp_path)
    one, other = directory.open(), directory.open()
    append(one, 1)
    one.close()
    other.close(remove_if_empty=False)
    assert names(directory) == sorted([one.path.name, other.path.name])


def test_threads_append_at_once(tmp_path: Path) -> None:
    """Each event once, under the row that its call returned, and the account is exact."""
    file = directory_in(tmp_path).open()
    saved: dict[int, int] = {}

    def work(worker: int) -> None:
        for number in range(worker * 1000, worker * 1000 + 200):
            saved[append(file, number)] = number
        more = [event(number) for number in range(worker * 1000 + 200, worker * 1000 + 700)]
        saved.update(zip(file.append(more), [int(each.data) for each in more], strict=True))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(1, 5)]
    for thread in threads:
        thread.start()
    seen: list[int] = []
    while any(thread.is_alive() for thread in threads):
        seen += [row_id for row_id, _ in file.read(100, after=seen[-1] if seen else 0)]
    for thread in threads:
        thread.join()
    seen += [row_id for row_id, _ in file.read(10_000, after=seen[-1] if seen else 0)]
    assert {row_id: int(each.data) for row_id, each in file.read(10_000)} == saved
    assert len(saved) == file.held_events == 2800
    # A reader that goes on behind the last row has missed none.
    assert seen == sorted(saved)
    assert file.held_bytes == sum(ROW_BYTES + len(str(number)) for number in saved.values())
    file.close()


def test_a_call_that_interrupts_another_is_counted_with_it(tmp_path: Path) -> None:
    """What it saved is there at once, and in the sums at the latest with the next call."""
    directory = directory_in(tmp_path)
    file = directory.open()
    with file._working():
        append(file, 1)
        file.append([event(2)])
        assert (file.held_events, file.held_bytes) == (2, 130)
    assert directory.budget.held == {id(file): 130}
    assert numbers([file]) == [1, 2]
    file.close()


def test_a_call_does_not_wait_for_ever_for_another_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever logs while a process forks may hold what the fork waits for."""
    monkeypatch.setattr("kinesink.spool.file._PATIENCE", 0.01)
    file = directory_in(tmp_path).open()
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with file._working():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    with pytest.raises(SpoolUnavailableError, match="busy") as caught:
        append(file, 1)
    assert caught.value.trouble is Trouble.BUSY
    leave.set()
    thread.join()
    append(file, 2)
    assert numbers([file]) == [2]
    file.close()


def test_an_eviction_that_fails_in_the_middle_counts_what_it_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is gone is told, the rest stays; only if nothing is gone it raises."""
    file = directory_in(tmp_path).open()
    file.append([event(number) for number in range(1500)])
    remove = file._remove
    calls = 0

    def fails_later(connection: sqlite3.Connection, first: int, last: int) -> int:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise sqlite3.OperationalError("database or disk is full")
        return remove(connection, first, last)

    monkeypatch.setattr(file, "_remove", fails_later)
    assert file.evict(0).events == 1000
    assert (file.held_events, len(file.read(2000))) == (500, 500)
    with pytest.raises(SpoolUnavailableError, match="disk is full") as caught:
        file.evict(0)
    assert caught.value.trouble is Trouble.DISK
    monkeypatch.undo()
    file.close()

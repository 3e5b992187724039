"""A directory that many share: who owns what, and what cannot be owned."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kinesink.spool import database
from kinesink.spool.directory import SpoolDirectory
from kinesink.spool.errors import SpoolUnavailableError, Trouble
from kinesink.spool.file import SpoolFile
from tests.spool.support import append, directory_in, event, names, numbers

if TYPE_CHECKING:
    from collections.abc import Callable


def leave_behind(directory: SpoolDirectory, *numbers: int) -> Path:
    """Leave a file without an owner; return where it is."""
    file = directory.open()
    for number in numbers:
        append(file, number)
    file.close(remove_if_empty=False)
    return file.path


def test_nothing_is_touched_before_the_first_file(tmp_path: Path) -> None:
    """And a directory that is not there holds nothing."""
    directory = directory_in(tmp_path / "deep" / "spool")
    assert directory.adopt() == ([], [])
    assert not (tmp_path / "deep").exists()
    assert directory.evict() == (0, 0, {})
    directory.open().close()
    assert names(directory) == []


def test_files_without_an_owner_are_adopted_the_oldest_first(tmp_path: Path) -> None:
    """With their account; empty ones disappear."""
    directory = directory_in(tmp_path)
    leave_behind(directory, 1, 2)
    leave_behind(directory)
    leave_behind(directory, 3)
    adopter = directory_in(tmp_path)
    files, troubles = adopter.adopt()
    assert troubles == []
    assert numbers(files) == [1, 2, 3]
    assert [file.held_events for file in files] == [2, 1]
    assert adopter.held_bytes == 3 * 65
    assert adopter.files == files
    for file in files:
        file.delete([row_id for row_id, _ in file.read(10)])
        file.close()
    assert adopter.files == []
    assert names(directory) == []


def test_a_file_with_an_owner_is_left_to_it(tmp_path: Path) -> None:
    """In the same process as in any other, and until it is closed."""
    owner, other = directory_in(tmp_path), directory_in(tmp_path)
    file = owner.open()
    append(file, 1)
    assert other.adopt() == owner.adopt() == ([], [])
    append(file, 2)
    file.close()
    (adopted,), _ = other.adopt()
    assert owner.adopt() == ([], [])
    assert numbers([adopted]) == [1, 2]
    adopted.close()


def test_streams_share_a_directory_and_no_file(tmp_path: Path) -> None:
    """Whatever they are called, also where capitals do not count."""
    streams = ["app", "App", "a.b", "a_b", "..", "CON", "x" * 128]
    directories = [SpoolDirectory(tmp_path, stream, 1000) for stream in streams]
    for number, directory in enumerate(directories):
        leave_behind(directory, number)
    folders = [path.name for path in tmp_path.iterdir()]
    assert len({name.lower() for name in folders}) == len(streams)
    assert max(map(len, folders)) <= 140
    for number, directory in enumerate(directories):
        (file,), _ = directory.adopt()
        assert numbers([file]) == [number]
        file.close()


@pytest.mark.skipif(os.name == "nt", reason="permissions of this kind are POSIX")
def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    """Files and directories, whatever the umask allows."""
    before = os.umask(0)
    try:
        directory = directory_in(tmp_path / "spool")
        file = directory.open()
        append(file, 1)
    finally:
        os.umask(before)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "spool").rglob("*")
    }
    folder = modes.pop(directory.path.name)
    assert (folder, set(modes.values()), len(modes)) == (0o700, {0o600}, 3)
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700
    file.close()


def test_what_a_death_in_the_middle_of_a_removal_leaves_is_cleared(tmp_path: Path) -> None:
    """A lock without its database is nobody's, and so is a log."""
    directory = directory_in(tmp_path)
    path = leave_behind(directory, 1)
    path.with_suffix(".lock").touch()
    Path(f"{path}-wal").touch()
    path.unlink()
    assert directory.adopt() == ([], [])
    assert names(directory) == []


def test_files_of_others_are_let_alone(tmp_path: Path) -> None:
    """Only what is called like a spool is looked at."""
    directory = directory_in(tmp_path)
    path = leave_behind(directory, 1)
    other = path.with_name("notes.txt")
    other.write_text("mine")
    (file,), troubles = directory.adopt()
    assert troubles == []
    file.close()
    assert other.read_text() == "mine"


# -- corrupt -----------------------------------------------------------------


def truncate(path: Path) -> None:
    """Lose the second half."""
    os.truncate(path, path.stat().st_size // 2)


def garble_header(path: Path) -> None:
    """Be no database any more."""
    with path.open("r+b") as file:
        file.write(os.urandom(100))


def garble_middle(path: Path) -> None:
    """Lose pages in the middle."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 4096 * 2048)
        file.write(b"\xa5" * 2048 * 3)


def empty(path: Path) -> None:
    """Be left with nothing, as by some file systems after a power failure."""
    os.truncate(path, 0)


def be_text(path: Path) -> None:
    """Be something else."""
    path.write_text("no database\n" * 1000)


def be_a_directory(path: Path) -> None:
    """Be no file at all."""
    path.unlink()
    path.mkdir()
    (path / "inside").touch()


def be_of_somebody_else(path: Path) -> None:
    """Be a database, and no spool."""
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE events (id INTEGER PRIMARY KEY)")
    connection.close()


def lose_its_table(path: Path) -> None:
    """Be a spool by its name only."""
    connection = sqlite3.connect(path)
    connection.executescript("DROP TABLE events")
    connection.close()


@pytest.mark.parametrize(
    "spoil",
    [
        truncate,
        garble_header,
        garble_middle,
        empty,
        be_text,
        be_a_directory,
        be_of_somebody_else,
        lose_its_table,
    ],
)
def test_a_corrupt_file_is_set_aside_and_told(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    """Once, and the others are adopted as if it were not there."""
    directory = directory_in(tmp_path)
    leave_behind(directory, 1)
    file = directory.open()
    file.append([event(number, size=500) for number in range(500)])
    file.close()
    leave_behind(directory, 2)
    spoil(file.path)
    files, troubles = directory.adopt()
    assert numbers(files) == [1, 2]
    (trouble,) = troubles
    assert trouble.trouble is Trouble.CORRUPT
    assert trouble.path.name.startswith(f"{file.path.name}.corrupt-2")
    assert trouble.path.exists()
    assert str(trouble.path) in str(trouble)
    assert directory.files == files
    assert directory.adopt() == ([], [])
    for each in files:
        each.close()
    assert len(names(directory)) == 3


@pytest.mark.parametrize("call", ["append", "append_one", "read", "delete", "evict", "close"])
def test_a_file_that_turns_out_to_be_corrupt_is_set_aside(tmp_path: Path, call: str) -> None:
    """Whatever was called; it is closed then, and another can be opened."""
    directory = directory_in(tmp_path)
    file = directory.open()
    file.append([event(number, size=500) for number in range(500)])
    # The next call opens it anew.
    file.pause()
    be_text(file.path)
    file.resume()
    calls: dict[str, Callable[[], object]] = {
        "append": lambda: file.append([event(1)]),
        "append_one": lambda: append(file, 1),
        "read": lambda: file.read(1),
        "delete": lambda: file.delete([1]),
        "evict": lambda: file.evict(0),
    }
    if call == "close":
        file.close()
    else:
        with pytest.raises(SpoolUnavailableError) as caught:
            calls[call]()
        assert caught.value.trouble is Trouble.CORRUPT
    assert file.closed
    (aside,) = names(directory)
    assert aside.startswith(f"{file.path.name}.corrupt-")
    assert (directory.files, directory.held_bytes) == ([], 0)
    another = directory.open()
    append(another, 1)
    assert numbers([another]) == [1]
    another.close()


def test_what_cannot_even_be_renamed_is_told_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that has become read-only, for instance."""
    directory = directory_in(tmp_path)
    path = leave_behind(directory, 1)
    be_text(path)

    def refuse(*_: object) -> Path:
        raise PermissionError("read-only")

    monkeypatch.setattr(Path, "rename", refuse)
    files, (trouble,) = directory.adopt()
    assert (files, trouble.trouble, trouble.path) == ([], Trouble.CORRUPT, path)


def test_a_newer_version_is_left_alone_and_told(tmp_path: Path) -> None:
    """Byte for byte, for those who know it."""
    directory = directory_in(tmp_path)
    path = leave_behind(directory, 1)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version={database.VERSION + 1}")
    connection.close()
    content = path.read_bytes()
    files, (trouble,) = directory.adopt()
    assert (files, trouble.trouble, trouble.path) == ([], Trouble.NEWER, path)
    assert f"version {database.VERSION + 1}" in str(trouble)
    assert path.read_bytes() == content
    assert names(directory) == [path.name]


def test_a_file_that_cannot_be_read_now_is_adopted_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that refuses is no reason to give it up."""
    directory = directory_in(tmp_path)
    path = leave_behind(directory, 1)

    def refuse(_: SpoolFile) -> None:
        raise SpoolUnavailableError(Trouble.DISK, path, "disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(SpoolFile, "weigh", refuse)
        files, (trouble,) = directory.adopt()
        assert (files, trouble.trouble) == ([], Trouble.DISK)
    assert names(directory) == [path.name]
    (file,), troubles = directory.adopt()
    assert (numbers([file]), troubles) == ([1], [])
    file.close()


def test_a_lock_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    """Its file is left where it is."""
    directory = directory_in(tmp_path)
    path = leave_behind(directory, 1)
    path.with_suffix(".lock").mkdir()
    files, (trouble,) = directory.adopt()
    assert (files, trouble.trouble, trouble.path) == ([], Trouble.DISK, path)
    assert path.exists()


# -- eviction ----------------------------------------------------------------


def test_the_oldest_are_evicted_wherever_they_are(tmp_path: Path) -> None:
    """The bound is for all files of a process together, adopted ones among them."""
    first = directory_in(tmp_path)
    even, odd = first.open(), first.open()
    even.append([event(number, size=36) for number in range(0, 100, 2)])
    odd.append([event(number, 40, size=36) for number in range(1, 100, 2)])
    for file in (even, odd):
        file.close()
    directory = directory_in(tmp_path, max_bytes=6000)
    own = directory.open()
    (even, odd), _ = directory.adopt()
    with pytest.raises(SpoolUnavailableError, match="bound is reached"):
        append(own, 100)
    evicted = directory.evict()
    assert (evicted.events, evicted.size) == (40, 4000)
    # A part of it at a time: that of the one that has the oldest.
    assert evicted.by_level == {20: 40}
    assert directory.held_bytes == 6000
    evicted = directory.evict(5900, after={even: 45})
    assert evicted.by_level == {40: 1}
    append(own, 100)
    assert numbers([own, even, odd]) == [100, *range(80, 100, 2), *range(3, 100, 2)]
    # What is spared in all of them stays, whatever the bound.
    assert directory.evict(0, after={own: 99, even: 99, odd: 99}) == (0, 0, {})
    for file in (own, even, odd):
        file.delete([row_id for row_id, _ in file.read(100)])
        file.close()
    assert (directory.held_bytes, names(directory)) == (0, [])


def test_an_eviction_takes_turns_between_files(tmp_path: Path) -> None:
    """A mebibyte at a time from the one whose oldest event is the oldest."""
    directory = directory_in(tmp_path)
    even, odd = directory.open(), directory.open()
    even.append([event(number, 10, size=100_000) for number in range(0, 60, 2)])
    odd.append([event(number, 30, size=100_000) for number in range(1, 60, 2)])
    evicted = directory.evict(3_000_000)
    assert evicted.events == 31
    left = numbers([even, odd])
    assert abs(sum(number % 2 for number in left) - 15) < 12
    assert set(evicted.by_level) == {10, 30}
    for file in (even, odd):
        file.delete(range(1, 31))
        file.close()


def test_an_eviction_never_raises(tmp_path: Path) -> None:
    """What it cannot remove stays, even if the account is wrong."""
    directory = directory_in(tmp_path)
    file = directory.open()
    append(file, 1)
    file._bytes = -5
    directory.open()._bytes = 10
    assert directory.evict(0) == (0, 0, {})
    file._bytes = 65
    file.pause()
    be_text(file.path)
    file.resume()
    assert directory.evict(0) == (0, 0, {})
    assert file.closed
    directory.files[0].close()

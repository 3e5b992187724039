"""A disk that refuses: an exception of ours, and the spool goes on when the disk does."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from kinesink.spool.errors import SpoolUnavailableError, Trouble
from tests.spool.support import append, directory_in, event, names, numbers, run


@pytest.mark.parametrize("where", ["a file in its place", "a file above it"])
def test_a_directory_that_cannot_be_made(tmp_path: Path, where: str) -> None:
    """Neither a file of ours nor those of others, and nothing of the system's errors."""
    blocked = tmp_path / "spool"
    blocked.write_text("in the way")
    directory = directory_in(blocked if where == "a file in its place" else blocked / "deep")
    for call in (directory.open, directory.adopt):
        with pytest.raises(SpoolUnavailableError) as caught:
            call()
        assert caught.value.trouble is Trouble.DISK
        assert str(blocked) in str(caught.value)


@pytest.mark.skipif(sys.platform != "linux", reason="a read-only file system at hand")
def test_a_directory_that_is_read_only() -> None:
    """As root too, whom permissions do not stop."""
    with pytest.raises(SpoolUnavailableError) as caught:
        directory_in(Path("/proc/self/spool")).open()
    assert caught.value.trouble is Trouble.DISK


def test_a_database_that_cannot_be_made_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither half a file nor its lock."""
    monkeypatch.setattr(
        "kinesink.spool.database._BEGIN", "PRAGMA max_page_count=1; CREATE TABLE t (x)"
    )
    directory = directory_in(tmp_path)
    with pytest.raises(SpoolUnavailableError, match="full") as caught:
        directory.open()
    assert caught.value.trouble is Trouble.DISK
    assert (names(directory), directory.files) == ([], [])


def test_a_file_that_is_gone_does_not_come_back_empty(tmp_path: Path) -> None:
    """Somebody has cleared the directory while the process forked."""
    file = directory_in(tmp_path).open()
    append(file, 1)
    file.pause()
    file.path.unlink()
    file.resume()
    with pytest.raises(SpoolUnavailableError, match="unable to open") as caught:
        append(file, 2)
    assert caught.value.trouble is Trouble.DISK
    file.close()
    assert list(file.path.parent.iterdir()) == []


def test_a_full_database_refuses_and_goes_on(tmp_path: Path) -> None:
    """What was saved is there, what was refused is not, and what is removed makes room."""
    file = directory_in(tmp_path).open()
    with file._working() as connection:
        connection.execute("PRAGMA max_page_count=40")
    saved: list[tuple[int, int]] = []

    def append_for_ever() -> None:
        for number in count():
            saved.append((append(file, number), number))  # noqa: PERF401 - until it raises

    with pytest.raises(SpoolUnavailableError, match="full") as caught:
        append_for_ever()
    assert caught.value.trouble is Trouble.DISK
    assert 100 < len(saved) < 10_000
    with pytest.raises(SpoolUnavailableError, match="full") as caught:
        file.append([event(number, size=500) for number in range(400)])
    assert caught.value.saved == []
    assert [(row_id, int(each.data)) for row_id, each in file.read(10_000)] == saved
    assert file.held_events == len(saved)
    file.delete([row_id for row_id, _ in saved])
    append(file, 7)
    assert numbers([file]) == [7]
    file.close()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="a limit of POSIX")
def test_a_file_that_may_not_grow_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    """The limit is met in the middle of writing, as a full disk is."""
    out = run(
        """
        import resource
        from kinesink.spool.errors import SpoolUnavailableError
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        file = directory.open()
        saved = []
        troubles = set()
        for number in range(2000):
            try:
                saved.append(append(file, number))
            except SpoolUnavailableError as error:
                troubles.add(error.trouble.value)
        assert len(saved) == file.held_events
        assert [row_id for row_id, _ in file.read(9999)] == saved
        # Removing takes room too, until the log has been written back.
        for _ in range(3):
            try:
                file.delete(saved[10:])
                break
            except SpoolUnavailableError:
                pass
        append(file, 5000)
        print(len(saved), *troubles)
        file.close()
        """.replace(
            "import resource", "import resource\n        from kinesink.spool.errors import *"
        ),
        tmp_path,
    )
    number, trouble = out.split()
    assert trouble == "disk"
    (file,), troubles = directory_in(tmp_path).adopt()
    assert troubles == []
    assert numbers([file]) == [*range(10), 5000]
    assert int(number) > 50
    file.close()


PRIVATE_DISK = [
    *("unshare", "--map-root-user", "--mount", "sh", "-c"),
    'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"',
]
"""A file system of a mebibyte at the first argument, which only the program after it sees."""


def test_a_full_disk_refuses_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """Somebody else has filled it, and clears it."""
    within = [*PRIVATE_DISK, str(tmp_path)]
    try:
        subprocess.run([*within, "true"], capture_output=True, check=True)  # noqa: S603 - our own words
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system lets nobody mount a disk")
    run(
        """
        from contextlib import suppress
        from kinesink.spool.errors import SpoolUnavailableError
        def is_refused(call):
            try:
                call()
            except SpoolUnavailableError as error:
                assert error.trouble.value == "disk" and "full" in str(error)
                return list(error.saved)
        ballast = Path(sys.argv[1], "ballast")
        def fill():
            with ballast.open("ab", buffering=0) as other, suppress(OSError):
                while other.write(b"x" * 512):
                    pass
        file = directory.open()
        saved = [append(file, number) for number in range(100)]
        fill()
        many = [event(number, size=1000) for number in range(500)]
        saved += is_refused(lambda: file.append(many))
        # Its log has been written back meanwhile, which left some room.
        fill()
        assert is_refused(directory.open) == []
        assert directory.files == [file]
        assert [row_id for row_id, _ in file.read(1000)] == saved
        ballast.unlink()
        saved.append(append(file, 1000))
        assert [row_id for row_id, _ in file.read(1000)] == saved
        assert file.held_events == len(saved)
        file.delete(saved)
        file.close()
        assert names(directory) == []
        """,
        tmp_path,
        within=within,
    )

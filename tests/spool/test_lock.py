"""The lock that tells whether the owner of a file is alive."""

from __future__ import annotations

import importlib.util
import os
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from kinesink.spool import lock
from kinesink.spool.forks import Forks
from tests.spool.support import line_of, start

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


def on_windows(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the module as it is where there is no fcntl, with the same locks underneath."""
    fcntl = pytest.importorskip("fcntl")

    def locking(descriptor: int, mode: int, size: int) -> None:
        assert (mode, size) == (2, 1)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PermissionError(13, "Permission denied") from error

    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "fcntl", None)
        patch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
        spec = importlib.util.spec_from_file_location("lock_on_windows", lock.__file__)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["here", "on Windows"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> object:
    """Return the module for this system, and for another."""
    return lock if request.param == "here" else on_windows(monkeypatch)


def test_a_lock_is_taken_once(tmp_path: Path, either: ModuleType) -> None:
    """In one process too; when it is released its file is gone, and it can be had again."""
    path = tmp_path / "a.lock"
    descriptor = either.take(path)
    assert path.exists()
    with pytest.raises(BlockingIOError):
        either.take(path)
    either.release(descriptor, path)
    assert not path.exists()
    either.release(either.take(path), path)


def test_a_lock_is_taken_once_among_processes(tmp_path: Path) -> None:
    """Until its owner dies, however."""
    path = tmp_path / "a.lock"
    source = """
    from kinesink.spool import lock
    lock.take(Path(sys.argv[1]))
    print("ready", flush=True)
    time.sleep(99)
    """
    with start(source, path) as process:
        assert line_of(process.stdout) == "ready"
        with pytest.raises(BlockingIOError):
            lock.take(path)
        process.kill()
        process.communicate()
    lock.release(lock.take(path), path)


@pytest.mark.parametrize("other", ["gone", "another"])
def test_a_lock_of_a_file_that_is_gone_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    """Its owner may take it away between our opening and our locking it."""
    path = tmp_path / "a.lock"
    lock_it = lock._lock
    opened: list[int] = []

    def too_late(descriptor: int) -> None:
        opened.append(descriptor)
        if len(opened) == 1:
            path.unlink()
            if other == "another":
                (tmp_path / "new").touch()
                (tmp_path / "new").rename(path)
        lock_it(descriptor)

    monkeypatch.setattr(lock, "_lock", too_late)
    descriptor = lock.take(path)
    assert len(opened) == 2
    assert os.path.samestat(os.fstat(descriptor), path.stat())
    lock.release(descriptor, path)


def test_what_cannot_be_opened_is_an_error_of_the_system(tmp_path: Path) -> None:
    """Which the directory tells."""
    with pytest.raises(IsADirectoryError):
        lock.take(tmp_path)
    with pytest.raises(FileNotFoundError):
        lock.take(tmp_path / "nowhere" / "a.lock")


def test_a_fork_that_was_under_way_before_lets_nobody_in() -> None:
    """Its end is told to whoever registered meanwhile; there is nothing to release."""
    forks = Forks()
    forks.in_parent()
    forks.before()
    forks.in_parent()
    assert forks.gate.acquire(blocking=False)
    forks.gate.release()

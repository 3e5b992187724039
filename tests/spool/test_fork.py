"""Forks while files are open: the parent goes on, and the child has nothing of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from kinesink.spool.forks import Forks
from tests.spool.support import directory_in, finish, line_of, names, numbers, run, start

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]

PRELUDE = """
import ctypes, threading, warnings
from kinesink.spool.errors import SpoolUnavailableError
warnings.simplefilter("ignore", DeprecationWarning)
def child_ended_well(child):
    assert os.waitpid(child, 0)[1] == 0
def is_refused(call):
    try:
        call()
    except SpoolUnavailableError as error:
        return error.trouble.value
"""

fork = pytest.mark.parametrize("fork", ["os.fork()", "ctypes.PyDLL(None).fork()"])
"""By Python, and behind its back as some servers do."""


@fork
def test_the_file_stays_the_parent_s(tmp_path: Path, fork: str) -> None:
    """The child gets nothing of it, opens its own, and leaves nothing changed by its end."""
    run(
        f"""{PRELUDE}
file = directory.open()
append(file, 1)
child = {fork}
if not child:
    assert is_refused(lambda: append(file, 99)) == "gone"
    assert is_refused(lambda: file.read(1)) == "gone"
    file.close()
    assert directory_in(Path(sys.argv[1])).adopt() == ([], [])
    own = directory_in(Path(sys.argv[1])).open()
    append(own, 3)
    assert numbers([own]) == [3]
    own.close()
    sys.exit()
append(file, 2)
child_ended_well(child)
# Its end has neither unlocked nor written to what is ours.
other = directory_in(Path(sys.argv[1]))
(childs,), _ = other.adopt()
assert numbers([childs]) == [3]
childs.close()
append(file, 4)
assert numbers([file]) == [1, 2, 4]
os._exit(0)
""",
        tmp_path,
    )
    files, troubles = directory_in(tmp_path).adopt()
    assert troubles == []
    assert numbers(files) == [1, 2, 4, 3]
    for file in files:
        file.close()


def test_a_child_that_lives_on_keeps_nothing_from_being_adopted(tmp_path: Path) -> None:
    """By others, when the parent is dead."""
    parent = start(
        f"""{PRELUDE}
file = directory.open()
append(file, 1)
if os.fork():
    os._exit(0)
print("ready", flush=True)
sys.stdin.readline()
os._exit(0)
""",
        tmp_path,
    )
    assert line_of(parent.stdout) == "ready"
    parent.wait()
    (file,), troubles = directory_in(tmp_path).adopt()
    assert (numbers([file]), troubles) == ([1], [])
    file.delete([1])
    file.close()
    finish(parent, "go\n")
    assert names(directory_in(tmp_path)) == []


def test_a_daemon_adopts_what_its_parent_left(tmp_path: Path) -> None:
    """By the child itself, which has inherited nothing that tells it otherwise."""
    out = run(
        f"""{PRELUDE}
file = directory.open()
append(file, 1)
going, gone = os.pipe()
if os.fork():
    append(file, 2)
    os._exit(0)
os.close(gone)
# The end of the file is the end of the parent, which alone has the other end.
os.read(going, 1)
# The system may tell of it a moment before it lets go of the lock.
deadline = time.monotonic() + 20
while not (adoption := directory.adopt()).files and time.monotonic() < deadline:
    time.sleep(0.001)
(adopted,), troubles = adoption
print(*numbers([adopted]), len(troubles))
append(adopted, 3)
print(*numbers([adopted]))
""",
        tmp_path,
    )
    assert out == "1 2 0\n1 2 3\n"


def test_a_child_behind_our_back_keeps_the_file_only_while_it_lives(tmp_path: Path) -> None:
    """Rather late than two owners."""
    parent = start(
        f"""{PRELUDE}
file = directory.open()
append(file, 1)
if ctypes.PyDLL(None).fork():
    os._exit(0)
print("ready", flush=True)
sys.stdin.readline()
""",
        tmp_path,
    )
    assert line_of(parent.stdout) == "ready"
    parent.wait()
    assert directory_in(tmp_path).adopt() == ([], [])
    finish(parent, "go\n")
    (file,), troubles = directory_in(tmp_path).adopt()
    assert (numbers([file]), troubles) == ([1], [])
    file.close()


def test_threads_write_while_others_fork(tmp_path: Path) -> None:
    """No child finds a lock of sqlite held by a thread that it does not have."""
    out = run(
        f"""{PRELUDE}
file = directory.open()
stop = False
written = [0] * 3
def write(worker):
    while not stop:
        append(file, worker + 10 * written[worker])
        written[worker] += 1
def fork():
    for _ in range(12):
        child = os.fork()
        if not child:
            own = directory_in(Path(sys.argv[1])).open()
            for number in range(20):
                append(own, number)
            own.delete(range(1, 100))
            own.close()
            os._exit(0)
        child_ended_well(child)
threads = [threading.Thread(target=write, args=(worker,)) for worker in range(3)]
forkers = [threading.Thread(target=fork) for _ in range(2)]
for thread in [*threads, *forkers]:
    thread.start()
for thread in forkers:
    thread.join()
stop = True
for thread in threads:
    thread.join()
found = sorted(numbers([file]))
assert found == sorted(worker + 10 * n for worker in range(3) for n in range(written[worker]))
assert file.held_events == len(found)
print(len(found) > 0)
file.delete([row_id for row_id, _ in file.read(1_000_000)])
file.close()
""",
        tmp_path,
    )
    assert out == "True\n"
    assert names(directory_in(tmp_path)) == []


def test_a_file_opened_or_closed_while_another_thread_forks(tmp_path: Path) -> None:
    """Neither is in the middle of it when the process is copied."""
    run(
        f"""{PRELUDE}
stop = False
def open_and_close():
    other = directory_in(Path(sys.argv[1]))
    while not stop:
        append(other.open(), 1)
        (file,) = other.files
        file.delete([1])
        file.close()
thread = threading.Thread(target=open_and_close)
thread.start()
for _ in range(20):
    child = os.fork()
    if not child:
        own = directory.open()
        append(own, 2)
        own.delete([1])
        own.close()
        os._exit(0)
    child_ended_well(child)
stop = True
thread.join()
""",
        tmp_path,
    )
    assert directory_in(tmp_path).adopt() == ([], [])
    assert names(directory_in(tmp_path)) == []


def test_a_call_that_a_fork_interrupts_says_so(tmp_path: Path) -> None:
    """A signal handler that forks closes what is being used; the next call opens it again."""
    run(
        f"""{PRELUDE}
file = directory.open()
append(file, 1)
def interrupted():
    with file._working() as connection:
        child = os.fork()
        if not child:
            os._exit(0)
        child_ended_well(child)
        connection.execute("SELECT 1")
assert is_refused(interrupted) == "gone"
append(file, 2)
assert numbers([file]) == [1, 2]
""",
        tmp_path,
    )


def test_a_file_closed_by_what_interrupts_a_call(tmp_path: Path) -> None:
    """It counts no more, although the call has yet to end."""
    directory = directory_in(tmp_path)
    file = directory.open()
    with file._working():
        file.close()
    assert file.closed
    assert directory.budget.held == {}
    assert names(directory) == []


def test_a_file_closed_while_the_process_is_about_to_fork(tmp_path: Path) -> None:
    """The child does not close what has another meaning by then."""
    file = directory_in(tmp_path).open()
    forks = Forks()
    forks.watch(file)
    file.close()
    forks.before()
    forks.in_child()
    assert file.closed
    assert forks.gate.acquire(blocking=False)
    forks.gate.release()


def test_where_there_is_no_fork_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""
    registered: list[dict[str, object]] = []
    forks = Forks()
    monkeypatch.setattr(os, "register_at_fork", lambda **hooks: registered.append(hooks))
    forks.register()
    monkeypatch.delattr(os, "register_at_fork")
    forks.register()
    assert registered == [
        {
            "before": forks.before,
            "after_in_parent": forks.in_parent,
            "after_in_child": forks.in_child,
        }
    ]

"""Processes that die, and processes that take over what they leave."""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest

from tests.spool.support import directory_in, finish, line_of, names, numbers, run, start

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

pytestmark = pytest.mark.slow

WRITER = """
file = directory.open()
number = int(sys.argv[2])
# A line tells that the append of the number in it has returned.
os.write(1, b"ready\\n")
while True:
    many = number % 7 == 0
    upto = number + (300 if many else 1)
    if many:
        file.append([event(each) for each in range(number, upto)])
    else:
        append(file, number)
    os.write(1, b"%d\\n" % upto)
    if many:
        file.evict(40_000)
    number = upto
"""


def kill(process: subprocess.Popen[str]) -> str:
    """Kill a program; return the rest of what it printed."""
    process.kill()
    assert process.stdout is not None
    assert process.stderr is not None
    # Not by communicate, which passes over what was read ahead of the lines asked for.
    out, err = process.stdout.read(), process.stderr.read()
    process.wait()
    assert err == ""
    return out


@pytest.mark.parametrize("round_", range(8))
def test_whatever_was_appended_survives_a_kill(tmp_path: Path, round_: int) -> None:
    """At any moment: what an append has returned for is there, in order and once."""
    directory = directory_in(tmp_path)
    with start(WRITER.replace("file.evict(40_000)", "pass"), tmp_path, 1) as process:
        assert line_of(process.stdout) == "ready"
        upto = line_of(process.stdout)
        time.sleep(random.Random(round_).uniform(0, 0.1))
        told = [upto, *kill(process).split()]
    files, troubles = directory.adopt()
    assert troubles == []
    (file,) = files
    found = numbers([file])
    assert found == list(range(1, found[-1] + 1))
    # And no more than one append that had not returned yet.
    assert int(told[-1]) - 1 <= found[-1] < int(told[-1]) + 300
    assert file.held_events == len(found)
    file.delete([row_id for row_id, _ in file.read(1_000_000)])
    file.close()
    assert names(directory) == []


@pytest.mark.parametrize("round_", range(4))
def test_what_was_not_evicted_survives_a_kill(tmp_path: Path, round_: int) -> None:
    """The newest are there without a gap, the oldest as far as they had room."""
    directory = directory_in(tmp_path)
    with start(WRITER, tmp_path, 1) as process:
        assert line_of(process.stdout) == "ready"
        upto = "0"
        while int(upto) < 2000 + 500 * round_:
            upto = line_of(process.stdout)
        last = [upto, *kill(process).split()][-1]
    (file,), troubles = directory.adopt()
    assert troubles == []
    found = numbers([file])
    assert found == list(range(found[0], found[-1] + 1))
    assert found[0] > 1
    assert found[-1] >= int(last) - 1
    file.close()


def test_whoever_comes_first_adopts_it_alone(tmp_path: Path) -> None:
    """Several processes at once share the files out, and each row is with one of them."""
    directory = directory_in(tmp_path)
    for round_ in range(2):
        total = 0
        for _ in range(12):
            file = directory.open()
            for _ in range(5):
                total += 1
                file.append_one(b"%d" % total, None, None, None, 0)
            file.close()
        adopters = [
            start(
                """
                print("ready", flush=True)
                sys.stdin.readline()
                files, troubles = directory.adopt()
                assert not troubles
                print(*numbers(files), flush=True)
                # The others look while these are held, and find nothing more.
                sys.stdin.readline()
                assert directory.adopt() == ([], [])
                for file in files:
                    file.delete([row_id for row_id, _ in file.read(100)])
                    file.close()
                """,
                tmp_path,
            )
            for _ in range(3)
        ]
        for adopter in adopters:
            assert line_of(adopter.stdout) == "ready"
        for adopter in adopters:
            assert adopter.stdin is not None
            adopter.stdin.write("go\n")
            adopter.stdin.flush()
        shares = [line_of(adopter.stdout).split() for adopter in adopters]
        assert sorted(int(number) for share in shares for number in share) == [
            *range(1, total + 1)
        ], round_
        for adopter in adopters:
            finish(adopter, "go\n")
        assert names(directory) == []


def test_what_an_earlier_process_with_our_number_left_is_adopted(tmp_path: Path) -> None:
    """Containers begin at the same number again and again: the name says nothing."""
    directory = directory_in(tmp_path)
    run("append(directory.open(), 1)", tmp_path)
    (left,) = directory.path.glob("*.db")
    ours = left.with_name(re.sub(r"-\d+-", f"-{os.getpid()}-", left.name))
    for suffix in ("", "-wal"):
        os.rename(f"{left}{suffix}", f"{ours}{suffix}")  # noqa: PTH104 - a part of the name
    left.with_suffix(".lock").rename(ours.with_suffix(".lock"))
    own = directory.open()
    (file,), troubles = directory.adopt()
    assert (numbers([file]), troubles) == ([1], [])
    assert file.path == ours
    for each in (own, file):
        each.close()


def test_a_process_that_ends_without_a_close_leaves_what_it_had(tmp_path: Path) -> None:
    """Nothing is closed behind its back at the end, and nothing is said."""
    assert run("append(directory.open(), 1)\nprint('end')", tmp_path) == "end\n"
    (file,), troubles = directory_in(tmp_path).adopt()
    assert (numbers([file]), troubles) == ([1], [])
    file.close()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system cannot stop a process")
def test_a_process_that_stands_still_is_alive(tmp_path: Path) -> None:
    """A debugger or a frozen container loses nothing to others."""
    with start(
        "append(directory.open(), 1)\nprint('ready', flush=True)\ntime.sleep(99)", tmp_path
    ) as p:
        assert line_of(p.stdout) == "ready"
        p.send_signal(signal.SIGSTOP)
        assert directory_in(tmp_path).adopt() == ([], [])
        kill(p)
    (file,), _ = directory_in(tmp_path).adopt()
    assert numbers([file]) == [1]
    file.close()


def test_whoever_ignores_the_lock_gets_nothing(tmp_path: Path) -> None:
    """The database is locked besides, for as long as its owner lives."""
    directory = directory_in(tmp_path)
    with start(
        "append(directory.open(), 1)\nprint('ready', flush=True)\ntime.sleep(99)", tmp_path
    ) as p:
        assert line_of(p.stdout) == "ready"
        (path,) = directory.path.glob("*.db")
        connection = sqlite3.connect(path, timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            connection.execute("SELECT * FROM events")
        connection.close()
        kill(p)


def test_whole_processes_that_come_and_go_lose_nothing(tmp_path: Path) -> None:
    """Each adopts what the killed one before it left, and hands on everything by its death."""
    source = """
    files, troubles = directory.adopt()
    assert not troubles
    own = directory.open()
    for number in range(int(sys.argv[2]), int(sys.argv[2]) + 50):
        append(own, number)
    found = sorted(numbers([*files, own]))
    print(*found, flush=True)
    os.kill(os.getpid(), 9)
    """
    for generation in range(4):
        with start(source, tmp_path, generation * 50) as process:
            out, err = process.communicate()
        assert err == ""
        assert [int(number) for number in out.split()] == list(range((generation + 1) * 50))

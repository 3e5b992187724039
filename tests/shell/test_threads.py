"""Starting a thread from wherever a log call may come from."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import NoReturn

import pytest

from kinesink.shell import threads
from tests.shell.support import wait_until


def test_it_runs_in_a_daemon_thread_of_its_own_name() -> None:
    """Which debuggers show, and which holds up no exit."""
    ran: list[threading.Thread] = []
    assert threads.start_daemon(lambda: ran.append(threading.current_thread()), "kinesink test")
    wait_until(lambda: ran)
    assert ran[0].name == "kinesink test"
    assert ran[0].daemon


def test_the_first_thread_knows_the_second() -> None:
    """The same, step by step."""
    ran: list[str] = []
    threads.run_in_known_thread(lambda: ran.append(threading.current_thread().name), "name")
    wait_until(lambda: ran == ["name"])


def refuse(*_: object, **__: object) -> NoReturn:
    """Be out of threads."""
    raise RuntimeError("can't start new thread")


def test_where_the_second_cannot_be_had_the_first_does_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is a thread, too."""
    monkeypatch.setattr(threads, "threading", SimpleNamespace(Thread=refuse))
    ran: list[int] = []
    threads.run_in_known_thread(lambda: ran.append(threading.get_ident()), "name")
    assert ran == [threading.get_ident()]


def test_where_there_is_none_at_all_the_caller_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """And decides itself."""
    monkeypatch.setattr(threads, "_thread", SimpleNamespace(start_new_thread=refuse))
    assert not threads.start_daemon(pytest.fail, "name")

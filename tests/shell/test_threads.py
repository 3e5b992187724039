"""Starting a thread from wherever a log call may come from."""

from __future__ import annotations

import signal
import sys
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


def masks_of_a_thread_and_its_starter() -> tuple[set[int], set[int]]:
    """Return what signals a new thread of ours puts off, and what whoever has started it does."""
    ran: list[set[int]] = []
    assert threads.start_daemon(
        lambda: ran.append({*signal.pthread_sigmask(signal.SIG_BLOCK, ())}), "kinesink test"
    )
    here = {*signal.pthread_sigmask(signal.SIG_BLOCK, ())}
    wait_until(lambda: ran)
    return ran[0], here


@pytest.fixture
def billiard(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return what celery's pool knows of this process, which is a child of it."""
    this = SimpleNamespace(daemon=True)
    process = SimpleNamespace(current_process=lambda: this)
    monkeypatch.setitem(sys.modules, "billiard.process", process)
    common = SimpleNamespace(TERM_SIGNAL=signal.SIGQUIT)
    monkeypatch.setitem(sys.modules, "billiard.common", common)
    return this


@pytest.mark.skipif(sys.platform == "win32", reason="there celery has no such pool")
class TestInCelery:
    """The signal by which a child of its pool is ended comes to no thread of ours."""

    def test_a_child_has_it_in_no_thread_of_ours(self, billiard: SimpleNamespace) -> None:
        """Whoever has started the thread goes on to hear it."""
        assert billiard.daemon
        before = {*signal.pthread_sigmask(signal.SIG_BLOCK, ())}
        assert signal.SIGQUIT not in before
        assert masks_of_a_thread_and_its_starter() == (before | {signal.SIGQUIT}, before)

    def test_whoever_gets_no_thread_hears_it_as_well(
        self, billiard: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What had been put off before is put off still."""
        assert billiard.daemon
        monkeypatch.setattr(threads, "_thread", SimpleNamespace(start_new_thread=refuse))
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        assert not threads.start_daemon(pytest.fail, "name")
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before

    def test_elsewhere_nothing_is_put_off(self, billiard: SimpleNamespace) -> None:
        """Not in a process that only has celery, to have things done or to run the pool."""
        billiard.daemon = False
        thread, here = masks_of_a_thread_and_its_starter()
        assert thread == here

    @pytest.mark.parametrize("module", ["process", "common"])
    def test_a_module_in_the_middle_of_its_import_tells_nothing(
        self, billiard: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, module: str
    ) -> None:
        """A child of a pool has them whole."""
        assert billiard.daemon
        monkeypatch.setitem(sys.modules, f"billiard.{module}", SimpleNamespace())
        thread, here = masks_of_a_thread_and_its_starter()
        assert thread == here

"""What may be the end of a process, or not: the time it has, and what it leaves to the exit."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from kinesink.shell.process_exit import ProcessExit

if TYPE_CHECKING:
    from collections.abc import Callable


class Clocked(ProcessExit):
    """An exit on a clock of the test's."""

    moment = 100.0

    def now(self) -> float:  # type: ignore[override]  # a method, to have a clock of its own
        """Return the test's time."""
        return self.moment


class Serving:
    """Something whose delivery takes as long as the test says."""

    shutdown_timeout = 5.0

    def __init__(self, leaving: Clocked, takes: float = 0.0) -> None:
        self.leaving = leaving
        self.takes = takes
        self.waited: list[float] = []
        self.told = 0
        leaving.watch(self)

    def begin_exit(self) -> Callable[[float], object]:
        """Return the wait."""
        return self.wait

    begin_flush = begin_exit

    def wait(self, timeout: float) -> None:
        """Wait, on the test's clock."""
        self.waited.append(timeout)
        self.leaving.moment += min(timeout, self.takes)

    def end_exit(self, _: float) -> None:
        """Do nothing."""

    def tell_left(self) -> None:
        """Count."""
        self.told += 1


def test_what_a_signal_has_waited_the_exit_has_less() -> None:
    """However long the application takes in between: its own work is not our wait."""
    leaving = Clocked()
    serving = Serving(leaving, takes=3)
    leaving.flush()
    leaving.moment += 60
    leaving.run()
    assert serving.waited == [5.0, 2.0]
    assert serving.told == 1


def test_signals_share_the_time() -> None:
    """One that comes while another is handled begins no other deadline."""
    leaving = Clocked()
    serving = Serving(leaving, takes=3)
    for _ in range(3):
        leaving.flush()
    assert serving.waited == [5.0, 2.0, 0.0]


def test_a_process_that_goes_on_has_all_of_it_again() -> None:
    """A signal that was not the end takes nothing from a later one."""
    leaving = Clocked()
    serving = Serving(leaving, takes=5)
    leaving.flush()
    leaving.go_on()
    leaving.run()
    assert serving.waited == [5.0, 5.0]


def test_what_is_left_is_told_whatever_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when somebody has lost patience and presses Ctrl-C."""
    leaving = Clocked()
    serving = Serving(leaving)

    def lose_patience(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(serving, "begin_flush", lambda: lose_patience)
    with pytest.raises(KeyboardInterrupt):
        leaving.flush()
    assert serving.told == 1


def test_what_interrupts_the_delivery_waits_for_its_end() -> None:
    """Of the outermost, where one is made within another."""
    leaving = Clocked()
    done: list[str] = []
    with leaving.delivering():
        with leaving.delivering():
            assert leaving.postpone(lambda: done.append("signal"))
            assert leaving.postpone(lambda: done.append("another"))
        assert done == []
    assert done == ["signal", "another"]
    assert not leaving.postpone(lambda: done.append("never"))
    assert done == ["signal", "another"]


def test_another_thread_that_delivers_is_not_interrupted() -> None:
    """A signal is handled in the main thread, which can wait for that one."""
    leaving = Clocked()
    postponed: list[bool] = []
    delivers, ends = threading.Event(), threading.Event()

    def deliver() -> None:
        with leaving.delivering():
            delivers.set()
            ends.wait(20)

    thread = threading.Thread(target=deliver)
    thread.start()
    assert delivers.wait(20)
    postponed.append(leaving.postpone(lambda: None))
    ends.set()
    thread.join()
    assert postponed == [False]

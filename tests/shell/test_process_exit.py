"""The exit: when it has begun, and how much of its one deadline is left."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from kinesink.shell.process_exit import ProcessExit, interpreter_exits
from tests.shell.scripts import run_script

if TYPE_CHECKING:
    from collections.abc import Callable


class Clocked(ProcessExit):
    """An exit on a clock of the test's."""

    moment = 100.0

    def now(self) -> float:  # type: ignore[override]  # a method, to have a clock of its own
        """Return the test's time."""
        return self.moment


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what makes the interpreter look as if exit hooks ran."""
    return lambda: monkeypatch.setattr(
        "kinesink.shell.process_exit.interpreter_exits", lambda: True
    )


def test_before_the_exit_every_wait_has_its_own_time() -> None:
    """However often one waits."""
    leaving = Clocked()
    assert leaving.within(5.0, 1.0) == 5.0
    leaving.moment += 60
    assert leaving.within(5.0, 1.0) == 5.0


def test_hooks_of_others_begin_the_one_deadline(exits: Callable[[], None]) -> None:
    """T13: what they wait for us is taken from the time that the exit has in all."""
    leaving = Clocked()
    exits()
    assert leaving.within(10.0, 5.0) == 5.0
    leaving.moment += 4
    assert leaving.within(10.0, 5.0) == 1.0
    assert leaving.within(0.5, 5.0) == 0.5
    leaving.moment += 4
    assert leaving.within(10.0, 5.0) == 0.0


def test_a_wait_without_a_time_for_the_exit_begins_it_with_its_own(
    exits: Callable[[], None],
) -> None:
    """As the thread of a producer that starts that late does."""
    leaving = Clocked()
    exits()
    assert leaving.within(3.0) == 3.0
    leaving.moment += 1
    assert leaving.within(3.0) == 2.0


def test_our_hook_does_not_begin_a_second_deadline(exits: Callable[[], None]) -> None:
    """What a hook of others has used is gone."""

    class Serving:
        shutdown_timeout = 5.0

        def __init__(self) -> None:
            self.waited: list[float] = []

        def begin_exit(self) -> Callable[[float], object]:
            return self.waited.append

        def end_exit(self, timeout: float) -> None:
            self.waited.append(timeout)

        begin_flush = begin_exit

        def tell_left(self) -> None: ...

    leaving, serving = Clocked(), Serving()
    leaving.watch(serving)
    exits()
    leaving.within(5.0)
    leaving.moment += 2
    leaving.run()
    assert serving.waited == [3.0, 3.0]


def test_a_running_program_does_not_exit() -> None:
    """Nor do its threads."""
    assert not interpreter_exits()
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(interpreter_exits()))
    thread.start()
    thread.join()
    assert found == [False]


def test_threads_that_outlive_the_main_thread_are_no_exit() -> None:
    """A program may go on in them for days; hooks run after the last one has ended."""
    ran = run_script(
        """
        import atexit, threading
        from kinesink.shell.process_exit import interpreter_exits
        def work():
            threading.main_thread().join()
            print("worker", interpreter_exits())
        threading.Thread(target=work).start()
        atexit.register(lambda: print("hook", interpreter_exits()))
        """
    )
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.split("\n") == ["worker False", "hook True", ""]


def test_a_wait_that_the_exit_finds_under_way_ends_with_it(exits: Callable[[], None]) -> None:
    """Ten seconds are three once the process exits, and what is there in time is found."""
    process_exit = Clocked()
    waited: list[float] = []

    def wait(timeout: float) -> bool:
        waited.append(timeout)
        process_exit.moment += timeout
        if len(waited) == 4:
            exits()
        return False

    assert not process_exit.wait(wait, 10.0, 3.0)
    assert sum(waited) == pytest.approx(1.0 + 3.0)
    assert process_exit.wait(lambda _: True, 10.0, 3.0)
    assert process_exit.wait(lambda timeout: timeout == 0.1, 0.1, 3.0)

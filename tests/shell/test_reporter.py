"""Reports to whoever runs the program: rare, harmless, and never through logging."""

from __future__ import annotations

import io
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

import pytest

from kinesink.shell import courier, origin, reporter
from kinesink.shell.reporter import (
    REPORT_INTERVAL,
    Reporter,
    events_in_words,
    not_delivered,
    write_line,
)
from tests.shell.support import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable


class Told:
    """An on_error that remembers."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, str]] = []

    def __call__(self, kind: str, text: str) -> None:
        """Remember one."""
        self.reports.append((kind, text))


class Clock:
    """A clock that stands still between two settings."""

    now = 0.0

    def __call__(self) -> float:
        """Read it."""
        return self.now


def test_a_kind_is_told_once_a_minute_and_then_with_what_was_held_back() -> None:
    """An outage costs a line a minute and not one per request."""
    told, clock = Told(), Clock()
    heralds = Reporter(told, clock)
    for clock.now in (0.0, 1.0, 2.0):
        heralds.report("AccessDenied", "no")
    heralds.report("Other", "else")
    clock.now = REPORT_INTERVAL
    heralds.report("AccessDenied", "still no")
    clock.now = 3 * REPORT_INTERVAL
    heralds.report("AccessDenied", "again")
    assert heralds.wait_told(PATIENCE)
    assert told.reports == [
        ("AccessDenied", "no"),
        ("Other", "else"),
        ("AccessDenied", "still no (and 2 times since it was last told)"),
        ("AccessDenied", "again"),
    ]


def test_the_same_trouble_elsewhere_is_told_by_itself() -> None:
    """One stream's or operation's does not hide another's for a minute."""
    told = Told()
    heralds = Reporter(told)
    heralds.report("AccessDenied", "a", about="a ListShards")
    heralds.report("AccessDenied", "b", about="b ListShards")
    heralds.report("AccessDenied", "a again", about="a ListShards")
    assert heralds.wait_told(PATIENCE)
    assert told.reports == [("AccessDenied", "a"), ("AccessDenied", "b")]


def test_what_was_told_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many streams there were, the memory for them is bounded."""
    monkeypatch.setattr(reporter, "_MOST_REMEMBERED", 3)
    clock = Clock()
    heralds = Reporter(Told(), clock)
    for second in range(3):
        clock.now = float(second)
        heralds.report("AccessDenied", "no", about=str(second))
        heralds.report("AccessDenied", "no", about=str(second))
    clock.now = REPORT_INTERVAL + 1
    heralds.report("AccessDenied", "no", about="new")
    assert heralds._told_at.keys() == {("AccessDenied", "2"), ("AccessDenied", "new")}
    assert heralds._unheard.keys() == {("AccessDenied", "2")}


def test_without_a_callback_a_line_goes_to_standard_error(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """One line, with kinesink's name in front."""
    heralds = Reporter(None)
    heralds.say("kind", "stream 'app': trouble")
    assert heralds.wait_told(PATIENCE)
    assert capfd.readouterr().err == "kinesink: stream 'app': trouble\n"


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(3)])
def test_f10_a_callback_that_raises_is_told_about_once(
    error: BaseException, capfd: pytest.CaptureFixture[str]
) -> None:
    """The report it was given is not lost, and the next one is tried again."""
    calls: list[str] = []

    def fail(kind: str, _: str) -> NoReturn:
        calls.append(kind)
        raise error

    heralds = Reporter(fail)
    heralds.say("first", "trouble")
    heralds.say("second", "more")
    assert heralds.wait_told(PATIENCE)
    assert heralds.idle
    assert calls == ["first", "second"]
    assert capfd.readouterr().err == (
        f"kinesink: on_error raised {error!r}; reported was: trouble\n"
    )


def test_f10_a_callback_that_hangs_holds_up_nobody() -> None:
    """Whoever reports goes on at once; what was reported meanwhile is told afterwards."""
    release = threading.Event()
    told = Told()

    def hang(kind: str, text: str) -> None:
        release.wait(PATIENCE)
        told(kind, text)

    heralds = Reporter(hang)
    for number in range(150):
        heralds.say("kind", str(number))
    assert not heralds.wait_told(0)
    release.set()
    wait_until(lambda: told.reports and told.reports[-1] == ("kind", "149"))
    assert heralds.wait_told(PATIENCE)
    # One was being told, and a hundred could wait.
    assert len(told.reports) <= 102


def test_reports_from_many_threads_are_each_told_once() -> None:
    """Whoever comes while the callback's thread is about to end is not forgotten."""
    told = Told()
    heralds = Reporter(told)

    def tell(thread: int) -> None:
        for number in range(200):
            heralds.say("kind", f"{thread}/{number}")
            heralds.wait_told(PATIENCE)

    threads = [threading.Thread(target=tell, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heralds.wait_told(PATIENCE)
    assert len(set(told.reports)) == len(told.reports) == 800


def test_a_callback_is_called_inline_when_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At interpreter exit the last report still arrives."""
    monkeypatch.setattr(courier, "start_daemon", lambda *_: False)
    told = Told()
    Reporter(told).say("kind", "text")
    assert told.reports == [("kind", "text")]


def test_a_report_at_the_very_end_is_told_inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the interpreter tears itself down no thread would run."""
    monkeypatch.setattr(sys, "is_finalizing", lambda: True)
    told = Told()
    Reporter(told).say("kind", "text")
    assert told.reports == [("kind", "text")]


def test_c2_what_a_callback_logs_is_not_shipped() -> None:
    """An on_error that logs could otherwise go round for ever."""
    own: list[bool] = []
    heralds = Reporter(lambda _kind, _text: own.append(origin.is_own()))
    heralds.say("kind", "text")
    assert heralds.wait_told(PATIENCE)
    assert own == [True]
    assert not origin.is_own()


def _closed() -> io.TextIOWrapper:
    stream = io.TextIOWrapper(io.BytesIO())
    stream.close()
    return stream


@pytest.mark.parametrize("make", [lambda: None, _closed, lambda: io.TextIOWrapper(io.BytesIO())])
def test_a_missing_standard_error_is_no_error(
    make: Callable[[], io.TextIOWrapper | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Daemons have none, and at exit it may be gone."""
    monkeypatch.setattr(sys, "__stderr__", make())
    write_line("nobody hears this")


def test_losses_are_told_in_events_and_bytes() -> None:
    """An operator reads how much, where, how long, and why."""
    assert events_in_words(1) == "1 event"
    assert events_in_words(0) == "0 events"
    assert not_delivered(1, 10, "app", 5.0, None) == (
        "1 event (10 bytes) not delivered to 'app' within 5 s"
    )
    assert not_delivered(123, 45 * 1024, "app", 0.5, "ConnectError: refused") == (
        "123 events (45 KiB) not delivered to 'app' within 0.5 s; last error: ConnectError: refused"
    )
    assert "(2.5 MiB)" in not_delivered(9, 5 << 19, "app", 5.0, None)


def test_other_threads_may_report_while_old_reports_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And where none is old enough it is not tried again with each report."""
    monkeypatch.setattr(reporter, "_MOST_REMEMBERED", 3)
    told: list[str] = []
    clock = Clock()
    reports = Reporter(lambda kind, _: told.append(kind), clock)
    looks: list[float] = []

    class Now(float):
        """A moment at which another thread reports as well."""

        def __sub__(self, other: float) -> float:
            looks.append(other)
            if len(looks) == 1:
                clock.now = 0.0
                reports.report("theirs", "meanwhile")
            return float(self) - other

    for kind in "held back", "held back", "b", "c":
        reports.report(kind, "x")
    clock.now = Now(0.0)
    reports.report("d", "x")
    assert len(looks) >= 3
    looks.clear()
    clock.now = Now(0.0)
    for kind in "e", "f":
        reports.report(kind, "x")
    assert looks == []
    assert reports.wait_told(PATIENCE)
    assert told == ["held back", "b", "c", "theirs", "d", "e", "f"]

"""Futures by themselves: resolved once, by whoever comes first, and in a forked child."""

from __future__ import annotations

import logging
import threading

import pytest

from kinesink import ClosedError, Config, DropReason, Sink
from kinesink.shell.process_exit import process_exit
from kinesink.shell.submission import Submissions, failed
from tests.shell.support import PATIENCE


def no_report(kind: str, text: str) -> None:
    """Fail: there is nothing to report."""
    pytest.fail(f"{kind}: {text}")


def test_a_result_resolves_once(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever comes second changes nothing."""
    submissions = Submissions(no_report)
    future = submissions.begin()
    future.resolve(failed(DropReason.SHUTDOWN, "first"))
    future.resolve(failed(DropReason.INTERNAL, "second"))
    submissions.end_all(DropReason.INTERNAL, "third")
    assert future.result(0).error == "first"
    with caplog.at_level(logging.DEBUG):
        submissions.fail_in_child()
    assert future.result(0).error == "first"
    assert caplog.records == []


def test_a_future_that_somebody_holds_on_to_keeps_nobody_waiting() -> None:
    """A signal handler may interrupt who looks at it, and wait for the producer."""
    submissions = Submissions(no_report)
    held, free = submissions.begin(), submissions.begin()
    resolved = threading.Event()

    def resolve() -> None:
        held.resolve(failed(DropReason.SHUTDOWN, "held"))
        free.resolve(failed(DropReason.SHUTDOWN, "free"))
        resolved.set()

    thread = threading.Thread(target=resolve)
    with held._condition:
        thread.start()
        assert resolved.wait(PATIENCE)
        assert free.done()
        assert not held.done()
    assert held.result(PATIENCE).error == "held"
    thread.join()


def test_s7_a_future_whose_lock_was_held_at_the_fork_gets_its_error() -> None:
    """The thread that held it does not exist in the child."""
    submissions = Submissions(no_report)
    future = submissions.begin()
    with future._condition:
        submissions.fail_in_child()
    seen: list[BaseException | None] = []
    thread = threading.Thread(target=lambda: seen.append(future.exception(PATIENCE)))
    thread.start()
    thread.join(PATIENCE)
    assert isinstance(seen[0], ClosedError)


def test_s7_a_future_that_was_being_resolved_at_the_fork_gets_its_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The thread that was about to set the result does not exist in the child."""
    submissions = Submissions(no_report)
    future = submissions.begin()
    # As in a child that was forked at that moment.
    monkeypatch.setattr(future, "set_result", lambda _: submissions.fail_in_child())
    future.resolve(failed(DropReason.SHUTDOWN, "in the parent"))
    assert isinstance(future.exception(0), ClosedError)


def test_s7_callbacks_are_called_in_a_child_whatever_the_parent_was_calling() -> None:
    """The thread that calls them is the parent's."""
    submissions = Submissions(no_report)
    hold, called = threading.Event(), threading.Event()
    busy, pending = submissions.begin(), submissions.begin()
    busy.add_done_callback(lambda _: hold.wait())
    busy.resolve(failed(DropReason.SHUTDOWN, "in the parent"))
    pending.add_done_callback(lambda _: called.set())
    submissions.fail_in_child()
    try:
        assert called.wait(PATIENCE)
    finally:
        hold.set()


def test_s6_at_exit_callbacks_and_reports_share_one_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The one that hangs has taken the time of the other."""
    sink = Sink(Config("app", region_name="eu-west-1"))
    background = sink._background
    left = [3.0]
    waited: list[float] = []

    def hang(timeout: float) -> bool:
        waited.append(timeout)
        left[0] -= timeout
        return False

    monkeypatch.setattr(process_exit, "within", lambda timeout, _=None: min(timeout, left[0]))
    monkeypatch.setattr(background.submissions, "wait_called_back", hang)
    monkeypatch.setattr(background.teller, "wait_told", hang)
    background.end_exit(3.0)
    assert waited == [3.0, 0.5]

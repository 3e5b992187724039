"""Calls of the application's code: one after the other, and in nobody's way."""

from __future__ import annotations

import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from kinesink.shell.courier import Courier
from kinesink.shell.threads import Token
from tests.shell.support import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


def test_calls_are_made_in_their_order_in_one_thread() -> None:
    """Not in the thread of who sends them off; it ends when there is nothing to do."""
    courier = Courier("calls")
    made: list[tuple[int, str]] = []
    hold = threading.Event()
    courier.send(lambda: hold.wait(PATIENCE))

    def make(number: int) -> None:
        made.append((number, threading.current_thread().name))

    for number in range(100):
        courier.send(partial(make, number))
    assert not courier.idle
    hold.set()
    assert courier.wait_idle(PATIENCE)
    assert made == [(number, "calls") for number in range(100)]


def test_a_call_does_not_wait_for_its_own_end() -> None:
    """It would until the timeout."""
    courier = Courier("calls")
    waited: list[tuple[bool, float]] = []

    def wait() -> None:
        began = time.monotonic()
        waited.append((courier.wait_idle(PATIENCE), time.monotonic() - began))

    courier.send(wait)
    assert courier.wait_idle(PATIENCE)
    ((idle, seconds),) = waited
    assert not idle
    assert seconds < PATIENCE / 2


class Tokens(Token):
    """The right to start a thread, given back just before one more call comes in."""

    def __init__(self, courier: Courier, late: Callable[[], object], *, taken: bool) -> None:
        super().__init__()
        self._courier = courier
        self._taken = taken
        self._late = [late]
        self.asked = 0

    def give_back(self) -> None:
        """Take the token back, and send once more."""
        if self._late:
            self._courier._waiting.append(self._late.pop())

    def take(self) -> bool:
        """Give the token away; later ones may be taken already."""
        self.asked += 1
        return not (self._taken and self.asked > 1)


def test_a_call_that_comes_while_the_thread_ends_is_made() -> None:
    """The thread looks once more after it has given the token back."""
    courier = Courier("calls")
    made: list[str] = []
    late = Tokens(courier, lambda: made.append("late"), taken=False)
    courier._token = late
    courier.send(lambda: made.append("first"))
    wait_until(lambda: made == ["first", "late"])


def test_a_call_that_another_thread_makes_is_left_to_it() -> None:
    """Two threads that see the same late call agree by the token."""
    courier = Courier("calls")
    made: list[str] = []
    tokens = Tokens(courier, lambda: made.append("late"), taken=True)
    courier._token = tokens
    courier.send(lambda: made.append("first"))
    wait_until(lambda: tokens.asked == 2)
    assert made == ["first"]


def test_after_a_call_that_ends_its_thread_the_next_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By another thread; nothing counts as under way for ever."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    courier = Courier("calls")
    courier.send(sys.exit)
    wait_until(lambda: courier.idle)
    made: list[bool] = []
    courier.send(lambda: made.append(True))
    assert courier.wait_idle(PATIENCE)
    assert made == [True]

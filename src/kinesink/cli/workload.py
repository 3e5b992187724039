"""An application that logs: a shop, in several threads, through :mod:`logging` alone."""

import logging
import threading
import time
from itertools import count
from typing import Final

from kinesink.cli.plan import Plan

LOGGER: Final = "shop"
"""The logger above all that the shop logs to."""

SEQUENCE: Final = "sequence"
"""The extra that numbers the events, so that each can be looked for."""

_TICK: Final = 0.01
"""Seconds between two bursts of a thread. Shorter naps cost more than what they smooth."""

_CUSTOMERS: Final = ("Ada", "Grace", "Edsger", "Barbara", "Zoë")


class Workload:
    """Logs at a steady rate until its time is over, or until stopped."""

    def __init__(self, plan: Plan) -> None:
        self._seconds = plan.seconds
        self._rate = plan.rate / plan.threads
        self._numbers = count()
        self._lock = threading.Lock()
        self._logged = 0
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name=f"shop-{number}")
            for number in range(plan.threads)
        ]

    @property
    def logged(self) -> int:
        """Events logged so far; those of this number are 0 up to it."""
        return self._logged

    def start(self) -> None:
        """Start every thread."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End every thread, and wait for it."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def wait_ended(self, timeout: float) -> bool:
        """Wait for the end at most so many seconds; return whether it has come."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        start = time.monotonic()
        done, elapsed = 0, 0.0
        while elapsed < self._seconds and not self._stopped.wait(_TICK):
            elapsed = min(time.monotonic() - start, self._seconds)
            due = round(elapsed * self._rate)
            for _ in range(due - done):
                self._log_next()
            done = due

    def _log_next(self) -> None:
        with self._lock:
            number = next(self._numbers)
        log_event(number)
        with self._lock:
            self._logged += 1


def log_event(number: int) -> None:
    """Log one event; its number decides which, so that every run has some of each kind."""
    order = 10_000 + number
    customer = _CUSTOMERS[number % len(_CUSTOMERS)]
    if number % 250 == 100:  # noqa: PLR2004 - as good as any
        _fail(number, order)
    elif number % 50 == 20:  # noqa: PLR2004 - now and then
        logging.getLogger("shop.payments").warning(
            "order %s: payment took %.1f s",
            order,
            2 + number % 7 / 2,
            extra={SEQUENCE: number, "provider": "paypal"},
        )
    elif number % 4 == 1:
        logging.getLogger("shop.cart").debug(
            "%s has %d items in the cart", customer, number % 9, extra={SEQUENCE: number}
        )
    else:
        logging.getLogger("shop.orders").info(
            "order %s paid by %s",
            order,
            customer,
            extra={SEQUENCE: number, "amount": 5 + number % 400 / 4, "currency": "EUR"},
        )


def _fail(number: int, order: int) -> None:
    try:
        _charge(order)
    except RuntimeError:
        logging.getLogger("shop.payments").exception(
            "order %s not paid", order, extra={SEQUENCE: number}
        )


def _charge(order: int) -> None:
    raise RuntimeError(f"the bank refuses the card for order {order}")

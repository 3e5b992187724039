"""An application that logs: a shop, in several threads, by whatever door."""

import logging
import threading
import time
from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kinesink.cli.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable

LOGGER: Final = "shop"
"""The logger above all that the shop logs to."""

SEQUENCE: Final = "sequence"
"""The extra that numbers the events, so that each can be looked for."""

_TICK: Final = 0.01
"""Seconds between two bursts of a thread. Shorter naps cost more than what they smooth."""

_CUSTOMERS: Final = ("Ada", "Grace", "Edsger", "Barbara", "Zoë")


class Said(NamedTuple):
    """What the shop has to say."""

    logger: str
    level: int
    template: str
    arguments: tuple[object, ...]
    fields: Mapping[str, Any]
    error: Exception | None = None

    @property
    def text(self) -> str:
        """The message, for libraries that know no templates."""
        return self.template % self.arguments


class Workload:
    """Logs at a steady rate until its time is over, or until stopped."""

    def __init__(self, plan: Plan) -> None:
        self._seconds = plan.seconds
        self._rate = plan.rate / plan.threads
        self._numbers = count()
        self._lock = threading.Lock()
        self._logged = 0
        self._stopped = threading.Event()
        self._names = [f"shop-{number}" for number in range(plan.threads)]
        self._threads: list[threading.Thread] = []

    @property
    def logged(self) -> int:
        """Events logged so far; those of this number are 0 up to it."""
        return self._logged

    def start(self, log: "Callable[[Said], object]") -> None:
        """Start every thread.

        :param log: logs an event; called in each of them.
        """
        self._threads = [
            threading.Thread(target=self._run, args=[log], name=name) for name in self._names
        ]
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

    def _run(self, log: "Callable[[Said], object]") -> None:
        start = time.monotonic()
        done, elapsed = 0, 0.0
        while elapsed < self._seconds and not self._stopped.wait(_TICK):
            elapsed = min(time.monotonic() - start, self._seconds)
            due = round(elapsed * self._rate)
            for _ in range(due - done):
                self._log_next(log)
            done = due

    def _log_next(self, log: "Callable[[Said], object]") -> None:
        with self._lock:
            number = next(self._numbers)
        log(event_of(number))
        with self._lock:
            self._logged += 1


def event_of(number: int) -> Said:
    """Return an event; its number decides which, so that every run has some of each kind."""
    order = 10_000 + number
    customer = _CUSTOMERS[number % len(_CUSTOMERS)]
    sequence = {SEQUENCE: number}
    if number % 250 == 100:  # noqa: PLR2004 - as good as any
        return Said(
            "shop.payments", logging.ERROR, "order %s not paid", (order,), sequence, _failed(order)
        )
    if number % 50 == 20:  # noqa: PLR2004 - now and then
        return Said(
            "shop.payments", logging.WARNING, "order %s: payment took %.1f s",
            (order, 2 + number % 7 / 2), {**sequence, "provider": "paypal"},
        )  # fmt: skip
    if number % 4 == 1:
        return Said(
            "shop.cart", logging.DEBUG, "%s has %d items in the cart", (customer, number % 9),
            sequence,
        )  # fmt: skip
    return Said(
        "shop.orders", logging.INFO, "order %s paid by %s", (order, customer),
        {**sequence, "amount": 5 + number % 400 / 4, "currency": "EUR"},
    )  # fmt: skip


def _failed(order: int) -> Exception:
    """Return an error that was raised, with its traceback."""
    try:
        raise RuntimeError(f"the bank refuses the card for order {order}")  # noqa: TRY301 - for its traceback
    except RuntimeError as error:
        return error

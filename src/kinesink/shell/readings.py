"""Hand the account to a callback again and again, for whatever counts metrics there.

Law: a callback that raises or hangs holds up nothing; one that is still busy is not called
again, but for the last account, which waits for it.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from kinesink.shell import origin
from kinesink.shell.courier import Courier

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.config import Config
    from kinesink.statistics import Statistics


class Readings:
    """Used by the producer's task, but for what says otherwise.

    :param report: tells an operator, by kind and text.
    """

    def __init__(self, config: Config, report: Callable[[str, str], None]) -> None:
        self._callback = config.on_statistics
        self._interval = config.statistics_interval
        self._report = report
        self._courier = Courier("kinesink on_statistics")
        self._due_at = -math.inf

    def begin(self) -> None:
        """Begin with another producer."""
        self._due_at = -math.inf

    def take(self, read: Callable[[], Statistics], now: float) -> float:
        """Hand the account over if that is due; return when to look again."""
        if self._callback is None:
            return math.inf
        if now >= self._due_at:
            self._due_at = now + self._interval
            if self.idle:
                self.hand_over(read)
        return self._due_at

    def hand_over(self, read: Callable[[], Statistics]) -> None:
        """Hand the account over, whenever the callback has time. Safe from any thread."""
        if self._callback is not None:
            self._courier.send(partial(self._call, self._callback, read()))

    @property
    def idle(self) -> bool:
        """Whether the callback has returned from every account. Safe from any thread."""
        return self._courier.idle

    def wait_idle(self, timeout: float) -> None:
        """Wait until it has, in seconds at most. Safe from any thread."""
        self._courier.wait_idle(timeout)

    def _call(self, callback: Callable[[Statistics], object], account: Statistics) -> None:
        # What the callback logs is kinesink's own: shipping it could go round for ever.
        origin.OWN.set(True)
        try:
            callback(account)
        except BaseException as error:  # noqa: BLE001 - a user's callback may raise anything
            self._report("on_statistics", f"on_statistics raised {error!r}")

"""Hand the account to a callback again and again, for whatever counts metrics there.

Law: a callback that raises or hangs holds up nothing; one that is still busy is not called
again.
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
    """Belongs to the producer's task.

    :param read: returns the account.
    :param report: tells an operator, by kind and text.
    """

    def __init__(
        self, config: Config, read: Callable[[], Statistics], report: Callable[[str, str], None]
    ) -> None:
        self._callback = config.on_statistics
        self._interval = config.statistics_interval
        self._read = read
        self._report = report
        self._courier = Courier("kinesink on_statistics")
        self._due_at = -math.inf

    def take(self, now: float) -> float:
        """Hand the account over if that is due; return when to look again."""
        if self._callback is None:
            return math.inf
        if now >= self._due_at:
            self._due_at = now + self._interval
            self.hand_over()
        return self._due_at

    def hand_over(self) -> None:
        """Hand the account over now, unless the callback is busy."""
        if self._callback is not None and self._courier.idle:
            self._courier.send(partial(self._call, self._callback, self._read()))

    def _call(self, callback: Callable[[Statistics], object], account: Statistics) -> None:
        # What the callback logs is kinesink's own: shipping it could go round for ever.
        origin.OWN.set(True)
        try:
            callback(account)
        except BaseException as error:  # noqa: BLE001 - a user's callback may raise anything
            self._report("on_statistics", f"on_statistics raised {error!r}")

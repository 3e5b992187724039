"""Say what is left when time is up, and say it once.

Law: what a flush or the end of the process leaves behind is told with events, bytes and the
last error; only what is new is told again, so that the lines add up.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from kinesink.shell.reporter import events_in_words, not_delivered, not_told_yet

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.config import Config
    from kinesink.shell.intake import Intake
    from kinesink.shell.teller import Teller
    from kinesink.statistics import Statistics


class Left:
    """What is left of the events of one sink. Safe from any thread.

    :param last_error: returns the last failure of a call, in words.
    """

    def __init__(
        self,
        config: Config,
        intake: Intake,
        teller: Teller,
        last_error: Callable[[], str | None],
    ) -> None:
        self._config = config
        self._intake = intake
        self._teller = teller
        self._reporter = teller.reporter
        self._last_error = last_error

    def say(self, telling_time: float) -> None:
        """Say what is left, whatever was said about other things, and let that be told."""
        accepted, news = self._news()
        if news:
            self._teller.left_told_at = accepted
            self._reporter.say("shutdown", news)
            self._reporter.wait_told(telling_time)

    def report(self) -> None:
        """Say what is left, at most once a minute."""
        accepted, news = self._news()
        if news and self._reporter.report("shutdown", news):
            self._teller.left_told_at = accepted

    def report_late(self, timeout: float, telling_time: float) -> None:
        """Say what a flush was too short for, which the process keeps."""
        if left := self._in_words(self._intake.statistics(), timeout):
            self._reporter.report("late", f"{left} (kept for later)")
        self._reporter.wait_told(telling_time)

    def _news(self) -> tuple[int, str]:
        """Return how many events have been accepted, and what is left of them, in words.

        No words if nothing is left, or if that was said and no event has come since.
        """
        account = self._intake.statistics()
        untold = account.accepted - self._teller.left_told_at
        if not untold:
            return account.accepted, ""
        return account.accepted, self._in_words(account, self._config.shutdown_timeout, untold)

    def _in_words(self, account: Statistics, timeout: float, untold: int = sys.maxsize) -> str:
        if not account.pending:
            return ""
        last_error = self._last_error()
        lost = account.pending - account.spooled
        name = self._config.stream_name
        news = not_told_yet(lost, account.pending_bytes, untold)
        text = not_delivered(*news, name, timeout, last_error)
        if not account.spooled:
            return text
        kept = f"{events_in_words(account.spooled)} for {name!r} kept in {self._config.spool_path}"
        if lost:
            return f"{text}; {kept}"
        return f"{kept}; last error: {last_error}" if last_error else kept

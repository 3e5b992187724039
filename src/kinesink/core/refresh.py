"""When to ask a question about the stream again.

Law: at most one question is under way; evidence joins it, or arms exactly one more
when it is newer than the question. A failed question is asked again with growing
delays and never discards what is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class Refresh:
    """The schedule of one recurring question, on one monotonic clock (seconds)."""

    period: float
    """Wait between two answers when nothing calls for an earlier one; a draw of up to
    a fifth is added, so that a fleet does not ask in step."""
    first_delay: float = 1.0
    """Wait after the first failure."""
    growth: float = 1.5
    """Factor from one failure to the next."""
    longest_delay: float = 30.0
    """Cap of the wait after failures."""

    due_at: float = math.inf
    """When to ask next, unless a question is under way."""
    asked_at: float | None = None
    """When the question under way was asked."""
    answered_at: float = -math.inf
    """When the question behind the newest answer was asked."""
    failures: int = 0
    """Failures since the newest answer."""
    _again_at: float = math.inf
    _repeated: bool = False

    @property
    def is_new(self) -> bool:
        """Whether the first question is still to be asked or waits for its answer."""
        unanswered = math.isinf(self.answered_at) and self.failures == 0
        return unanswered and (self.asked_at is not None or not math.isinf(self.due_at))

    @property
    def under_way(self) -> bool:
        """Whether a question waits for its answer."""
        return self.asked_at is not None

    def need(self, seen_at: float, now: float, *, after: float = 0.0, spacing: float = 0.0) -> None:
        """Take evidence, dated ``seen_at``, that the newest answer is out of date.

        Evidence from before the newest answer's question proves nothing about it, and
        none makes a failing question more frequent.

        :param after: shortest wait before the question, in seconds.
        :param spacing: shortest time since the last question, in seconds, for evidence
            that goes on whatever the answer.
        """
        if seen_at < self.answered_at:
            return
        if self.asked_at is not None:
            if seen_at >= self.asked_at:
                self._again_at = min(self._again_at, self.asked_at + spacing)
        elif self.failures == 0:
            self.due_at = min(self.due_at, max(now + after, self.answered_at + spacing))

    def ask(self, now: float) -> bool:
        """Tell whether to ask now; if so, the question counts as under way."""
        if self.asked_at is not None or now < self.due_at:
            return False
        self.asked_at = now
        self._again_at = math.inf
        return True

    def answered(self, now: float, jitter: float) -> None:
        """Take note of an answer."""
        if self.asked_at is not None:
            self.answered_at = self.asked_at
        self.asked_at = None
        self.failures = 0
        self._repeated = False
        self.due_at = min(now + self.period * (1 + jitter / 5), max(now, self._again_at))

    def repeat(self, now: float) -> bool:
        """Ask again at once what was refused for a reason that is mended by now.

        :returns: False if that was done before; then the question has failed.
        """
        if self._repeated:
            return False
        self._repeated = True
        self.asked_at = None
        self.due_at = now
        return True

    def failed(self, now: float, jitter: float) -> None:
        """Take note of a question that got no usable answer."""
        self.asked_at = None
        delay = min(self.longest_delay, self.first_delay * self.growth ** min(self.failures, 32))
        self.failures += 1
        self._repeated = False
        self.due_at = now + delay * (0.5 + jitter / 2)

    def hasten(self, now: float) -> None:
        """Ask again now if the question has failed: what it failed of seems to be over."""
        if self.failures:
            self.due_at = min(self.due_at, now)

    def deadline(self) -> float:
        """Return when :meth:`ask` next says yes, as far as is known."""
        return math.inf if self.asked_at is not None else self.due_at

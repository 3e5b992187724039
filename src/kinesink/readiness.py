"""How a sink fares, in one word and one sentence, for readiness probes and people.

Law: the verdict is a table, the worst row that holds counts, and asking costs nothing:
everything in it was noted before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

Status = Literal["ok", "degraded", "failing"]

#: Seconds for which events may wait before something is wrong, beside the linger: several
#: attempts of one call.
SLOW: Final = 15.0

#: Seconds without a delivery, while events wait, after which nothing is taken to work. Shorter
#: than what an orchestrator gives a process that is not ready.
FAILING: Final = 60.0

#: Seconds for which a loss is remembered.
LATELY: Final = 60.0

#: Share of the room for waiting events that is a lot.
FULL: Final = 0.7


@dataclass(frozen=True, slots=True)
class Health:
    """How a sink, or a whole process, fares."""

    status: Status
    """``ok``, ``degraded`` (events are late or were lost) or ``failing`` (nothing arrives)."""
    reason: str
    """Why, in one sentence; empty if all is well."""
    oldest_pending: float
    """Age of the oldest event that waits, in seconds; 0 if none does."""

    def __str__(self) -> str:
        """Return one line for people."""
        return f"{self.status}: {self.reason}" if self.reason else self.status


class Vitals(NamedTuple):
    """What the producer notes; times are seconds on one monotonic clock."""

    noted_at: float = -math.inf
    """When the producer did anything last."""
    oldest: float = math.inf
    """No pending event came in before; infinite if none is pending."""
    delivered_at: float = -math.inf
    """When an event was delivered last."""
    lost_at: float = -math.inf
    """When an event was given up last."""
    last_error: str | None = None
    """The last failure of a call, in words."""


class Condition(NamedTuple):
    """What the verdict goes by."""

    vitals: Vitals
    waiting: bool
    """Whether there are events that the producer has not seen."""
    fill: float
    """The share of the room that is taken."""
    lost: str
    """What was lost in all, in words."""
    linger: float
    """Seconds that events wait for company."""
    now: float

    @property
    def age(self) -> float:
        """Age of the oldest event that the producer holds."""
        return max(0.0, self.now - self.vitals.oldest)

    @property
    def error(self) -> str:
        """The last error, as the end of a sentence."""
        return f"; last error: {self.vitals.last_error}" if self.vitals.last_error else ""


def judge(condition: Condition) -> Health:
    """Return the verdict on a condition."""
    for status, holds, text in _ROWS:
        if holds(condition):
            return Health(status, text(condition), condition.age)
    return Health("ok", "", condition.age)


def _is_stuck(c: Condition) -> bool:
    return c.waiting and math.isfinite(c.vitals.noted_at) and c.now - c.vitals.noted_at > SLOW


def _is_failing(c: Condition) -> bool:
    return c.age > FAILING and c.now - c.vitals.delivered_at > FAILING


#: Status, when it holds, and what it says; the first that holds counts.
_ROWS: Final[
    tuple[tuple[Status, Callable[[Condition], bool], Callable[[Condition], str]], ...]
] = (
    (
        "failing", _is_stuck,
        lambda c: f"the producer has not run for {c.now - c.vitals.noted_at:.0f} s",
    ),
    (
        "failing", _is_failing,
        lambda c: f"nothing was delivered for {min(c.age, c.now - c.vitals.delivered_at):.0f} s"
        f"{c.error}",
    ),
    (
        "degraded", lambda c: c.now - c.vitals.lost_at < LATELY,
        lambda c: f"events were given up {c.now - c.vitals.lost_at:.0f} s ago; in all {c.lost}",
    ),
    (
        "degraded", lambda c: c.age > SLOW + c.linger,
        lambda c: f"the oldest event has waited for {c.age:.0f} s{c.error}",
    ),
    (
        "degraded", lambda c: c.fill > FULL,
        lambda c: f"{c.fill:.0%} of the room for waiting events is taken{c.error}",
    ),
)  # fmt: skip

_ORDER: Final[tuple[Status, ...]] = ("ok", "degraded", "failing")


def worst(verdicts: list[tuple[str, Health]]) -> Health:
    """Return the verdict on several sinks, by the names of their streams: the worst counts."""
    if not verdicts:
        return Health("ok", "", 0.0)
    oldest = max(health.oldest_pending for _, health in verdicts)
    name, found = max(verdicts, key=lambda each: _ORDER.index(each[1].status))
    reason = f"stream {name!r}: {found.reason}" if found.reason else ""
    return Health(found.status, reason, oldest)

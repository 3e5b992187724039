"""The verdict on a sink: a table, of which the worst row that holds counts."""

from __future__ import annotations

import math
from typing import Any

import pytest

from kinesink.readiness import Condition, Health, Vitals, judge, worst

NOW = 1000.0
WELL: dict[str, Any] = {
    "vitals": Vitals(noted_at=NOW, delivered_at=NOW),
    "waiting": False,
    "fill": 0.0,
    "lost": "0 dropped",
    "linger": 0.1,
    "now": NOW,
}


def verdict(vitals: dict[str, Any] | None = None, **condition: object) -> Health:
    """Return the verdict on a condition that differs from a good one."""
    good = {"noted_at": NOW, "delivered_at": NOW, **(vitals or {})}
    return judge(Condition(**{**WELL, "vitals": Vitals(**good), **condition}))


@pytest.mark.parametrize(
    ("health", "status", "part"),
    [
        (verdict(), "ok", ""),
        (verdict({"noted_at": -math.inf}, waiting=True), "ok", ""),
        (verdict({"noted_at": NOW - 14}, waiting=True), "ok", ""),
        (verdict({"noted_at": NOW - 20}), "ok", ""),
        (verdict({"noted_at": NOW - 20}, waiting=True), "failing", "has not run for 20 s"),
        (verdict({"oldest": NOW - 10}), "ok", ""),
        (verdict({"oldest": NOW - 20}), "degraded", "oldest event has waited for 20 s"),
        (verdict({"oldest": NOW - 20}, linger=30), "ok", ""),
        (
            verdict({"oldest": NOW - 20, "last_error": "HTTP 503: busy"}),
            "degraded", "last error: HTTP 503: busy",
        ),
        (verdict({"oldest": NOW - 90, "delivered_at": NOW - 5}), "degraded", "waited for 90 s"),
        (
            verdict({"oldest": NOW - 90, "delivered_at": NOW - 70, "last_error": "refused"}),
            "failing", "nothing was delivered for 70 s; last error: refused",
        ),
        (verdict({"oldest": NOW - 90, "delivered_at": -math.inf}), "failing", "for 90 s"),
        (verdict({"delivered_at": NOW - 9000}), "ok", ""),
        (
            verdict({"lost_at": NOW - 5}, lost="3 dropped (shed 3)"),
            "degraded", "given up 5 s ago; in all 3 dropped (shed 3)",
        ),
        (verdict({"lost_at": NOW - 61}), "ok", ""),
        (verdict(fill=0.82), "degraded", "82% of the room"),
    ],
)  # fmt: skip
def test_each_row(health: Health, status: str, part: str) -> None:
    """Idle is well, late is degraded, and nothing that arrives is failing."""
    assert health.status == status
    assert part in health.reason
    assert bool(health.reason) == (status != "ok")
    assert str(health).startswith(status)


def test_the_age_of_the_oldest_is_always_told() -> None:
    """Also where it is no reason for anything."""
    assert verdict({"oldest": NOW - 3}).oldest_pending == 3
    assert verdict().oldest_pending == 0


def test_of_several_the_worst_counts() -> None:
    """And says which stream it is."""
    verdicts = [
        ("one", Health("ok", "", 1.0)),
        ("two", Health("failing", "nothing arrives", 90.0)),
        ("three", Health("degraded", "late", 100.0)),
    ]
    assert worst(verdicts) == Health("failing", "stream 'two': nothing arrives", 100.0)
    assert worst(verdicts[:1]) == Health("ok", "", 1.0)


def test_where_there_is_nothing_all_is_well() -> None:
    """A process that has logged nothing yet is ready."""
    assert worst([]) == Health("ok", "", 0.0)

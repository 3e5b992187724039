"""From the ledgers of the core to the statistics people read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinesink.statistics import Statistics, combine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinesink.core.ledger import Ledger

#: The fields that a ledger counts under the same name.
_COUNTS = (
    "accepted", "delivered", "pending", "pending_bytes", "retried", "throttled", "requests",
    "entries", "sent_bytes", "delivered_bytes", "wrong_shard", "refreshes",
)  # fmt: skip


def total(ledgers: Iterable[Ledger]) -> Statistics:
    """Return the account over several streams."""
    return combine(
        *(
            Statistics(
                **{name: getattr(ledger, name) for name in _COUNTS}, dropped=dict(ledger.dropped)
            )
            for ledger in ledgers
        )
    )

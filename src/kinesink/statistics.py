"""The account of a sink or producer at one moment."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinesink.core.records import DropReason


@dataclass(frozen=True, slots=True, repr=False)
class Statistics:
    """Totals since the start, except where a field says that it is the state of now.

    At any moment ``accepted == delivered + sum(dropped.values()) + pending``, in
    events. Two readings can be subtracted field by field.
    """

    accepted: int = 0
    """Events handed over, those included that were dropped at once."""
    delivered: int = 0
    """Events that Kinesis has acknowledged, each counted once."""
    dropped: Mapping[DropReason, int] = field(default_factory=dict)
    """Events given up, by reason; reasons that never occurred are absent."""
    pending: int = 0
    """Events waiting or under way, now, those in the spool included."""
    spooled: int = 0
    """Events that are only in the spool, now."""
    pending_bytes: int = 0
    """The data of those that are not only in the spool, in bytes, now."""
    own: int = 0
    """Log records that the producer's own work caused; not shipped, not accepted."""
    retried: int = 0
    """Times an event was sent once more, in events."""
    throttled: int = 0
    """Entries refused for rate."""
    requests: int = 0
    """PutRecords calls."""
    entries: int = 0
    """Kinesis records sent in them."""
    sent_bytes: int = 0
    """Data and partition keys sent in them, in bytes."""
    delivered_bytes: int = 0
    """Event data that Kinesis has acknowledged, in bytes."""
    wrong_shard: int = 0
    """Entries that Kinesis put into another shard than predicted."""
    refreshes: int = 0
    """Shard listings read."""

    @property
    def lost(self) -> int:
        """Events dropped, for whatever reason."""
        return sum(self.dropped.values())

    def __repr__(self) -> str:
        return f"<Statistics {self}>"

    @property
    def dropped_in_words(self) -> str:
        """How many events were dropped, and why."""
        reasons = ", ".join(f"{reason.value} {count}" for reason, count in self.dropped.items())
        return f"{self.lost} dropped" + (f" ({reasons})" if reasons else "")

    def __str__(self) -> str:
        """Return the account as one sentence."""
        return (
            f"{self.accepted} accepted = {self.delivered} delivered + {self.dropped_in_words} + "
            f"{self.pending} pending; {self.requests} requests, {self.entries} entries, "
            f"{self.retried} retried, {self.throttled} throttled"
        )


def combine(*accounts: Statistics) -> Statistics:
    """Return the sum of several accounts, field by field."""
    dropped: Counter[DropReason] = Counter()
    for account in accounts:
        dropped.update(account.dropped)
    sums: dict[str, Any] = {
        spec.name: sum(getattr(account, spec.name) for account in accounts)
        for spec in fields(Statistics)
        if spec.name != "dropped"
    }
    return Statistics(**sums, dropped=dict(dropped))

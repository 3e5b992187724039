"""What one producer asks about its stream, and what goes wrong with the answers.

Law: every question gets one answer, right, wrong or none; what is wrong with it is a fault
that the service is known to have.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from kinesink.core.records import Failure, ShardDescription, StreamSummary
from kinesink.testing.simulation.failures import GONE, TOO_LATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.testing.simulation.faults import Episode
    from kinesink.testing.simulation.member import Member

__all__ = ["Questions"]

_FAILURES: Final = {
    "denied": Failure("AccessDeniedException", "not authorized", 400),
    "throttled": Failure("LimitExceededException", "Rate exceeded", 400),
    "failing": Failure("InternalFailure", "internal", 500),
    "hanging": TOO_LATE,
}

Listing = list[ShardDescription]


class Questions:
    """ListShards and DescribeStreamSummary of one producer."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._world = member.world

    def list_shards(self) -> None:
        """Make a call of ListShards."""
        self._member.account.asks("ListShards", self._world.clock.now)
        self._ask("ListShards", "listing", self._list, self._listed)

    def describe(self) -> None:
        """Make a call of DescribeStreamSummary."""
        self._member.account.asks("Describe", self._world.clock.now)
        self._ask("DescribeStreamSummary", "description", self._describe, self._described)

    def _ask(
        self,
        operation: str,
        subject: str,
        answer: Callable[[Episode | None], None],
        failed: Callable[[Failure], None],
    ) -> None:
        """Have the question answered in its time, unless trouble strikes."""
        member = self._member
        trouble = self._world.weather.strikes(subject)
        member.note(f"{operation}%s", f" ({trouble.kind})" if trouble else "")
        wait = self._wait(trouble)
        if trouble is not None and trouble.kind in _FAILURES:
            member.later(wait, partial(failed, _FAILURES[trouble.kind]))
        elif wait > member.options.request_timeout:
            member.later(member.options.request_timeout, partial(failed, TOO_LATE))
        else:
            member.later(wait, partial(answer, trouble))

    def _wait(self, trouble: Episode | None) -> float:
        """Return how long the answer takes."""
        wait = self._member.latency() + self._member.latency()
        if trouble is not None and trouble.kind == "hanging":
            return self._member.options.request_timeout
        return wait + trouble.amount if trouble is not None and trouble.kind == "slow" else wait

    def _list(self, trouble: Episode | None) -> None:
        if self._world.is_gone:
            self._member.unaware = False
            self._listed(GONE)
            return
        kind = trouble.kind if trouble is not None else ""
        right = self._world.kinesis.listing()
        listing = right
        if trouble is not None and kind == "stale":
            listing = self._world.kinesis.listing_of(self._world.clock.now - trouble.amount)
        elif kind == "partial":
            listing = right[1:]
        elif kind == "doubled":
            listing = self._both(right, self._world.kinesis.previous_listing())
        elif kind == "empty":
            listing = []
        self._listed(listing)
        if listing == right:
            self._member.unaware = False

    def _both(self, now: Listing, before: Listing) -> Listing:
        """Return a listing whose pages were read before and after a reshard."""
        known = {shard.shard_id for shard in now}
        return [*now, *(shard for shard in before if shard.shard_id not in known)]

    def _listed(self, listing: Listing | Failure) -> None:
        member = self._member
        said = listing.code if isinstance(listing, Failure) else f"{len(listing)} shards"
        member.note("ListShards answers %s", said)
        member.account.answered("ListShards")
        member.pipeline.shards_listed(listing, self._world.clock.now)
        member.look_at_map()
        member.step()

    def _describe(self, trouble: Episode | None) -> None:
        if self._world.is_gone:
            self._member.unaware = False
            self._described(GONE)
            return
        silent = trouble is not None and trouble.kind == "silent"
        self._described(StreamSummary() if silent else self._world.kinesis.summary())

    def _described(self, summary: StreamSummary | Failure) -> None:
        member = self._member
        said = summary.code if isinstance(summary, Failure) else summary.record_distribution
        member.note("DescribeStreamSummary answers %s", said)
        member.account.answered("Describe")
        member.pipeline.stream_described(summary, self._world.clock.now)
        member.look_at_map()
        member.step()

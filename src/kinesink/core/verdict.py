"""What the answer to one entry means: the placement check and the retry policy.

Law: an aggregated record counts as delivered only if every hash key in it lies in
the range of the shard that took it. Consumers built on the KCL discard a whole
aggregated record for one stray sub-record, so anything else would be silent loss. A
record that travelled alone is where Kinesis put it, and is delivered.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from kinesink.core.records import ShardId
from kinesink.core.retry_policy import Kind, classify_entry
from kinesink.core.stream_facts import Distribution

if TYPE_CHECKING:
    from kinesink.core.entry import Entry
    from kinesink.core.records import EntryResult
    from kinesink.core.shard_map import ShardMap


class Action(Enum):
    """What becomes of an entry."""

    DELIVER = "deliver"
    HOLD = "hold"
    """The shard map must be read before this can be judged."""
    REROUTE = "reroute"
    """Its user records are routed again by the map."""
    SEND_ALONE = "send_alone"
    """Its user records are sent again, each by itself."""
    SLOW_DOWN = "slow_down"
    """Refused for rate: again when its shard may."""
    RETRY = "retry"
    """A fault: again after a while."""
    REJECT = "reject"
    """It can never be written."""


class Verdict(NamedTuple):
    """The action and the evidence that comes with it."""

    action: Action
    wrong_shard: bool = False
    """Another shard than predicted took it: the map is out of date."""
    stream_places: bool = False
    """A placement that only a stream with AUTO distribution makes."""


_FAILURES = {
    Kind.THROTTLED: Verdict(Action.SLOW_DOWN),
    Kind.BAD_ENTRY: Verdict(Action.REJECT),
    Kind.TRANSIENT: Verdict(Action.RETRY),
}


def judge(
    entry: Entry,
    result: EntryResult,
    *,
    sent_at: float,
    shard_map: ShardMap,
    distribution: Distribution,
) -> Verdict:
    """Return what follows from the answer to an entry.

    :param sent_at: when the request was sent; a map that was asked for before that
        cannot disprove what the answer says.
    """
    if not result.success:
        return _FAILURES[classify_entry(result.error_code or "")]
    if distribution is Distribution.AUTO:
        # Any shard is right for one record alone, none for an aggregated one.
        return Verdict(Action.SEND_ALONE if entry.aggregated else Action.DELIVER)
    actual = ShardId(result.shard_id or "")
    wrong = entry.predicted is not None and actual != entry.predicted
    taken_by = shard_map.range_of(actual)
    if taken_by is None:
        return _taken_by_stranger(entry, shard_map, distribution, wrong=wrong)
    if taken_by.encloses(entry.low, entry.high):
        return Verdict(Action.DELIVER, wrong_shard=wrong)
    if taken_by.contains(entry.outer_hash_key):
        # Lines are read by whoever reads the shard; consumers drop aggregated records.
        again = Action.REROUTE if entry.aggregated else Action.DELIVER
        return Verdict(again, wrong_shard=True)
    return _taken_out_of_range(entry, fresh=shard_map.refresh.answered_at >= sent_at)


def _taken_by_stranger(
    entry: Entry, shard_map: ShardMap, distribution: Distribution, *, wrong: bool
) -> Verdict:
    """Judge an entry taken by a shard whose range nobody knows, or knows any more."""
    as_predicted = entry.predicted is not None and not wrong
    if as_predicted or not entry.aggregated:
        return Verdict(Action.DELIVER, wrong_shard=wrong)
    one_hash_key = entry.low == entry.high
    if one_hash_key and not shard_map.known and distribution is Distribution.USER_PARTITION_KEY:
        # Kinesis has routed it by the only hash key it holds.
        return Verdict(Action.DELIVER)
    return Verdict(Action.HOLD, wrong_shard=True)


def _taken_out_of_range(entry: Entry, *, fresh: bool) -> Verdict:
    """Judge an entry taken by a shard whose range excludes the hash key it was sent with.

    Ranges never change, so this is a stream that places records itself, or one that was
    deleted and created anew with the same shard ids: a listing tells.
    """
    if fresh:
        again = Action.SEND_ALONE if entry.aggregated else Action.DELIVER
        return Verdict(again, wrong_shard=True, stream_places=True)
    return Verdict(Action.HOLD if entry.aggregated else Action.DELIVER, wrong_shard=True)

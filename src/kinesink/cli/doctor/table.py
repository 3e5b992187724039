"""The checks in their order, what each needs, and how they are carried out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio

from kinesink.cli.doctor import permissions, probing, way
from kinesink.cli.doctor.results import Result, Verdict, skipped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from kinesink.cli.doctor.subject import Subject

Tell = Callable[[str, Result], object]


class Check(NamedTuple):
    """One look at one thing."""

    name: str
    look: Callable[[Subject], Awaitable[Result]]
    needs: tuple[str, ...] = ()
    """Checks that must not have failed, and must have been made."""
    wholly: bool = False
    """Whether those must be without a warning, too."""


_PROBES: Final = ("probe", "read back")

CHECKS: Final = (
    Check("credentials", way.credentials),
    Check("region", way.region),
    Check("identity", way.identity, ("credentials", "region")),
    Check("endpoint", way.endpoint, ("region",)),
    Check("TLS", way.tls, ("endpoint",)),
    Check("clock", way.clock, ("TLS",)),
    Check("DescribeStreamSummary", permissions.describe_stream_summary, ("credentials", "TLS")),
    # Without the permission it says what it knows: nothing.
    Check("stream", permissions.stream, ("credentials", "TLS")),
    Check("ListShards", permissions.list_shards, ("stream",)),
    Check("PutRecords", permissions.put_records, ("stream",)),
    Check("capacity", permissions.capacity, ("ListShards",)),
    Check("record distribution", permissions.distribution, ("stream",)),
    Check("record size", permissions.record_size, ("stream",)),
    Check("GetShardIterator", permissions.get_shard_iterator, ("capacity",)),
    Check("GetRecords", permissions.get_records, ("GetShardIterator",), wholly=True),
    Check("probe", probing.write, ("PutRecords",)),
    Check("read back", probing.read, ("probe", "GetRecords"), wholly=True),
)


async def examine(subject: Subject, tell: Tell, *, probe: bool) -> dict[str, Result]:
    """Make one check after the other, and return what they found by their names.

    :param tell: called with the name and the result of each as soon as it is there.
    :param probe: whether anything may be written to the stream.
    """
    found: dict[str, Result] = {}
    try:
        for check in CHECKS:
            if probe or check.name not in _PROBES:
                missing = _missing(check, found)
                result = skipped(f"needs {missing}") if missing else await check.look(subject)
                found[check.name] = result
                tell(check.name, result)
    finally:
        with anyio.CancelScope(shield=True):
            await subject.service.aclose()
    return found


def _missing(check: Check, found: Mapping[str, Result]) -> str:
    good = {Verdict.OK} if check.wholly else {Verdict.OK, Verdict.WARNING}
    return next((name for name in check.needs if found[name].verdict not in good), "")

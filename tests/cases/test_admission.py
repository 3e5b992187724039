"""Admission (cases A), at the front door and through a log call."""

# ruff: noqa: N802 - the tests carry the names of the cases

from __future__ import annotations

from typing import Any

import pytest

from kinesink import DropReason, InvalidRecordError
from kinesink.core.limits import MIB
from tests.cases.evidence import carried
from tests.cases.scene import TOP, scene

REFUSED: list[tuple[type[Exception], str, tuple[Any, ...]]] = [
    (InvalidRecordError, "1048577 bytes", (bytes(MIB), "k")),
    (InvalidRecordError, "1048577 bytes", (bytes(MIB - 1), "é")),
    (InvalidRecordError, "257 characters", (b"x", "k" * 257)),
    (InvalidRecordError, "0 characters", (b"x", "")),
    (InvalidRecordError, "surrogate", (b"x", "\ud800")),
    (TypeError, "data must be bytes, not str", ("text", "k")),
    (TypeError, "data must be bytes, not NoneType", (None, "k")),
    (InvalidRecordError, "-1", (b"x", "k", "-1")),
    (InvalidRecordError, "٣", (b"x", "k", "٣")),
    (InvalidRecordError, "from 0 to 2", (b"x", "k", 2**128)),
]


@pytest.mark.parametrize(("kind", "told", "given"), REFUSED)
async def test_A1_what_kinesis_can_never_take_is_refused_and_nothing_changes(
    kind: type[Exception], told: str, given: tuple[Any, ...]
) -> None:
    """At once, with a clear error; neither room nor counters move, and nothing is called."""
    async with scene() as s:
        calls, before = len(s.fake.calls), s.producer.statistics()
        moment = s.now
        with pytest.raises(kind, match=told):
            await s.producer.put(*given)
        assert s.now == moment
        assert s.producer.statistics() == before
        assert len(s.fake.calls) == calls
        assert (await s.deliver(b"next", "k")).success
    assert s.account().accepted == 1


@pytest.mark.parametrize(
    ("reason", "event"),
    [
        (DropReason.TOO_LARGE, (bytes(MIB), None)),
        (DropReason.TOO_LARGE, (bytes(MIB), "k")),
        (DropReason.INVALID, (b"x", "k" * 257)),
        (DropReason.INVALID, (b"x", "")),
        (DropReason.INVALID, (b"x", "\ud800")),
        (DropReason.INVALID, (b"x", "k", -1)),
        (DropReason.INVALID, (b"x", "k", 2**128)),
    ],
)
async def test_A2_a_log_call_raises_nothing_and_its_neighbours_arrive(
    reason: DropReason, event: tuple[Any, ...]
) -> None:
    """The event is counted under its reason and told; the others share their request."""
    async with scene(shards=1) as s:
        s.emit(b"before")
        s.emit(b"before", "key")
        s.emit(*event)
        s.emit(b"after")
        s.emit(b"after", "key")
        await s.settle()
        assert len(s.calls()) == 1
        assert len(carried(s.calls()[0])) == 2
    account = s.account()
    assert (account.accepted, account.delivered) == (5, 4)
    assert account.dropped == {reason: 1}
    assert s.copies() == {b"before": 2, b"after": 2}
    assert s.kinds()[f"dropped:{reason.value}"] == 1


@pytest.mark.parametrize(
    ("data", "key", "hash_key"),
    [
        (b"x", "😀" * 256, None),
        (b"x", "k", 0),
        (b"x", "k", TOP),
        (b"", "k", None),
        (b"", None, None),
    ],
)
async def test_A3_what_kinesis_takes_is_accepted_and_arrives(
    data: bytes, key: str | None, hash_key: int | None
) -> None:
    """By itself, and in company."""
    async with scene(shards=1) as s:
        result = await s.deliver(data, key, hash_key=hash_key)
        assert result.success
        s.emit(data, key, hash_key)
        s.emit(b"company", key, hash_key)
    assert s.account().delivered == 3
    assert s.copies() == {data: 2, b"company": 1}

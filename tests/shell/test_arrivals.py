"""What comes in, as the core wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kinesink.core.records import Chunk, UserRecord
from kinesink.shell.arrivals import contents_of
from kinesink.shell.intake import KeyedEvent
from tests.core.entries import Results

if TYPE_CHECKING:
    from kinesink.shell.intake import Item


def test_events_without_and_with_keys_are_a_content_each() -> None:
    """However many there are, in their order."""
    items: list[Item] = [
        b"a", KeyedEvent(b"b", "k", None), b"c", KeyedEvent(b"d", None, 7),
        KeyedEvent(b"e", "k", 1),
    ]  # fmt: skip
    (keyless, keyed), errors = contents_of(items, 3.0)
    assert errors == []
    assert (keyless.each(), keyless.keyless, keyless.arrival) == ([b"a", b"c"], True, 3.0)
    assert (keyed.each(), keyed.keyless, keyed.arrival) == ([b"b", b"d", b"e"], False, 3.0)
    assert [(keys.partition_key, keys.explicit_hash_key) for keys in keyed.each_keys()] == [
        ("k", None), ("0", 7), ("k", 1),
    ]  # fmt: skip


def test_events_that_somebody_waits_for_are_records_of_their_own() -> None:
    """Beside those that nobody waits for."""
    ticket = Results()
    items: list[Item] = [
        KeyedEvent(b"a", "k", None, ticket), KeyedEvent(b"b", "k", None),
        KeyedEvent(b"c", None, None, ticket),
    ]  # fmt: skip
    contents, errors = contents_of(items, 0.0)
    assert errors == []
    together, first, second = contents
    assert isinstance(together, Chunk)
    assert together.each() == [b"b"]
    assert isinstance(first, UserRecord)
    assert (first.data, first.partition_key, first.ticket) == (b"a", "k", ticket)
    assert isinstance(second, UserRecord)
    assert (second.data, second.partition_key, second.ticket) == (b"c", None, ticket)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (KeyedEvent(b"x", "", None), "has 0 characters"),
        (KeyedEvent(b"x", ["k"], None), "must be str, not list"),  # type: ignore[arg-type]  # what is refused
        (KeyedEvent(b"x", "k", -1), "is not a decimal integer"),
        (KeyedEvent("text", "k", None), "must be bytes, not str"),  # type: ignore[arg-type]  # as above
        ("text", "must be bytes, not str"),
    ],
)
def test_one_that_can_never_be_sent_harms_no_other(bad: Item, told: str) -> None:
    """It is told, and the others come through."""
    contents, (error,) = contents_of([b"a", KeyedEvent(b"b", "k", None), bad], 0.0)
    assert told in error
    assert [datum for content in contents for datum in content.each()] == [b"a", b"b"]


@pytest.mark.parametrize("data", [bytearray(b"b"), memoryview(b"b")])
def test_bytes_of_another_kind_are_made_bytes(data: bytes) -> None:
    """With keys, and without."""
    items: list[Item] = [KeyedEvent(data, "k", None), KeyedEvent(data, None, None), data]
    contents, errors = contents_of(items, 0.0)
    assert errors == []
    found = [datum for content in contents for datum in content.each()]
    assert found == [b"b", b"b", b"b"]
    assert {type(datum) for datum in found} == {bytes}

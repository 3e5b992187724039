"""What comes in, as the core wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinesink.core.records import Chunk, UserRecord
from kinesink.shell.admission import check_record
from kinesink.shell.intake import KeyedEvent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinesink.core.records import Content, Ticket
    from kinesink.shell.intake import Item

#: More than any event has: whether it fits into a record is for the core to say.
_ANY_SIZE: Final = 2**63


def contents_of(items: list[Item], now: float) -> tuple[list[Content], list[str]]:
    """Return what arrived for the core, and why the rest can never be sent."""
    # A type test and nothing more for each event without a key, because most have none.
    keyless: list[bytes] = [item for item in items if type(item) is bytes]
    contents: list[Content] = [Chunk(keyless, now)] if keyless else []
    errors: list[str] = []
    if len(keyless) < len(items):
        _take_others((item for item in items if type(item) is not bytes), now, contents, errors)
    return contents, errors


def _take_others(
    items: Iterable[Item], now: float, contents: list[Content], errors: list[str]
) -> None:
    for item in items:
        event = item if isinstance(item, KeyedEvent) else KeyedEvent(item, None, None)
        data, key, explicit_hash_key, ticket = event
        try:
            hash_key = check_record(data, key, explicit_hash_key, _ANY_SIZE)
        except (TypeError, ValueError) as error:
            errors.append(str(error))
        else:
            contents.append(new_record(bytes(data), key, hash_key, now, ticket))


def new_record(
    data: bytes,
    partition_key: str | None,
    explicit_hash_key: int | None,
    arrival: float,
    ticket: Ticket | None = None,
) -> UserRecord:
    """Return the user record of an event that is no plain bytes."""
    if partition_key is None and explicit_hash_key is not None:
        # Kinesis wants one, and goes by the other.
        partition_key = "0"
    return UserRecord(
        data,
        arrival=arrival,
        partition_key=partition_key,
        explicit_hash_key=explicit_hash_key,
        ticket=ticket,
    )

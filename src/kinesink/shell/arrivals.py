"""What comes in, as the core wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinesink.core.hash_key import keys_of
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
        others = [item for item in items if type(item) is not bytes]
        nobody_s = [item for item in others if type(item) is KeyedEvent and item.ticket is None]
        keyed = _keyed_chunk(nobody_s, now)
        if keyed is None:
            _take_others(others, now, contents, errors)
        else:
            contents.append(keyed)
            if len(nobody_s) < len(others):
                rest = (i for i in others if type(i) is not KeyedEvent or i.ticket is not None)
                _take_others(rest, now, contents, errors)
    return contents, errors


def _keyed_chunk(events: list[KeyedEvent], now: float) -> Chunk | None:
    """Return events with keys; None if there are none, or some that need a closer look."""
    data = [event.data for event in events]
    try:
        found = [keys_of(event.partition_key, event.explicit_hash_key) for event in events]
    except (TypeError, ValueError):
        return None
    keys = [each for each in found if each is not None]
    if len(keys) < len(data) or set(map(type, data)) != {bytes}:
        return None
    return Chunk(data, now, keys=keys)


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
    return UserRecord(
        data,
        arrival=arrival,
        partition_key=partition_key,
        explicit_hash_key=explicit_hash_key,
        ticket=ticket,
    )

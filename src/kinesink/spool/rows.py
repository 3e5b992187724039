"""The statements of a spool, and events as the rows they are about."""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Final

from kinesink.spool.event import ROW_BYTES, SpooledEvent

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    Row = tuple[int, float, int | None, str | None, bytes | None, bytes]

#: Rows of one statement: six values each, and old versions of sqlite take 999.
ROWS_AT_ONCE: Final = 160

#: Rows that are looked at, or removed, without letting others in between.
STEP: Final = 1000

_SIZE: Final = f"length(data) + {ROW_BYTES} + coalesce(length(CAST(partition_key AS BLOB)), 0)"
READ: Final = (
    "SELECT id, at, level, partition_key, explicit_hash_key, data FROM events"
    " WHERE id > ? ORDER BY id LIMIT ?"
)
AGE: Final = "SELECT at FROM events WHERE id > ? ORDER BY id LIMIT 1"
LOOK: Final = f"SELECT id, level, {_SIZE} FROM events WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608 - constants
WEIGH: Final = f"SELECT count(*), coalesce(sum({_SIZE}), 0) FROM events WHERE id BETWEEN ? AND ?"  # noqa: S608 - constants
REMOVE: Final = "DELETE FROM events WHERE id BETWEEN ? AND ?"


@lru_cache(maxsize=ROWS_AT_ONCE)
def insertion(number: int) -> str:
    """Return the statement that inserts so many rows, all of them or none."""
    values = ",".join(["(?,?,?,?,?,?)"] * number)
    return f"INSERT INTO events VALUES {values}"  # noqa: S608 - question marks


INSERT_ONE: Final = insertion(1)


def packed(explicit_hash_key: int | None) -> bytes | None:
    """Return a hash key as it is stored: it is larger than any integer of sqlite."""
    return None if explicit_hash_key is None else explicit_hash_key.to_bytes(16, "big")


def row_of(row_id: int, event: SpooledEvent) -> Row:
    """Return the values of an event, in the order of the columns."""
    data, partition_key, explicit_hash_key, level, at = event
    return row_id, at, level, partition_key, packed(explicit_hash_key), data


def event_of(row: Row) -> SpooledEvent:
    """Return the event of a row."""
    _, at, level, partition_key, hash_key, data = row
    explicit_hash_key = None if hash_key is None else int.from_bytes(hash_key, "big")
    return SpooledEvent(data, partition_key, explicit_hash_key, level, at)


def runs_of(ids: Collection[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and last of each run of consecutive rows, none longer than a step."""
    for _, group in groupby(enumerate(sorted(ids)), key=_run):
        run = [row_id for _, row_id in group]
        yield run[0], run[-1]


def _run(numbered: tuple[int, int]) -> tuple[int, int]:
    position, row_id = numbered
    return row_id - position, position // STEP

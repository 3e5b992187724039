"""Partition keys, hash keys and the ranges that shards own.

A partition key becomes a 128-bit hash key by the MD5 of its UTF-8 form, read
big-endian; an explicit hash key overrides it
(https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecordsRequestEntry.html).
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import md5
from typing import Final, NamedTuple

from kinesink.core.limits import (
    MAX_HASH_KEY,
    MAX_HASH_KEY_DIGITS,
    PARTITION_KEY_MAX_CHARACTERS,
)

#: Pairs of keys remembered: users, sessions and loggers come again. Some 250 bytes each, beside
#: the partition key itself (measured on CPython 3.11).
_KEYS_KEPT: Final = 4096

#: What travels by an explicit hash key alone has this partition key: Kinesis wants one.
_ANY_PARTITION_KEY: Final = "0"

#: An error shows this much of a value that is no hash key.
_SHOWN_CHARACTERS: Final = 64


class HashKeyRange(NamedTuple):
    """The hash keys a shard owns; both ends belong to it."""

    start: int
    end: int

    def contains(self, hash_key: int) -> bool:
        """Tell whether ``hash_key`` lies in the range."""
        return self.start <= hash_key <= self.end

    def encloses(self, low: int, high: int) -> bool:
        """Tell whether every hash key from ``low`` to ``high`` lies in the range."""
        return self.start <= low and high <= self.end

    @property
    def midpoint(self) -> int:
        """A hash key of the range that is as far from both ends as it can be."""
        return (self.start + self.end) // 2


class Keys:
    """What Kinesis routes an event by: its partition key and its explicit hash key.

    Immutable; many events share one, see :func:`keys_of`. Equal keys need not be one object.
    """

    __slots__ = ("_hash_key", "explicit_hash_key", "partition_key", "size")

    def __init__(self, partition_key: str, explicit_hash_key: int | None) -> None:
        self.partition_key: Final = partition_key
        self.explicit_hash_key: Final = explicit_hash_key
        #: The bytes of the partition key, as Kinesis counts them.
        self.size: Final = len(partition_key.encode())
        self._hash_key = explicit_hash_key

    @property
    def hash_key(self) -> int:
        """The hash key that Kinesis goes by; computed when it is first asked for."""
        if self._hash_key is None:
            self._hash_key = hash_key_of(self.partition_key)
        return self._hash_key


# By type as well, because True is equal to 1, and no hash key.
@lru_cache(_KEYS_KEPT, typed=True)
def keys_of(partition_key: str | None, explicit_hash_key: int | str | None) -> Keys | None:
    """Return the keys of an event; None if it has none. Safe from any thread.

    :raises TypeError, ValueError: as :func:`check_partition_key` and
        :func:`parse_explicit_hash_key`.
    """
    if partition_key is not None:
        check_partition_key(partition_key)
    elif explicit_hash_key is None:
        return None
    else:
        partition_key = _ANY_PARTITION_KEY
    hash_key = None if explicit_hash_key is None else parse_explicit_hash_key(explicit_hash_key)
    return Keys(partition_key, hash_key)


def hash_key_of(partition_key: str) -> int:
    """Return the hash key that Kinesis derives from ``partition_key``. Safe from any thread.

    MD5 spreads here, it protects nothing; ``usedforsecurity=False`` keeps it
    available in Python builds that follow FIPS 140.
    """
    digest = md5(partition_key.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest, "big")


def parse_explicit_hash_key(value: object) -> int:
    """Return the explicit hash key that ``value`` stands for.

    Text must be the canonical decimal form that the service accepts
    (``0|([1-9][0-9]{0,38})``): no sign, no leading zero, ASCII digits.

    :raises TypeError: if the value is neither text nor an integer.
    :raises ValueError: if it is no hash key; the text says what is allowed.
    """
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        msg = f"explicit_hash_key must be int or str, not {type(value).__name__}"
        raise TypeError(msg)
    if isinstance(value, str):
        canonical = value.isascii() and value.isdigit() and (value == "0" or value[0] != "0")
        if not canonical or len(value) > MAX_HASH_KEY_DIGITS:
            raise _not_a_hash_key(value)
        value = int(value)
    if not 0 <= value <= MAX_HASH_KEY:
        raise _not_a_hash_key(value)
    return value


def check_partition_key(value: object) -> str:
    """Return ``value`` if Kinesis accepts it as a partition key.

    :raises TypeError: if it is not text.
    :raises ValueError: if it is empty, longer than 256 characters or not
        encodable as UTF-8 (a lone surrogate).
    """
    if not isinstance(value, str):
        msg = f"partition_key must be str, not {type(value).__name__}"
        raise TypeError(msg)
    if not 1 <= len(value) <= PARTITION_KEY_MAX_CHARACTERS:
        msg = (
            f"partition_key has {len(value)} characters; "
            f"Kinesis takes 1 to {PARTITION_KEY_MAX_CHARACTERS}"
        )
        raise ValueError(msg)
    try:
        value.encode()
    except UnicodeEncodeError:
        msg = f"partition_key {value!r} cannot be encoded as UTF-8 (lone surrogate)"
        raise ValueError(msg) from None
    return value


def _not_a_hash_key(value: int | str) -> ValueError:
    # Hexadecimal, because Python refuses to write thousands of decimal digits.
    shown = repr(value) if isinstance(value, str) else f"{value:#x}"
    if len(shown) > _SHOWN_CHARACTERS:
        shown = f"{shown[:_SHOWN_CHARACTERS]}..."
    return ValueError(
        f"explicit_hash_key {shown} is not a decimal integer from 0 to 2**128 - 1 "
        "without sign or leading zeros"
    )

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

#: Hash keys remembered: users, sessions and loggers come again. 180 to 430 bytes each, by
#: the length of the partition key.
_HASH_KEYS_KEPT: Final = 4096

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


@lru_cache(_HASH_KEYS_KEPT)
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

"""Opaque texts that clients hand back: paging tokens and shard iterators.

They hold all they stand for, so the fake remembers nothing about them; clients must not
look inside, and the URL-safe base64 reminds them.
"""

import base64
from typing import Final

import orjson

__all__ = ["LIFETIME", "seal", "unseal"]

LIFETIME: Final = 300.0
"""Seconds a token is valid: API reference of ListShards and GetShardIterator."""


def seal(*parts: object) -> str:
    """Return a text that holds ``parts``."""
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode()


def unseal(token: str, parts: int) -> list[object] | None:
    """Return the ``parts`` in a token, or None if it is none of ours."""
    try:
        found = orjson.loads(base64.urlsafe_b64decode(token))
    except ValueError:
        return None
    return found if isinstance(found, list) and len(found) == parts else None

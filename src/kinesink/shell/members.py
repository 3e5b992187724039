"""A look at a set that other threads add to."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from weakref import WeakSet

T = TypeVar("T")


def members(those: WeakSet[T]) -> list[T]:
    """Return what is in a set, whatever other threads are about."""
    while True:
        # The set may grow while it is read; to read it takes microseconds.
        with suppress(RuntimeError):
            return list(those)

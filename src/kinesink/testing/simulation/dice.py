"""Chance that is the same each time: everything is drawn from one generator's numbers.

Law: only ``Random.random`` is used, whose sequence for a seed is the same on every Python;
what ``choice`` and its kin make of it has changed before.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Dice"]

T = TypeVar("T")


class Dice:
    """Draws for one purpose; another purpose has its own, and is not disturbed by these."""

    def __init__(self, seed: int, purpose: int) -> None:
        self.draw = random.Random(seed * 1000 + purpose).random  # noqa: S311 - guards nothing

    def chance(self, probability: float) -> bool:
        """Tell whether something of this probability happens."""
        return self.draw() < probability

    def between(self, low: float, high: float) -> float:
        """Return a number from ``low`` to ``high``."""
        return low + (high - low) * self.draw()

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from ``low`` to ``high``, both included."""
        return low + int((high - low + 1) * self.draw())

    def pick(self, among: Sequence[T]) -> T:
        """Return one of some."""
        return among[int(len(among) * self.draw())]

"""How long events took, in little memory however many they are.

Law: a quantile is at most 2 % above what it stands for; the largest is exact.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Final

_GROWTH: Final = math.log(1.02)
"""Each bucket ends 2 % above the one before."""

_SHORTEST: Final = 1e-6
"""Seconds that no event undercuts."""

_EDGES: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60)
"""Upper ends of the rows of the histogram, in seconds."""


class Latencies:
    """A distribution of times, in seconds. Written by one thread; any may read."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.longest = 0.0

    def add(self, seconds: float) -> None:
        """Take the time of one event."""
        self._buckets[math.ceil(math.log(max(seconds, _SHORTEST)) / _GROWTH)] += 1
        self.longest = max(self.longest, seconds)

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(self._counts().values())

    def quantile(self, share: float) -> float:
        """Return the time within which a share of the events was done; 0 without any.

        :param share: from 0 to 1.
        """
        counts = self._counts()
        wanted = share * sum(counts.values())
        passed = 0
        for bucket in sorted(counts):
            passed += counts[bucket]
            if passed >= wanted:
                return min(math.exp(bucket * _GROWTH), self.longest)
        return 0.0

    def rows(self) -> list[tuple[str, int]]:
        """Return how many events took how long, from the first row that has any to the last."""
        rows: Counter[int] = Counter()
        for bucket, count in self._counts().items():
            # In the middle of the bucket, lest it be in the next row for a rounding error.
            middle = math.exp((bucket - 0.5) * _GROWTH)
            rows[sum(edge < middle for edge in _EDGES)] += count
        if not rows:
            return []
        return [(_label(row), rows[row]) for row in range(min(rows), max(rows) + 1)]

    def _counts(self) -> Counter[int]:
        # One operation in C, so that the other thread adds nothing in the middle of it.
        return self._buckets.copy()


def in_words(seconds: float) -> str:
    """Return a time as people write it."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s"


def _label(row: int) -> str:
    if row == len(_EDGES):
        return f"> {in_words(_EDGES[-1])}"
    return f"≤ {in_words(_EDGES[row])}"

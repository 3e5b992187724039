"""What a simulation ends with when something does not hold."""

from __future__ import annotations

__all__ = ["Violation"]


class Violation(Exception):  # noqa: N818 - the word for it; an error is what Kinesis answers
    """An invariant that does not hold."""

    def __init__(self, invariant: str, what: str) -> None:
        """Say which invariant it is, in a word, and what was found."""
        super().__init__(f"{invariant}: {what}")
        self.invariant = invariant
        self.what = what

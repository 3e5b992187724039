"""The last happenings of a run, in words; all of them, when it is replayed.

Law: words are made only when somebody reads them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Trace"]

#: Happenings that a failure shows.
_REMEMBERED: Final = 30


class Trace:
    """What happened, newest last."""

    def __init__(self, start: float, say: Callable[[str], None] | None = None) -> None:
        """Begin.

        :param say: gets every line at once; None to keep the last ones only.
        """
        self._start = start
        self._say = say
        self._last: deque[tuple[int, float, str, tuple[object, ...]]] = deque(maxlen=_REMEMBERED)
        #: Happenings so far.
        self.step = 0

    def note(self, now: float, words: str, *values: object) -> None:
        """Take note of something; ``values`` go into the percent signs of ``words``."""
        self.step += 1
        self._last.append((self.step, now, words, values))
        if self._say is not None:
            self._say(self._line(self.step, now, words, values))

    def lines(self) -> list[str]:
        """Return the last happenings in words."""
        return [self._line(*happening) for happening in self._last]

    def _line(self, step: int, now: float, words: str, values: tuple[object, ...]) -> str:
        return f"{step:6d} {now - self._start:12.6f}  {words % values}"

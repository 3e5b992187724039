"""The last happenings of a run, in words; all of them, when it is replayed.

Law: words are made only when somebody reads them.
"""

from __future__ import annotations

from collections import deque
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Trace"]

#: Happenings that a failure shows, at most.
_REMEMBERED: Final = 60


class _Happening(NamedTuple):
    now: float
    words: str
    values: tuple[object, ...]


class Trace:
    """What happened, newest last."""

    def __init__(self, start: float, say: Callable[[str], None] | None = None) -> None:
        """Begin.

        :param say: gets every line at once; None to keep the last ones only.
        """
        self._start = start
        self._say = say
        self._last: deque[_Happening] = deque(maxlen=_REMEMBERED)
        #: Happenings so far.
        self.step = 0

    def note(self, now: float, words: str, *values: object) -> None:
        """Take note of something; ``values`` go into the percent signs of ``words``."""
        self.step += 1
        happening = _Happening(now, words, values)
        if self._say is not None:
            self._say(self._line(self.step, happening))
        self._last.append(happening)

    def lines(self) -> list[str]:
        """Return the last happenings in words, what is the same several times in one line."""
        first = self.step - len(self._last) + 1
        lines: list[str] = []
        for same, group in groupby(enumerate(self._last, first), key=itemgetter(1)):
            steps = [step for step, _ in group]
            times = f" ({len(steps)} times)" if len(steps) > 1 else ""
            lines.append(self._line(steps[0], same) + times)
        return lines

    def _line(self, step: int, happening: _Happening) -> str:
        now, words, values = happening
        return f"{step:6d} {now - self._start:12.6f}  {words % values}"

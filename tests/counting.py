"""Work counted in calls of Python functions: a figure that no busy machine changes."""

from __future__ import annotations

import gc
import statistics
import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

#: How often something is counted to find out what is usual: so many times in a row, that often,
#: and so many seconds apart. A timestamp costs more in the first tenth of each second.
_TIMES: Final = 200
_ROWS: Final = 5
_APART: Final = 0.05


def calls_in(action: Callable[[], object]) -> int:
    """Return how many Python functions were called in this thread."""
    calls = 0

    def count(frame: FrameType, event: str, arg: object) -> None:
        nonlocal calls
        del frame, arg
        calls += event == "call"

    before = sys.getprofile()
    # A collection would call what others have registered for it.
    gc.disable()
    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(before)
        gc.enable()
    return calls


def usual_calls_in(action: Callable[[], object]) -> int:
    """Return how many Python functions are called where it is called again and again.

    What it takes most often: now and then a call has to wake somebody up, or is interrupted.
    """
    usual = []
    for _ in range(_ROWS):
        usual.append(statistics.mode(calls_in(action) for _ in range(_TIMES)))
        time.sleep(_APART)
    return min(usual)

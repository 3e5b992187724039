"""Carry a walk out: calls in threads, records one after the other.

The threads are daemons, one for each call: a service that hangs keeps nobody from leaving.
"""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, wait
from typing import TYPE_CHECKING, Final

from kinesink.cli.tail.service import MOST_CALLS
from kinesink.cli.tail.walk import Failure, Remedy
from kinesink.shell.exit_safe import start_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from kinesink.cli.tail.walk import Answer, Call, Record, Walk

#: Seconds after which whoever reads is asked, even if there is nothing new.
_TURN: Final = 1.0

#: Seconds until the same trouble is told once more.
_AGAIN: Final = 60.0


def read(
    walk: Walk, perform: Callable[[Call], Answer], tell: Callable[[str], None]
) -> Iterator[list[Record]]:
    """Yield the records of a walk in their order, and an empty list now and then.

    :param perform: makes a call; called in threads.
    :param tell: tells of trouble that may pass, the same no more than once a minute.
    :raises GaveUpError: if the stream cannot be read any more.
    """
    pending: dict[Future[Answer], Call] = {}
    told, told_at = "", -_AGAIN
    while not walk.ended:
        now = time.monotonic()
        for call in walk.calls(now, MOST_CALLS - len(pending)):
            pending[start_in_thread(perform, call)] = call
        for future in _finished(pending, _pause(walk, len(pending), now)):
            answer = future.result()
            now = time.monotonic()
            walk.take(pending.pop(future), answer, now)
            if (
                isinstance(answer, Failure)
                and answer.remedy is Remedy.AGAIN
                and (answer.text != told or now >= told_at + _AGAIN)
            ):
                told, told_at = answer.text, now
                tell(f"{told} Trying again.")
        yield walk.ready()


def _pause(walk: Walk, pending: int, now: float) -> float:
    if pending >= MOST_CALLS:
        return _TURN
    return max(0.0, min(walk.deadline() - now, _TURN))


def _finished(pending: dict[Future[Answer], Call], pause: float) -> Iterable[Future[Answer]]:
    if pending:
        return wait(pending, pause, FIRST_COMPLETED).done
    time.sleep(pause)
    return ()

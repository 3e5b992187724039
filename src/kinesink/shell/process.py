"""All sinks of this process at once, whoever has made them.

Law: what the life of a process asks for - the end of a request, of a task, of a worker -
is asked of every sink at the same time, within one deadline.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from kinesink.readiness import worst
from kinesink.shell.background import every_background
from kinesink.shell.flush import await_flush, begin_flush
from kinesink.shell.process_exit import process_exit
from kinesink.shell.sink import every_sink
from kinesink.shell.totals import Totals
from kinesink.statistics import combine

if TYPE_CHECKING:
    from kinesink.readiness import Health
    from kinesink.shell.background import Background
    from kinesink.statistics import Statistics


def flush(timeout: float | None = None) -> bool:
    """Send all that this process has logged before now, and wait for it.

    Over every sink of the process: those of handlers, processors and exporters, those made by
    hand, and those that nobody has any more while they deliver the rest. Blocks the calling
    thread; in an event loop ``await`` :func:`aflush`. Safe from any thread; not for signal
    handlers, see :func:`kinesink.install_signal_handlers`.

    :param timeout: seconds to wait at most for all of them; None for the longest
        ``shutdown_timeout`` among those that run.
    :returns: whether all of it was delivered or accounted for in time.
    """
    busy = _busy()
    waits = [begin_flush(each) for each in busy]
    deadline = time.monotonic() + _patience(busy, timeout)
    # Every one of them, also after one that was late: it is told that nobody waits any more.
    ended = [wait(max(0.0, deadline - time.monotonic())) for wait in waits]
    return all(ended)


async def aflush(timeout: float | None = None) -> bool:
    """Do what :func:`flush` does without blocking the event loop, asyncio or trio."""
    import anyio  # noqa: PLC0415 - importing kinesink must stay cheap

    busy = _busy()
    patience = _patience(busy, timeout)
    results: list[bool] = []

    async def flush_one(background: Background) -> None:
        results.append(await await_flush(background, patience))

    async with anyio.create_task_group() as tasks:
        for each in busy:
            tasks.start_soon(flush_one, each)
    return all(results)


#: All that this process has sent since somebody asked first.
_totals: Final = Totals()


def total_statistics() -> Statistics:
    """Return the account of all sinks that this process has, together; never waits.

    Also of those that are gone, if they were there when this was called before.
    """
    return combine(*(total.statistics for total in _totals.read().values()))


def health() -> Health:
    """Return how this process's sinks fare: the worst of them; never waits.

    For a readiness probe: see :meth:`kinesink.Sink.health`. ``ok`` while there is no sink.
    """
    return worst([(sink.config.stream_name, sink.health()) for sink in every_sink()])


def _busy() -> list[Background]:
    # What a sink would wait for that has nothing to do keeps nobody.
    return [each for each in every_background() if not each.idle]


def _patience(busy: list[Background], timeout: float | None) -> float:
    usual = max((each.shutdown_timeout for each in busy), default=0.0)
    return process_exit.within(usual if timeout is None else timeout, usual)

"""An asyncio loop for a greenlet, which shares its thread with the application's greenlets.

Law: while the loop waits, others in the thread go on as if it were not there; and in a
forked child, which gets a copy of every greenlet, the copy does nothing.

To be imported in a process that gevent has patched; the selector is gevent's then.
"""

from __future__ import annotations

import asyncio
import os
import selectors
from asyncio import events
from typing import TYPE_CHECKING

from kinesink.shell.hosts import stand_still

if TYPE_CHECKING:
    from selectors import SelectorKey


class GreenletSelector(selectors.DefaultSelector):
    """Waits for input as gevent does, and lets go of the thread meanwhile.

    Which loop runs is known by thread. Another greenlet, which may run a loop of its own,
    must find the thread as it has left it.
    """

    def __init__(self, process_id: int) -> None:
        super().__init__()
        self._process_id = process_id
        #: The loop of whichever greenlet has the thread while this one does not.
        self._others: asyncio.AbstractEventLoop | None = None
        self.take_thread(None)

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """Wait for input; never return in a child that was forked meanwhile."""
        mine = asyncio.get_running_loop()
        events._set_running_loop(self._others)  # noqa: SLF001 - a loop's own, as this is part of one
        try:
            return super().select(timeout)
        finally:
            if os.getpid() != self._process_id:
                # What the greenlet works with is its parent's, and so are its connections.
                stand_still()
            self.take_thread(mine)

    def take_thread(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Have ``loop`` be the one that runs, or none yet; until the next wait."""
        self._others = events._get_running_loop()  # noqa: SLF001 - as above
        events._set_running_loop(loop)  # noqa: SLF001 - as above

    def close(self) -> None:
        """Leave the thread to others."""
        super().close()
        events._set_running_loop(self._others)  # noqa: SLF001 - as above


def new_loop(process_id: int) -> asyncio.AbstractEventLoop:
    """Return a loop that runs in one process, in the greenlet that calls it, and next."""
    return asyncio.SelectorEventLoop(GreenletSelector(process_id))

"""Work that no fork may cut off, and forks that wait for the end of it.

A fork copies what other threads are doing, in the moment it is in, and none of those who
do it. A module that is half imported stays so in the child, locked by a thread that does
not exist there: whoever imports it waits for ever, the application too. What OpenSSL has
locked stays locked as well. And the moment is a likely one, because a process that starts
logs a line and then forks its workers.

A child cannot mend it: many modules do not run twice in one interpreter, and locks in C
are out of reach. So a fork waits: a fraction of a second, while a producer begins.

Law: what is done under the lock is done without waiting for a network or an application,
and a fork waits for a few seconds at most.

Imports the modules of the standard library that hold locks of theirs during a fork: their
hooks, being registered earlier, run later, when the wait is over. Otherwise a fork that
waits would hold the lock of :mod:`logging`, which most imports need.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 - see above
import logging  # noqa: F401 - see above
import threading
from contextlib import suppress
from typing import Final

from kinesink.shell.fork import around_each_fork, in_each_child

#: Seconds that a fork waits. What takes longer may wait for something that the thread
#: which forks holds.
PATIENCE: Final = 10.0


class ForkGate:
    """What keeps forks and such work apart. Safe from any thread."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew, as a forked child must: the lock may belong to a thread of the parent."""
        #: To be held by what no fork may cut off. Re-entrant, because what is imported may
        #: fork, and so may a signal handler.
        self.lock = threading.RLock()
        self._patience = PATIENCE

    def before_fork(self) -> None:
        """Wait until no such work is under way, and let none begin."""
        if not self.lock.acquire(timeout=self._patience):
            # It hangs. Once is enough.
            self._patience = 0.0

    def after_fork_in_parent(self) -> None:
        """Let such work begin again."""
        # Not ours to release if the wait was in vain.
        with suppress(RuntimeError):
            self.lock.release()


fork_gate: Final = ForkGate()
around_each_fork(fork_gate.before_fork, fork_gate.after_fork_in_parent)
in_each_child(fork_gate.renew)

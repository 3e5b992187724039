"""The sinks that handlers, processors and exporters of one configuration share.

Law: a process has one sink for a configuration while anybody holds it.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

from kinesink.shell.fork import in_each_child
from kinesink.shell.sink import Sink

if TYPE_CHECKING:
    from kinesink.config import Config


class _Registry:
    """The sinks of this process by configuration, and who holds them.

    It keeps neither alive: a holder that is collected without giving its sink back holds
    it no more, and the sink that nobody refers to any more ends by itself.

    A re-entrant lock: a signal handler may log in the middle of a handler's own use.
    """

    def __init__(self) -> None:
        self._sinks: weakref.WeakValueDictionary[Config, Sink] = weakref.WeakValueDictionary()
        self.renew_lock()

    def renew_lock(self) -> None:
        """Take a new lock; in a forked child the old one may be held by nobody that lives."""
        self._lock = threading.RLock()

    def acquire(self, config: Config, holder: object) -> Sink:
        with self._lock:
            sink = self._sinks.get(config) or Sink(config)
            sink.holders.add(holder)
            # After the holder is there: what interrupts this may let go of the sink.
            self._sinks[config] = sink
            return sink

    def release(self, sink: Sink, holder: object) -> None:
        with self._lock:
            if holder not in sink.holders:
                return
            sink.holders.discard(holder)
            if sink.holders:
                return
            if self._sinks.get(sink.config) is sink:
                del self._sinks[sink.config]
        sink.retire()


_registry = _Registry()
in_each_child(_registry.renew_lock)


def acquire(config: Config, holder: object) -> Sink:
    """Return this process's sink for ``config``, for ``holder`` to use.

    :func:`release` gives it back, once however often the same holder has taken it. Does no
    I/O and starts nothing. Thread-safe.

    :param holder: whoever uses it; compared by identity, and not kept alive.
    """
    return _registry.acquire(config, holder)


def release(sink: Sink, holder: object) -> None:
    """Give back what :func:`acquire` returned; the last holder lets the thread end."""
    _registry.release(sink, holder)

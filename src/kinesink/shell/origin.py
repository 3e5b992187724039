"""Who logs: the application, or kinesink's own producer.

The law: a record that the producer's own work causes is never shipped, and nothing else
is held back. The decision is by origin, never by the name of a logger: a list of names
would silence the application's own use of httpx and miss what it does not list.

Two marks together tell the origin. A context variable, set in the producer's root task,
follows child tasks and worker threads. The identity of the producer's thread covers
callbacks that run there in the context of whoever scheduled them.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from contextvars import ContextVar
from threading import get_ident
from typing import Final

from kinesink.shell.fork import in_each_child

OWN: Final[ContextVar[bool]] = ContextVar("kinesink_own", default=False)
"""True where the current context belongs to a producer; its root task sets it."""

OWN_THREADS: Final[set[int]] = set()
"""The identities of producer threads. Changed only by :func:`mark_thread` and its kin;
each change and each test is one operation in C, hence safe from any thread or signal."""

#: What the producer's work goes through. A logger's filter does not see the records of
#: the loggers below it, so each one that logs is listed.
STACK_LOGGERS: Final = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
    "asyncio",
    "concurrent.futures",
    "botocore.auth",
    "botocore.credentials",
    "botocore.endpoint",
    "botocore.hooks",
)


def is_own() -> bool:
    """Return whether the calling code runs on behalf of a producer.

    Takes no lock and never waits: safe from any thread, signal handler or finalizer.
    """
    return OWN.get() or get_ident() in OWN_THREADS


def mark_thread() -> None:
    """Declare the calling thread a producer's; :func:`unmark_thread` must follow.

    The system gives a finished thread's identity to a later one, whose events would
    then be held back.
    """
    OWN_THREADS.add(get_ident())


def unmark_thread() -> None:
    """Take :func:`mark_thread` back; harmless in a thread that was never marked."""
    OWN_THREADS.discard(get_ident())


def forget_threads() -> None:
    """Drop every mark, because the marked threads do not exist in this process.

    Called in each forked child. Whoever notices a fork that ran no Python hooks (uWSGI)
    calls it as well.
    """
    OWN_THREADS.clear()


class OriginFilter(logging.Filter):
    """Rejects the records of the producer's own work, and no others."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - the origin is the caller's, not the record's
        """Return False where :func:`is_own` is true."""
        return not is_own()


_FILTER: Final = OriginFilter()


def install_filter() -> None:
    """Silence the producer's own traffic at its source, for every handler.

    Called when a producer starts, never by a constructor. Without it other handlers
    would feed back (an OpenTelemetry exporter), the console would show one line per
    request, and ``botocore.auth`` would log signatures. May be called again at any time:
    a logger takes the same filter once.
    """
    for name in STACK_LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)


def suppress_spans() -> None:
    """Let OpenTelemetry's instrumentations make no spans in the current context from here on.

    Of httpx and botocore, for the producer's own calls. Whether OpenTelemetry is loaded is
    asked each time, because an application may import it later than the first event. To be
    called in a context that ends with the work, since it takes nothing back.
    """
    context = sys.modules.get("opentelemetry.context")
    if context is not None:
        # The names are private there; without them there is nothing to suppress.
        with suppress(Exception):
            for key in _SUPPRESSING:
                context.attach(context.set_value(getattr(context, key), value=True))


_SUPPRESSING: Final = ("_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY")

in_each_child(forget_threads)

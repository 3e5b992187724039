"""What kinesink does about the server that it finds itself in.

Law: nothing is imported that the application has not imported; what is loaded is looked
up by name. Looking is for the start of a producer and of a sink, never for an event. A
server that is not there, or is only being imported, changes nothing.

- **celery** ends the children of its prefork pool by ``os._exit``, without any hook of the
  interpreter's; its own signal is the only moment to deliver at. What they say last must
  not be cut short through a thread of ours.
- **uWSGI** forks without the interpreter's hooks, unless told otherwise; its own hook makes
  up for that, and where the application has replaced it, every hand-over looks which
  process it is in.
- **gevent** replaces threads by greenlets, in which asyncio works and trio does not.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kinesink.shell.fork import notice_fork
from kinesink.shell.process_exit import process_exit

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.config import Backend
    from kinesink.shell.intake import Intake

#: Seconds between two looks at whether uWSGI has forked. Not often, because a fork in the
#: moment of a look leaves the worker an interpreter that is locked.
_LOOK_AGAIN: Final = 0.2

#: Seconds between two looks at whether a thread sleeps, and for how long to look.
_MOMENT: Final = 0.001
_PATIENCE: Final = 1.0

#: Seconds that a thread has to end which has started another one.
_LET_END: Final = 0.02

#: Not empty when a thread of the master sleeps.
_asleep: Final[list[bool]] = []

#: What a hand-over goes through, from any thread.
_HAND_OVERS: Final = ("put", "refuse", "command")


def settle_in() -> None:
    """Do what the servers need that are loaded by now.

    To be called before the first event of a producer can be lost: it takes no lock for
    long, waits on nothing and may be called at any time, from any thread, and again.
    """
    _follow_celery()
    _follow_uwsgi()
    _follow_gevent()


class EventLoop(NamedTuple):
    """What the producer's thread runs: for :func:`anyio.run`."""

    backend: Backend
    options: dict[str, Any]


def wait_for_forks() -> None:
    """Wait, in a thread of uWSGI's master, until it has forked its workers.

    It forks without asking, and what a thread is importing then stays half a module in every
    worker, which waits for it for ever. To be called before the producer's thread imports.
    """
    while _is_to_fork():
        _asleep.append(True)
        time.sleep(_LOOK_AGAIN)


def let_fall_asleep() -> None:
    """Let a thread that was just started in uWSGI's master come to :func:`wait_for_forks`.

    A worker hangs that is forked in a moment in which a thread runs Python, and a thread that
    has not begun yet runs it as soon as the master is done with the application: while it
    forks. Waits for some hundredths of a second there, once, and nowhere else.
    """
    if _is_to_fork():
        deadline = time.monotonic() + _PATIENCE
        while not _asleep and time.monotonic() < deadline:
            time.sleep(_MOMENT)
        _asleep.clear()
        # The thread that has started it ends, too.
        time.sleep(_LET_END)


def event_loop(wanted: Backend, report: Callable[[str, str], None]) -> EventLoop:
    """Return the event loop that works here; tell where that is not the one configured.

    To be called in the producer's thread.

    :param report: takes the kind and the text of trouble.
    """
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is not None and not getattr(uwsgi, "has_threads", True):
        report(
            "uWSGI",
            "uWSGI runs without threads, so events are sent only while requests are served; "
            "start it with --enable-threads",
        )
    if not has_greenlets():
        return EventLoop(wanted, {})
    if wanted == "trio":
        report("gevent", "trio does not work where gevent has patched the process; asyncio is used")
    from kinesink.shell.greenlets import new_loop  # noqa: PLC0415 - it imports asyncio

    return EventLoop("asyncio", {"loop_factory": partial(new_loop, os.getpid())})


def watch(intake: Intake) -> None:
    """Let each hand-over look first which process it is in, where nothing else may tell."""
    if "uwsgi" in sys.modules:
        kind = type(intake)
        verbs = {name: _noticing(getattr(kind, name)) for name in _HAND_OVERS}
        # Of the class, because the hand-over is measured: elsewhere it costs nothing.
        intake.__class__ = type(kind.__name__, (kind,), {"__slots__": (), **verbs})


def _noticing(verb: Callable[..., Any]) -> Callable[..., Any]:
    def notice_and_do(*arguments: object, **named: object) -> object:
        notice_fork()
        return verb(*arguments, **named)

    return notice_and_do


# -- celery ----------------------------------------------------------------------


def _follow_celery() -> None:
    # The module may be in the middle of being imported.
    signal: Any = getattr(sys.modules.get("celery.signals"), "worker_process_shutdown", None)
    # Its lock is held by whoever is connecting, maybe the very code that this interrupts.
    if signal is not None and not signal.lock.locked():
        signal.connect(_end_of_celery_child, weak=False, dispatch_uid="kinesink")


def _end_of_celery_child(**_: object) -> None:
    process_exit.run()


def unheard_signal() -> int | None:
    """Return the signal that no thread of ours may hear in this process; None if there is none.

    It is the one by which celery's pool ends a child. Such a child puts it off in its main
    thread while it says its last words, because it would leave a lock taken that every later
    child waits for (billiard 4.3: ``Worker._do_exit``). But Python notices a signal in whatever
    thread it comes to, and handles it in the main thread all the same.
    """
    # Either module may be in the middle of being imported.
    process: Any = getattr(sys.modules.get("billiard.process"), "current_process", None)
    if process is None or not process().daemon:
        return None
    number: int | None = getattr(sys.modules.get("billiard.common"), "TERM_SIGNAL", None)
    return number


# -- uWSGI -----------------------------------------------------------------------


class _AfterFork:
    """uWSGI's hook in each process it forks: ours, and then what was there before."""

    def __init__(self, previous: Callable[[], object] | None) -> None:
        self._previous = previous

    def __call__(self) -> None:
        notice_fork()
        if self._previous is not None:
            self._previous()


def _follow_uwsgi() -> None:
    uwsgi: Any = sys.modules.get("uwsgi")
    if uwsgi is not None:
        previous = getattr(uwsgi, "post_fork_hook", None)
        if not isinstance(previous, _AfterFork):
            uwsgi.post_fork_hook = _AfterFork(previous)


def _is_to_fork() -> bool:
    """Tell whether this is uWSGI's master, and workers are missing that it will fork."""
    uwsgi: Any = sys.modules.get("uwsgi")
    return (
        uwsgi is not None
        and not uwsgi.worker_id()
        and not all(worker["pid"] or worker["status"] == "cheap" for worker in uwsgi.workers())
    )


# -- gevent ----------------------------------------------------------------------


def has_greenlets() -> bool:
    """Tell whether threads are greenlets here, which gevent has put in their place."""
    is_patched = getattr(sys.modules.get("gevent.monkey"), "is_module_patched", None)
    return is_patched is not None and (is_patched("threading") or is_patched("select"))


def _follow_gevent() -> None:
    """Tell greenlets apart, also where the application has patched after it imported us.

    What a thread's identity was taken for would otherwise be the one of all greenlets.
    """
    if not has_greenlets():
        return
    # A copy, which is made in one go: making a list of it can be interrupted by an import.
    for name, module in sys.modules.copy().items():
        if name.startswith("kinesink.") and "get_ident" in vars(module):
            vars(module)["get_ident"] = threading.get_ident


def stand_still() -> None:
    """Wait for ever: in a forked child, for a copy of a greenlet of its parent's."""
    threading.Event().wait()


# Also before any producer starts: what is known of the process is wrong in a worker.
_follow_uwsgi()

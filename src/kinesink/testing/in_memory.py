"""Where kinesink is told to talk to a fake, and made to forget it.

Law: between entering and leaving nothing of kinesink's leaves the process, and afterwards
threads and the configuration of logging are as they were before.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from kinesink.shell.background import every_background
from kinesink.shell.elsewhere import delivering_elsewhere
from kinesink.testing.logging_settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kinesink.shell.background import Background, ClientFactory

__all__ = ["in_memory"]

_THREADS: Final = "kinesink "
"""How the names of all threads of kinesink begin."""


@contextmanager
def in_memory(
    make_client: ClientFactory,
    settle: Callable[[], object],
    patience: float,
) -> Iterator[None]:
    """Have every producer of this process talk by such a client, and write no spool.

    :param make_client: returns the client of one sink or producer.
    :param settle: called in the end, to have delivered what is pending.
    :param patience: seconds to wait for threads to end.
    :raises RuntimeError: if a producer that runs already does not end: its events would go
        where it was told to send them. In the end, if one goes on.
    """
    _end_producers(patience)
    before = set(threading.enumerate())
    settings = Settings()
    with delivering_elsewhere(make_client):
        try:
            yield
        finally:
            try:
                settle()
            finally:
                # First the handlers, because each that is closed flushes.
                settings.restore()
            _end_producers(patience)
            _join([each for each in threading.enumerate() if each not in before], patience)


def _end_producers(patience: float) -> None:
    """Have the producers of all sinks end, each after what it has to deliver."""
    deadline = time.monotonic() + patience
    # Again and again, because one that is told just as it ends begins once more.
    while (running := _running()) and time.monotonic() < deadline:
        for each in running:
            each.stop()
        for each in running:
            each.wait_ended(max(0.0, deadline - time.monotonic()))
    _complain(patience, [_THREADS + each.config.stream_name for each in running])


def _running() -> list[Background]:
    return [each for each in every_background() if each.is_running]


def _join(threads: list[threading.Thread], patience: float) -> None:
    """Wait for the threads of kinesink among these, those that call the application, too."""
    deadline = time.monotonic() + patience
    own = [thread for thread in threads if thread.name.startswith(_THREADS)]
    for thread in own:
        thread.join(max(0.0, deadline - time.monotonic()))
    _complain(patience, [thread.name for thread in own if thread.is_alive()])


def _complain(patience: float, left: list[str]) -> None:
    if left:
        raise RuntimeError(
            f"still at work after {patience:g} s, and from here on not captured: {', '.join(left)}"
        )

"""Where kinesink is told to talk to a fake, and made to forget it.

Law: between entering and leaving nothing of kinesink's leaves the process, and afterwards
threads and the configuration of logging are as they were before.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from kinesink.shell import background, producer, sink
from kinesink.shell.intake import new_intake
from kinesink.shell.members import members
from kinesink.shell.sink import Sink, every_sink
from kinesink.testing.logging_settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from kinesink.config import Config
    from kinesink.shell.background import Background
    from kinesink.shell.intake import Intake
    from kinesink.shell.kinesis import KinesisClient

__all__ = ["in_memory"]

_THREADS: Final = "kinesink "
"""How the names of all threads of kinesink begin."""


@contextmanager
def in_memory(
    make_client: Callable[[Config], KinesisClient],
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
    sinks = _KeptSinks(sink.SINKS)
    with ExitStack() as replaced:
        for module, name, value in (
            (producer, "KinesisClient", make_client),
            (background, "spooler_of", _no_spooler),
            (sink, "new_intake", _unspooled_intake),
            (sink, "SINKS", sinks),
        ):
            replaced.enter_context(_replaced(module, name, value))
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


class _KeptSinks(WeakSet[Sink]):
    """The sinks of this process, which stay as long as this does.

    So that a flush waits for one that the application has dropped, too, which would deliver by
    itself what it has.
    """

    def __init__(self, before: WeakSet[Sink]) -> None:
        super().__init__()
        self._before = before
        self._kept: list[Sink] = []
        for each in members(before):
            self.add(each)

    def add(self, item: Sink) -> None:
        """Add a sink, for later as well."""
        self._kept.append(item)
        self._before.add(item)
        super().add(item)


@contextmanager
def _replaced(module: ModuleType, name: str, value: object) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def _no_spooler(_: Config, __: Intake) -> None:
    """Make no spool, whatever is configured."""


def _unspooled_intake(config: Config, wake: Callable[[], None]) -> Intake:
    return new_intake(replace(config, spool_path=None), wake)


def _end_producers(patience: float) -> None:
    """Have the producers of all sinks end, each after what it has to deliver."""
    deadline = time.monotonic() + patience
    # Again and again, because one that is told just as it ends begins once more.
    while (running := _running()) and time.monotonic() < deadline:
        for each in running:
            each.retire()
        for each in running:
            _background_of(each).wait_ended(max(0.0, deadline - time.monotonic()))
    _complain(patience, [_THREADS + each.config.stream_name for each in running])


def _running() -> list[Sink]:
    return [each for each in every_sink() if _background_of(each).is_running]


def _background_of(each: Sink) -> Background:
    return each._background  # noqa: SLF001 - nobody else needs to know when a thread has ended


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

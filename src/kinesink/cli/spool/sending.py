"""Send what is in a file of a spool, and remove what has arrived.

Law: a row is removed when Kinesis has acknowledged its event, and not before. Whoever
interrupts this has lost nothing; what was acknowledged in between comes twice.
"""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from anyio import CancelScope, to_thread

from kinesink.cli.spool.files import opened
from kinesink.core.records import DropReason
from kinesink.errors import InvalidRecordError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from kinesink.cli.spool.files import OpenFile
    from kinesink.shell.outcome import Outcome
    from kinesink.shell.producer import Producer
    from kinesink.spool.event import SpooledEvent


@dataclass
class Sent:
    """What became of events."""

    delivered: int = 0
    left: Counter[str] = field(default_factory=Counter)
    """Events that are on disk still, by the reason."""
    error: str = ""
    """The last one, in words."""

    def keep(self, reason: str, error: str) -> None:
        """Take note of an event that was not delivered."""
        self.left[reason] += 1
        self.error = error


class StoppedError(Exception):
    """Kinesis took nothing of many events, so it would take nothing else."""


@asynccontextmanager
async def opened_in_thread(path: Path) -> AsyncIterator[OpenFile]:
    """Do as :func:`kinesink.cli.spool.files.opened`, where nothing may block."""
    manager = opened(path)
    file = await to_thread.run_sync(manager.__enter__)
    try:
        yield file
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(manager.__exit__, None, None, None)


async def send(file: OpenFile, producer: Producer, sent: Sent) -> None:
    """Send the events of a file, the oldest first, and remove those that arrive.

    :param sent: the account that is added to.
    :raises StoppedError: if Kinesis takes nothing.
    :raises UnusableError: if the file cannot be read.
    """
    after = 0
    while page := await to_thread.run_sync(file.read, after):
        after = page[-1][0]
        tried = [(row, outcome) for row, event in page
                 if (outcome := await _put(producer, event, sent))]  # fmt: skip
        await producer.flush()
        delivered = [row for row, outcome in tried if await _has_arrived(outcome, sent)]
        await to_thread.run_sync(file.remove, delivered)
        sent.delivered += len(delivered)
        if tried and not delivered:
            raise StoppedError


async def _put(producer: Producer, event: SpooledEvent, sent: Sent) -> Outcome | None:
    try:
        return await producer.put(event.data, event.partition_key, event.explicit_hash_key)
    except InvalidRecordError as error:
        sent.keep(DropReason.INVALID.value, str(error))
        return None


async def _has_arrived(outcome: Outcome, sent: Sent) -> bool:
    result = await outcome.wait()
    if not result.success:
        sent.keep(result.reason.value if result.reason else "", result.error or "")
    return result.success

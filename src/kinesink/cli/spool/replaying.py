"""Send what is in the files of a spool, with an account in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import typer

from kinesink.cli.exits import CommandError
from kinesink.cli.spool.files import HeldError, UnusableError, databases
from kinesink.cli.spool.sending import Sent, StoppedError, opened_in_thread, send
from kinesink.cli.words import number_of
from kinesink.shell.producer import Producer
from kinesink.spool.names import folder_of

if TYPE_CHECKING:
    from pathlib import Path

    from kinesink.config import Config


def replay(path: Path, config: Config) -> None:
    """Send the events at a path to the configured stream, and tell what became of them.

    :raises CommandError: if not all of them arrived.
    """
    files = _files_of(path, config.stream_name)
    replaying = Replaying(config)
    try:
        anyio.run(replaying.run, files)
    finally:
        typer.echo(str(replaying))
    if replaying.incomplete:
        raise CommandError(replaying.incomplete)


class Replaying:
    """One replay."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.sent = Sent()
        self._unreadable = 0

    async def run(self, files: list[Path]) -> None:
        """Send one file after the other, until Kinesis takes nothing."""
        async with Producer(self._config) as producer:
            try:
                for file in files:
                    await self._send(file, producer)
            except StoppedError:
                # What was not tried is not counted: nobody has looked at it.
                return

    async def _send(self, path: Path, producer: Producer) -> None:
        try:
            async with opened_in_thread(path) as file:
                await send(file, producer, self.sent)
        except HeldError:
            typer.echo(f"kinesink: {path} is in use, and its process sends it", err=True)
        except UnusableError as error:
            self._unreadable += 1
            typer.echo(f"kinesink: {path} cannot be read: {error}", err=True)

    @property
    def incomplete(self) -> str:
        """Why not all of it has arrived, as a sentence; empty if it has."""
        stream = self._config.stream_name
        if self.sent.left:
            return (
                f"not all of it reached stream {stream}, because {self.sent.error.rstrip('.')}; "
                "the rest is still in the spool."
            )
        if self._unreadable:
            return f"{number_of(self._unreadable, 'file')} cannot be read; see kinesink spool ls."
        return ""

    def __str__(self) -> str:
        """Return the account."""
        reasons = ", ".join(f"{reason} {events:,}" for reason, events in self.sent.left.items())
        kept = f" ({reasons})" if reasons else ""
        return (
            f"{number_of(self.sent.delivered, 'event')} delivered to {self._config.stream_name}, "
            f"{self.sent.left.total():,} tried and still in the spool{kept}"
        )


def _files_of(path: Path, stream_name: str) -> list[Path]:
    """Return what is to be sent: of the directory of several streams, the folder of one."""
    own = path / folder_of(stream_name)
    if own.is_dir():
        return databases(own)
    files = databases(path)
    folders = sorted({file.parent.name for file in files if file.parent != path and path.is_dir()})
    if folders:
        raise CommandError(
            f"there is no folder of stream {stream_name} in {path}, but {', '.join(folders)}; to "
            f"send another stream's events to {stream_name}, name its folder."
        )
    return files

"""Remove the files of a spool, for good."""

from dataclasses import dataclass
from pathlib import Path

import typer

from kinesink.cli.exits import CommandError
from kinesink.cli.spool.files import HeldError, UnusableError, remove
from kinesink.cli.spool.listing import Listed, in_words, listed, total
from kinesink.cli.words import number_of, size_of


@dataclass(frozen=True)
class Plan:
    """What is to be removed."""

    files: list[Listed]

    def __str__(self) -> str:
        """Return it in words."""
        broken = [file for file in self.files if file.content is None]
        text = in_words(total(file.content for file in self.files if file.content is not None))
        if broken:
            size = size_of(sum(file.disk_bytes for file in broken))
            text += f"; {number_of(len(broken), 'file')} unread, {size} on disk"
        return f"{text} ({number_of(len(self.files), 'file')})"


def plan(path: Path, *, corrupt: bool) -> Plan:
    """Return what is to be removed at a path.

    :param corrupt: whether what cannot be read goes as well.
    :raises CommandError: if there is no such path, or it cannot be read.
    """
    states = {"left", "unreadable", "set aside"} if corrupt else {"left"}
    return Plan([file for file in listed(path) if file.state in states])


def carry_out(what: Plan) -> str:
    """Remove it, and say what was done.

    :raises CommandError: if some of it could not be removed.
    """
    removed = [file for file in what.files if _is_removed(file.path)]
    if len(removed) < len(what.files):
        raise CommandError(f"removed: {Plan(removed)}; the rest is still there.")
    return f"removed: {Plan(removed)}"


def _is_removed(path: Path) -> bool:
    try:
        remove(path)
    except HeldError:
        # Somebody has adopted it since.
        typer.echo(f"kinesink: {path} is in use by now, and stays", err=True)
    except UnusableError as error:
        typer.echo(f"kinesink: {path} cannot be removed: {error}", err=True)
    else:
        return True
    return False

"""Write what is in the files of a spool, whole."""

import base64
from pathlib import Path
from typing import BinaryIO

import orjson
import typer

from kinesink.cli.exits import CommandError
from kinesink.cli.spool.files import HeldError, UnusableError, databases, opened
from kinesink.cli.words import number_of
from kinesink.spool.event import SpooledEvent


def export(path: Path, out: BinaryIO, *, raw: bool) -> None:
    """Write the events at a path to a file.

    :param raw: only their data, each ended by a line feed.
    :raises CommandError: if some cannot be read; the others are written.
    """
    events, unreadable = 0, 0
    for file in databases(path):
        try:
            with opened(file) as found:
                for event in found.events():
                    out.write(_raw(event) if raw else _line(event))
                    events += 1
        except HeldError:
            typer.echo(f"kinesink: {file} is in use, and left out", err=True)
        except UnusableError as error:
            unreadable += 1
            typer.echo(f"kinesink: {file} cannot be read: {error}", err=True)
        out.flush()
    if unreadable:
        raise CommandError(
            f"only {number_of(events, 'event')} written, for {number_of(unreadable, 'file')} "
            "cannot be read."
        )


def _raw(event: SpooledEvent) -> bytes:
    return event.data if event.data.endswith(b"\n") else event.data + b"\n"


def _line(event: SpooledEvent) -> bytes:
    data = {}
    try:
        data["data"] = event.data.decode()
    except UnicodeDecodeError:
        data["base64"] = base64.b64encode(event.data).decode()
    hash_key = event.explicit_hash_key
    members = {
        **data,
        "partition_key": event.partition_key,
        "explicit_hash_key": None if hash_key is None else str(hash_key),
        "level": event.level,
        "at": event.at,
    }
    return orjson.dumps(members) + b"\n"

"""The commands of ``kinesink spool`` and their options."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from kinesink.cli.exits import Exit, plainly
from kinesink.cli.options import EndpointUrl, Profile, Region, Yes, confirmed
from kinesink.cli.settings import Location, settings
from kinesink.cli.spool import export as exporting
from kinesink.cli.spool import listing, purging, replaying
from kinesink.cli.teaching import examples, reflowed

__all__ = ["app"]

_HELP: Final = """\
Look at what processes have left on disk, and deal with it.

PATH is the directory that [bold]spool_path[/bold] names, the folder of one stream in it, or one
file. A file that a process has is never opened: its events are on their way already.
"""

app = typer.Typer(help=reflowed(_HELP), no_args_is_help=True, rich_markup_mode="rich")

_Path = Annotated[
    Path,
    typer.Argument(metavar="PATH", help="A spool, the folder of a stream in it, or one file."),
]


@app.command(
    "ls",
    help=reflowed("""\
    Count what is in the files of a spool.

    Of each file: how many events, the bytes of their data, when the oldest and the newest was
    accepted (UTC); or which process has it. Nothing is changed.
    """),
    epilog=examples(
        "kinesink spool ls /var/spool/app",
        "kinesink spool ls /var/spool/app --json | jq .events",
    ),
)
def ls(
    path: _Path,
    *,
    json: Annotated[bool, typer.Option("--json", help="A line of JSON for each file.")] = False,
) -> None:
    """Count what is in the files of a spool."""
    with plainly():
        found = list(listing.listed(path))
        if json:
            for file in found:
                typer.echo(file.line())
            return
        folder = None
        for file in found:
            if file.path.parent != folder:
                folder = file.path.parent
                typer.echo(f"{folder}")
            typer.echo(f"  {file.path.name}  {file}")
        contents = [file.content for file in found if file.content is not None]
        typer.echo(f"left in all: {listing.in_words(listing.total(contents))}")


@app.command(
    "export",
    help=reflowed("""\
    Write what is in the files of a spool to stdout.

    Each event is a line of JSON with [bold]data[/bold] (or [bold]base64[/bold], if it is no
    text), [bold]partition_key[/bold], [bold]explicit_hash_key[/bold], [bold]level[/bold] and
    [bold]at[/bold]; with [bold]--raw[/bold] it is the data alone, ended by a line feed. The spool
    stays as it is.
    """),
    epilog=examples(
        "kinesink spool export /var/spool/app > left.jsonl",
        "kinesink spool export /var/spool/app --raw | grep ERROR",
    ),
)
def export(
    path: _Path,
    *,
    raw: Annotated[bool, typer.Option("--raw", help="Only the data of the events.")] = False,
) -> None:
    """Write what is in the files of a spool to stdout."""
    with plainly():
        exporting.export(path, sys.stdout.buffer, raw=raw)


@app.command(
    "replay",
    help=reflowed("""\
    Send what is in the files of a spool to a stream, and remove what has arrived.

    With the directory of several streams it sends the folder of the one that is named. An event
    is removed when Kinesis has acknowledged it; so Ctrl-C loses nothing, and the last thousand
    may come twice. What Kinesis does not take stays where it is.

    KINESINK_ variables count as they do for the application: set
    [bold]KINESINK_FRAMING[/bold] if the readers of the stream want lines. It needs the
    permissions kinesis:PutRecords, kinesis:ListShards and kinesis:DescribeStreamSummary.
    """),
    epilog=examples(
        "kinesink spool replay /var/spool/app --stream app-logs",
        "kinesink spool replay /var/spool/app/app-logs-1f2e3d4c --stream other --region eu-west-1",
    ),
)
def replay(  # noqa: PLR0913 - the options of the command
    path: _Path,
    *,
    stream: Annotated[str, typer.Option(help="Name or ARN of the stream to send to.")],
    timeout: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=1, help="How long to try the same events."),
    ] = 60,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
) -> None:
    """Send what is in the files of a spool to a stream, and remove what has arrived."""
    with plainly():
        location = Location(region, endpoint_url, profile)
        replaying.replay(path, settings(stream, location, time_to_live=timeout))


@app.command(
    "purge",
    help=reflowed("""\
    Remove what is in the files of a spool, for good.

    It tells how much that is and asks. What a process has stays.
    """),
    epilog=examples(
        "kinesink spool purge /var/spool/app",
        "kinesink spool purge /var/spool/app --yes --corrupt",
    ),
)
def purge(
    path: _Path,
    *,
    yes: Yes = False,
    corrupt: Annotated[
        bool,
        typer.Option("--corrupt", help="Also what is unreadable, or was set aside as corrupt."),
    ] = False,
) -> None:
    """Remove what is in the files of a spool, for good."""
    with plainly():
        plan = purging.plan(path, corrupt=corrupt)
        typer.echo(f"to be removed: {plan}")
        if plan.files and not (yes or confirmed("Remove it for good?")):
            typer.echo("nothing was removed", err=True)
            raise typer.Exit(Exit.FAILED)
        typer.echo(purging.carry_out(plan))

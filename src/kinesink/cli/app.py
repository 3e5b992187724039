"""The commands and their options; what they do is in the other files of this folder."""

import importlib.util
from enum import Enum
from typing import Annotated, Final

import typer

from kinesink import __version__
from kinesink.cli import local
from kinesink.cli.console import Console
from kinesink.cli.demo import Demo
from kinesink.cli.doctor import command as doctor
from kinesink.cli.exits import plainly
from kinesink.cli.load import command as load
from kinesink.cli.plan import Plan
from kinesink.cli.shop_doors import KINDS
from kinesink.cli.spool import command as spool
from kinesink.cli.tail import command as tail
from kinesink.cli.teaching import reflowed

app = typer.Typer(
    name="kinesink",
    help="Log events of a Python process, in Amazon Kinesis Data Streams.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    # A traceback that shows local variables shows what was logged.
    pretty_exceptions_show_locals=False,
)


class DoorName(str, Enum):
    """The libraries that the demonstration can log by."""

    LOGGING = "logging"
    STRUCTLOG = "structlog"
    OTEL = "otel"


class Backend(str, Enum):
    """The event loops that anyio knows."""

    ASYNCIO = "asyncio"
    TRIO = "trio"


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - called by typer
    if wanted:
        typer.echo(f"kinesink {__version__}")
        raise typer.Exit


def _check_installed(backend: Backend) -> None:
    if importlib.util.find_spec(backend.value) is None:
        raise typer.BadParameter(
            f"{backend.value} is not installed: python -m pip install 'kinesink[{backend.value}]'",
            param_hint="--backend",
        )


def _check_door(door: DoorName) -> None:
    if not KINDS[door.value].is_installed:
        raise typer.BadParameter(
            f"{KINDS[door.value].library} is not installed: "
            f"python -m pip install 'kinesink[{door.value}]'",
            param_hint="--door",
        )


@app.callback()
def _common(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Take what stands before the command; its presence makes ``demo`` a command of its own."""
    del version


_DEMO: Final = """\
Log to a stream and read it back, on this machine alone.

A Kinesis in memory listens on a free loopback port: no AWS account, no Docker, no network, and
your AWS settings are neither read nor changed. Threads log by [bold]logging[/bold], structlog or
OpenTelemetry with kinesink behind it, which packs many events into one Kinesis record (an
aggregate), and several of those into one PutRecords request. A consumer reads the shards over
HTTP and takes the aggregates apart.

You see events logged and arrived, aggregates, requests, retries, the latency from the log call
to the stream, and how the events spread over the shards: a live table on a terminal, a line each
second elsewhere. Then a few of the events, and the account.

The exit status is 0 only if every event logged is in the stream, each exactly once, and the
producer's account says so, too. Ctrl-C ends the logging early; the account comes all the same.

Try [bold]kinesink demo --faults[/bold] to see retries, [bold]--rate 10000 --seconds 10[/bold]
for large aggregates, [bold]--shards 1 --rate 6000[/bold] for more than the shard takes,
[bold]--door structlog[/bold] for another library.
"""


@app.command(help=reflowed(_DEMO))
def demo(  # noqa: PLR0913 - the options of the command
    *,
    seconds: Annotated[
        float,
        typer.Option(
            min=0.2,
            max=60,
            help="How long to log.",
        ),
    ] = 3,
    rate: Annotated[
        int, typer.Option(min=1, max=20_000, help="Events per second, all threads together.")
    ] = 2_000,
    shards: Annotated[
        int,
        typer.Option(
            min=1, max=32, help="Shards of the stream; each takes 1 MiB/s, some 3,000 events."
        ),
    ] = 4,
    threads: Annotated[
        int, typer.Option(min=1, max=64, help="Threads of the application that log.")
    ] = 4,
    backend: Annotated[
        Backend, typer.Option(help="Event loop of the background thread.")
    ] = Backend.ASYNCIO,
    door: Annotated[
        DoorName, typer.Option(help="By which library the application logs.")
    ] = DoorName.LOGGING,
    faults: Annotated[
        bool,
        typer.Option(
            "--faults",
            help="Make the service misbehave: a third of the records is refused for rate, some "
            "answers are late. Watch what is retried, and that nothing gets lost.",
        ),
    ] = False,
) -> None:
    """Log to a stream and read it back, on this machine alone."""
    # Not in a callback of the option: older versions of typer lose the enum that it returns.
    _check_installed(backend)
    _check_door(door)
    plan = Plan(
        seconds=seconds,
        rate=rate,
        shards=shards,
        threads=threads,
        backend=backend.value,
        door=door.value,
        faults=faults,
    )
    with plainly():
        raise typer.Exit(Demo(plan, Console()).run())


app.command(help=local.HELP, epilog=local.EPILOG)(local.local)
app.command(help=tail.HELP, epilog=tail.EPILOG)(tail.tail)
app.add_typer(spool.app, name="spool")
app.command(help=doctor.HELP, epilog=doctor.EPILOG)(doctor.doctor)
app.command(help=load.HELP, epilog=load.EPILOG)(load.load)

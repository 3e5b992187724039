"""The options of ``kinesink tail``."""

import sys
from typing import Annotated, Final

import typer

from kinesink.cli.exits import plainly
from kinesink.cli.options import EndpointUrl, Profile, Region, Stream
from kinesink.cli.settings import Location
from kinesink.cli.tail.filters import Condition, ConditionError, Filter, expression
from kinesink.cli.tail.printing import Coloured, JsonLines, Remarks
from kinesink.cli.tail.service import Service
from kinesink.cli.tail.since import Since, SinceError
from kinesink.cli.tail.tailing import Tailing
from kinesink.cli.teaching import examples, reflowed

__all__ = ["EPILOG", "HELP", "tail"]

HELP: Final = reflowed("""\
Show the events in a stream, of all shards in the order of their arrival.

Aggregated records are taken apart, lines too, gzip and Zstandard are unpacked. On a terminal an
event is a coloured line with its traceback; in a pipe it is a line of JSON, for [bold]jq[/bold]
and its like. What is amiss goes to stderr: losses that kinesink tells of in the stream, numbers
([bold]boot_id[/bold], [bold]seq[/bold]) that are missing, records that cannot be read; at the
end an account.

Without [bold]--follow[/bold] it shows the last ten minutes and ends. With it, it shows what comes
from now on, through resharding, until Ctrl-C. Of the five reads per second that a shard answers
it takes one, and four while it catches up.

[bold]--where[/bold] compares a field: its name, in [bold]attributes[/bold] too, or names with dots
between. [bold]timestamp[/bold], [bold]level[/bold], [bold]logger[/bold] and [bold]message[/bold]
are found whatever the schema calls them. The signs are = != < <= > >= and ~ for a regular
expression. Levels compare by their severity.

Credentials, region and endpoint are found as boto3 finds them. It needs the permissions
kinesis:ListShards, kinesis:GetShardIterator and kinesis:GetRecords.
""")

EPILOG: Final = examples(
    "kinesink tail app-logs -f",
    "kinesink tail app-logs --since 1h --where 'level>=ERROR'",
    "kinesink tail app-logs -f --where logger~^shop --grep 'order 1[0-9]+'",
    "kinesink tail app-logs --since start --json | jq .message",
)

_DEFAULT_SINCE: Final = "10m"


def _conditions(texts: list[str] | None) -> list[Condition]:
    try:
        return [Condition.parse(text) for text in texts or ()]
    except ConditionError as error:
        raise typer.BadParameter(str(error), param_hint="--where") from error


def _filter(where: list[str] | None, grep: list[str] | None) -> Filter:
    conditions = _conditions(where)
    try:
        return Filter(conditions, [expression(text) for text in grep or ()])
    except ConditionError as error:
        raise typer.BadParameter(str(error), param_hint="--grep") from error


def _since(text: str) -> Since:
    try:
        return Since.parse(text)
    except SinceError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from error


def _shard(text: str) -> str:
    return f"shardId-{int(text):012}" if text.isascii() and text.isdigit() else text


def tail(  # noqa: PLR0913 - the options of the command
    stream: Stream,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Begin so long ago (90s, 10m, 2h, 1d), at a time (2026-01-31T12:00:00Z), or at "
            "the 'start' of all that is there. Default: 10m, and now with --follow.",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            "-w",
            metavar="CONDITION",
            help="Only events whose field is so, such as 'level=ERROR'; repeatable, all must hold.",
        ),
    ] = None,
    grep: Annotated[
        list[str] | None,
        typer.Option(
            "--grep",
            "-g",
            metavar="REGEX",
            help="Only events in whose text it is found; repeatable, all must be.",
        ),
    ] = None,
    json: Annotated[
        bool | None,
        typer.Option(
            "--json/--pretty",
            help="Lines of JSON, or coloured ones. Default: JSON unless stdout is a terminal.",
        ),
    ] = None,
    shard: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="Only this shard, by its id or its number, and none made of it; repeatable.",
        ),
    ] = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
) -> None:
    """Show the events in a stream, of all shards in the order of their arrival."""
    wanted = _filter(where, grep)
    begin = _since(since or _DEFAULT_SINCE) if since or not follow else Since()
    with plainly():
        as_json = not sys.stdout.isatty() if json is None else json
        printer = JsonLines() if as_json else Coloured()
        service = Service(stream, Location(region, endpoint_url, profile))
        tailing = Tailing(service, wanted, printer, Remarks())
        tailing.run(begin, follow=follow, only=[_shard(text) for text in shard or ()])

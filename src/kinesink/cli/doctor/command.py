"""The options of ``kinesink doctor``."""

from functools import partial
from typing import Annotated, Final

import anyio
import typer

from kinesink.cli.console import Console
from kinesink.cli.doctor.report import Lines, as_json, failures
from kinesink.cli.doctor.subject import Subject
from kinesink.cli.doctor.table import examine
from kinesink.cli.exits import CommandError, plainly
from kinesink.cli.options import EndpointUrl, Profile, Region, Stream
from kinesink.cli.settings import Location, settings
from kinesink.cli.teaching import examples, reflowed
from kinesink.cli.words import number_of

__all__ = ["EPILOG", "HELP", "doctor"]

HELP: Final = reflowed("""\
Find out what keeps events from a stream, and what to do about it.

It looks at one thing after the other: credentials and whose they are, region, endpoint, TLS, the
clock, each permission, the stream's state, capacity, record distribution and record size. Then it
sends a probe through the library itself, two events that say what they are, and reads them back.
With [bold]--no-probe[/bold] it writes nothing; PutRecords is tried as a dry run.

What is wrong comes with the next step; if a permission is missing, with the policy to paste.
[bold]KINESINK_[/bold] variables count as they do for applications, so run it where the
application runs.

The exit status is 0 if nothing has failed, 1 otherwise. Warnings are no failures.
""")

EPILOG: Final = examples(
    "kinesink doctor app-logs",
    "kinesink doctor app-logs --region eu-west-1 --profile production --no-probe",
    "kinesink doctor app-logs --json | jq '.checks[] | select(.verdict == \"failed\")'",
)


def doctor(  # noqa: PLR0913 - the options of the command
    stream: Stream,
    *,
    probe: Annotated[
        bool,
        typer.Option("--probe/--no-probe", help="Whether to write two events and read them back."),
    ] = True,
    json: Annotated[bool, typer.Option("--json", help="One JSON object, at the end.")] = False,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
) -> None:
    """Find out what keeps events from a stream, and what to do about it."""
    with plainly():
        config = settings(stream, Location(region, endpoint_url, profile))
        subject = Subject(config)
        lines = Lines(Console())
        tell = _keep if json else lines.tell
        found = anyio.run(partial(examine, subject, tell, probe=probe), backend=config.backend)
        if json:
            typer.echo(as_json(found, subject.arn))
        else:
            lines.end(found, subject.arn)
        bad = failures(found)
        if bad:
            raise CommandError(
                f"{number_of(len(bad), 'check')} of stream {config.stream_name} failed: "
                f"{', '.join(bad)}."
            )


def _keep(*_: object) -> None:
    """Show nothing yet."""

"""The options of ``kinesink load``."""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Final, TypeVar

import typer
from botocore.exceptions import BotoCoreError

from kinesink.cli.console import Console
from kinesink.cli.doctor.session import Session
from kinesink.cli.doctor.subject import is_loopback
from kinesink.cli.exits import CommandError, Exit, plainly, stopped_by
from kinesink.cli.load.plan import NonsenseError, Plan
from kinesink.cli.load.sending import Sending
from kinesink.cli.load.showing import Progress, ending
from kinesink.cli.options import EndpointUrl, Profile, Region, Stream, Yes, confirmed
from kinesink.cli.settings import Location, settings
from kinesink.cli.tail.show import safe
from kinesink.cli.teaching import examples, reflowed
from kinesink.cli.words import number_of
from kinesink.config import Config
from kinesink.shell.credentials import SetupError

__all__ = ["EPILOG", "HELP", "load"]

HELP: Final = reflowed("""\
Send events to a stream at a rate, and see what becomes of them.

They go through the library itself, with the [bold]KINESINK_[/bold] variables that applications
have. A line tells how far it is; in the end come the account and the latencies from the hand-over
of an event to its acknowledgement by Kinesis: p50, p99, p99.9, the longest, and a histogram.

The events stay in the stream, each a line of JSON whose logger is [bold]kinesink.load[/bold],
and AWS charges for them: unless the endpoint is on this machine it asks first.

Ctrl-C or SIGTERM ends the sending; the account comes all the same, and the exit status is 130 or
143. It is 0 if every event was delivered, 1 otherwise.
""")

EPILOG: Final = examples(
    "kinesink load app-logs --rate 1000 --size 300",
    "kinesink load app-logs --rate 20000 --size 200 --duration 60 --keyed --yes",
)

Made = TypeVar("Made")


def load(  # noqa: PLR0913 - the options of the command
    stream: Stream,
    *,
    rate: Annotated[float, typer.Option(help="Events per second.")],
    size: Annotated[int, typer.Option(help="Bytes of each event.")],
    duration: Annotated[float, typer.Option(help="Seconds.")] = 10,
    keyed: Annotated[
        bool, typer.Option("--keyed", help="Give the events a thousand different partition keys.")
    ] = False,
    yes: Yes = False,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
) -> None:
    """Send events to a stream at a rate, and see what becomes of them."""
    with plainly():
        plan = _sensible(lambda: Plan(rate, size, duration, keyed))
        config = settings(
            stream,
            Location(region, endpoint_url, profile),
            # What is not delivered is to be counted, and to be gone.
            spool_path=None,
            dead_letter=None,
        )
        _sensible(lambda: plan.check(config))
        _ask(plan, config, yes=yes)
        with stopped_by("SIGTERM", "SIGHUP"):
            Loading(plan, config).run()


def _sensible(make: Callable[[], Made]) -> Made:
    """Make something of the options.

    :raises typer.BadParameter: if one of them makes no sense.
    """
    try:
        return make()
    except NonsenseError as error:
        raise typer.BadParameter(str(error), param_hint=error.option) from error


def _ask(plan: Plan, config: Config, *, yes: bool) -> None:
    """Ask whether it may cost something, unless it cannot.

    :raises typer.Exit: if it may not.
    :raises CommandError: if there is nowhere to send to.
    """
    try:
        where = Session(config).destinations().data
    except (SetupError, BotoCoreError) as error:
        raise CommandError(f"{error}; try kinesink doctor {config.stream_name}.") from error
    typer.echo(f"{plan}, to stream {config.stream_name} at {where.host}")
    if yes or is_loopback(where.url):
        return
    if not confirmed("The events stay in the stream, and AWS charges for them. Send?"):
        typer.echo("nothing was sent; --yes does not ask", err=True)
        raise typer.Exit(Exit.FAILED)


class Loading:
    """One load, from its begin to its account."""

    def __init__(self, plan: Plan, config: Config) -> None:
        self._stream = config.stream_name
        self._sending = Sending(plan, replace(config, on_error=self._report))
        self._console = Console()

    def run(self) -> None:
        """Send, and tell what has become of it.

        :raises CommandError: if not all of it was delivered.
        :raises KeyboardInterrupt: after the account.
        """
        interrupted = False
        try:
            with Progress(self._console) as progress:
                self._sending.run(progress.tell)
            self._sending.end()
        except KeyboardInterrupt:
            interrupted = True
            self._sending.end()
            raise
        finally:
            typer.echo(ending(self._sending, interrupted=interrupted))
        self._judge()

    def _judge(self) -> None:
        account = self._sending.account
        if account.delivered < account.accepted:
            rest = number_of(account.accepted - account.delivered, "event")
            error = self._sending.error or "the time to wait for them was over"
            raise CommandError(
                f"{rest} did not reach stream {self._stream}: {safe(error).rstrip('.')}; "
                f"try kinesink doctor {self._stream}."
            )

    def _report(self, kind: str, text: str) -> None:
        # Called from a thread of its own, at most once a minute and kind.
        sys.stderr.write(f"kinesink: {kind}: {safe(text)}\n")

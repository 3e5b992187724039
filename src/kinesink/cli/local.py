"""``kinesink local``: the fake as a server for development, until somebody stops it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer

from kinesink.cli.exits import CommandError, Stopped, plainly, stopped_by
from kinesink.cli.teaching import examples, reflowed
from kinesink.cli.words import number_of
from kinesink.core.limits import STREAM_NAME_MAX_CHARACTERS
from kinesink.testing import FakeKinesis, Server, ShardLimits, SnapshotError
from kinesink.testing.limits import READ_BYTES_PER_SECOND, READS_PER_SECOND

__all__ = ["EPILOG", "HELP", "local"]

HELP: Final = reflowed("""\
Run a Kinesis for development on this machine, until Ctrl-C.

Any client can use it over HTTP: boto3, the AWS CLI, the SDKs of other languages, kinesink itself.
It prints the lines to paste into the shell of the client. No AWS account, no Docker, no network:
it listens on the loopback interface alone, takes any credentials, and costs nothing.

Streams can be made by [bold]--stream[/bold] or by any client (CreateStream), be resharded,
and be read by [bold]kinesink tail[/bold]. They are in memory, and gone when it stops, unless
[bold]--persist[/bold] names a file that keeps them from one run to the next.
""")

EPILOG: Final = examples(
    "kinesink local --stream app-logs:4",
    "kinesink local --stream orders --stream app-logs:2 --limits",
    "kinesink local --stream app-logs --persist streams.jsonl",
)

_STREAM: Final = re.compile(
    rf"(?P<name>[a-zA-Z0-9_.-]{{1,{STREAM_NAME_MAX_CHARACTERS}}})(:(?P<shards>[0-9]{{1,4}}))?"
)

_LIMITS: Final = ShardLimits(
    reads_per_second=READS_PER_SECOND, read_bytes_per_second=READ_BYTES_PER_SECOND
)


class StreamOption(NamedTuple):
    """A stream that is to be there."""

    name: str
    shards: int = 1

    @classmethod
    def parse(cls, text: str) -> "StreamOption":
        """Read ``NAME`` or ``NAME:SHARDS``.

        :raises typer.BadParameter: if it is neither.
        """
        match = _STREAM.fullmatch(text)
        if match is None or (match["shards"] and not int(match["shards"])):
            raise typer.BadParameter(
                f"{text!r} is no stream: a name of letters, digits, '_', '.' and '-', and the "
                "number of shards if it is more than one, such as app-logs:4"
            )
        return cls(match["name"], int(match["shards"] or 1))


def local(
    *,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of 127.0.0.1; 0 takes any free one.")
    ] = 4567,
    stream: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:SHARDS]",
            help="A stream to begin with, of one shard unless told otherwise; repeatable. One "
            "that --persist has brought back stays as it is.",
        ),
    ] = None,
    limits: Annotated[
        bool,
        typer.Option(
            "--limits",
            help="Refuse what real shards refuse: over 1,000 records/s or 1 MiB/s of writes, "
            "5 reads/s or 2 MiB/s of reads, each per shard.",
        ),
    ] = False,
    persist: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="Keep streams and records here: read at the start if it is there, written at "
            "the stop.",
        ),
    ] = None,
    region: Annotated[str, typer.Option(help="The region in ARNs.")] = "us-east-1",
) -> None:
    """Run a Kinesis for development on this machine, until Ctrl-C."""
    streams = [StreamOption.parse(text) for text in stream or ()]
    with plainly():
        fake = FakeKinesis(limits=limits and _LIMITS, region=region, keep_calls=0)
        if persist is not None:
            _load(fake, persist)
        for wanted in streams:
            if wanted.name not in fake.streams():
                fake.create_stream(wanted.name, shards=wanted.shards)
        _serve(fake, port, persist)


def _load(fake: FakeKinesis, path: Path) -> None:
    try:
        fake.load(path)
    except FileNotFoundError:
        # Now rather than at the end, when it would cost what was written meanwhile.
        _save(fake, path)
    except SnapshotError as error:
        raise CommandError(
            f"the streams in {path} cannot be read: {error}; move the file away to begin anew."
        ) from error
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from error


def _save(fake: FakeKinesis, path: Path) -> None:
    try:
        fake.save(path)
    except OSError as error:
        raise CommandError(f"streams cannot be saved to {path}: {error.strerror}.") from error


def _serve(fake: FakeKinesis, port: int, persist: Path | None) -> None:
    with stopped_by("SIGINT", "SIGTERM", "SIGHUP"):
        try:
            with _served(fake, port, persist) as server:
                typer.echo(_introduction(fake, server.endpoint_url, persist))
                server.wait_closed()
        except Stopped:
            typer.echo(f"stopped; {_account(fake)}" + (f"; saved to {persist}" if persist else ""))
            raise


@contextmanager
def _served(fake: FakeKinesis, port: int, persist: Path | None) -> Iterator[Server]:
    server = fake.serve(port)
    try:
        server.open()
    except OSError as error:
        raise CommandError(
            f"port {port} of 127.0.0.1 cannot be used: {error.strerror}; "
            "choose another one with --port."
        ) from error
    try:
        yield server
    finally:
        server.close()
        if persist is not None:
            _save(fake, persist)


def _introduction(fake: FakeKinesis, endpoint_url: str, persist: Path | None) -> str:
    streams = [
        f"  {name}  {number_of(len(fake.open_shards(name)), 'shard')}, "
        f"{number_of(len(fake.records(name)), 'record')}"
        for name in fake.streams()
    ]
    lines = [
        f"Kinesis for development at {endpoint_url}, until Ctrl-C.",
        f"Kept in {persist}." if persist else "Kept in memory; --persist FILE keeps it longer.",
        "",
        "Paste into the shell of the client:",
        "",
        f"  export AWS_ENDPOINT_URL_KINESIS={endpoint_url}",
        "  export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local",
        f"  export AWS_REGION={fake.region} AWS_DEFAULT_REGION={fake.region}",
        "",
        "Streams:" if streams else "No streams yet: --stream NAME, or CreateStream by a client.",
        *streams,
    ]
    return "\n".join(lines)


def _account(fake: FakeKinesis) -> str:
    records = sum(len(fake.records(name)) for name in fake.streams())
    return f"{number_of(len(fake.streams()), 'stream')}, {number_of(records, 'record')}"

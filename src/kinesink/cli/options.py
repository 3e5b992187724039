"""The options that several commands have, and the question that one of them saves."""

from typing import Annotated

import typer

Stream = Annotated[str, typer.Argument(metavar="STREAM", help="Name or ARN of the stream.")]
Region = Annotated[str | None, typer.Option("--region", help="Region of the stream.")]
EndpointUrl = Annotated[
    str | None,
    typer.Option("--endpoint-url", metavar="URL", help="Another endpoint, as of kinesink local."),
]
Profile = Annotated[str | None, typer.Option("--profile", help="Profile of the AWS configuration.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def confirmed(question: str) -> bool:
    """Ask, and tell whether the answer is yes; no answer is none."""
    try:
        return typer.confirm(question)
    except typer.Abort:
        # Nobody is there to answer, or has pressed Ctrl-C.
        typer.echo()
        return False

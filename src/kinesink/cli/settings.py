"""The configuration that a command shares with applications."""

from __future__ import annotations

from typing import NamedTuple

from kinesink.cli.exits import CommandError
from kinesink.config import Config
from kinesink.errors import ConfigurationError


class Location(NamedTuple):
    """Where a stream is, as the options say; None leaves it to the environment."""

    region: str | None = None
    endpoint_url: str | None = None
    profile: str | None = None


def settings(stream: str, location: Location, **parameters: object) -> Config:
    """Return the configuration for a stream.

    :param stream: its name or its ARN.
    :raises CommandError: if a variable or an option cannot be used.
    """
    given = {
        "stream_arn" if stream.startswith("arn:") else "stream_name": stream,
        "region_name": location.region,
        "endpoint_url": location.endpoint_url,
        "profile_name": location.profile,
    }
    given = {name: value for name, value in given.items() if value is not None}
    try:
        return Config.from_environment(**given, **parameters)
    except ConfigurationError as error:
        raise CommandError(f"{error}.") from error

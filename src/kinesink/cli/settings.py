"""The configuration that a command shares with applications."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinesink.cli.exits import CommandError
from kinesink.config import Config
from kinesink.errors import ConfigurationError

if TYPE_CHECKING:
    from kinesink.cli.tail.service import Account


def settings(stream: str, account: Account, **parameters: object) -> Config:
    """Return the configuration for a stream.

    :param stream: its name or its ARN.
    :param account: where it is, as the options say.
    :raises CommandError: if a variable or an option cannot be used.
    """
    given = {
        "stream_arn" if stream.startswith("arn:") else "stream_name": stream,
        "region_name": account.region,
        "endpoint_url": account.endpoint_url,
        "profile_name": account.profile,
    }
    given = {name: value for name, value in given.items() if value is not None}
    try:
        return Config.from_environment(**given, **parameters)
    except ConfigurationError as error:
        raise CommandError(f"{error}.") from error

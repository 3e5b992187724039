"""What an option about AWS may be, and what two of them must agree about.

Law of this file: it reads names and shapes only, imports no AWS library, and shows
nothing of a value that may hold a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from kinesink.core import limits
from kinesink.errors import ConfigurationError

if TYPE_CHECKING:
    from typing_extensions import Self

    from kinesink.config import Config

STREAM_NAME: Final = re.compile(rf"[a-zA-Z0-9_.-]{{1,{limits.STREAM_NAME_MAX_CHARACTERS}}}")

#: ``\d`` would take the digits of every script.
_STREAM_ARN: Final = re.compile(
    rf"arn:(aws[-a-z]*):kinesis:([a-z0-9-]+):([0-9]{{12}}):stream/({STREAM_NAME.pattern})"
)
_ROLE_ARN: Final = re.compile(r"arn:aws[-a-z]*:iam::[0-9]{12}:role/[\x21-\x7e]{1,512}")

#: STS, AssumeRole: RoleSessionName and ExternalId.
_ROLE_SESSION_NAME: Final = re.compile(r"[a-zA-Z0-9_+=,.@-]{2,64}")
_EXTERNAL_ID: Final = re.compile(r"[a-zA-Z0-9_+=,.@:/-]{2,1224}")

_URLS: Final = frozenset({"endpoint_url", "proxy"})

#: User and password of a URL.
_USER_INFO: Final = re.compile(r"//[^/?#\s]*@")


class HasKeys(Protocol):
    """Credentials as botocore's objects show them."""

    @property
    def access_key(self) -> str:
        """The access key's id."""

    @property
    def secret_key(self) -> str:
        """The key itself."""

    @property
    def token(self) -> str | None:
        """The security token of temporary credentials."""


Keys = tuple[str, str] | tuple[str, str, str | None] | HasKeys
"""Access key id, secret key and token."""

Credentials = Keys | Callable[[], Keys]
"""What ``credentials`` takes; a callable is asked again when they end or are refused."""


class StreamArn(NamedTuple):
    """A stream anywhere: partition, region, account and name."""

    partition: str
    region: str
    account_id: str
    stream_name: str

    @classmethod
    def parse(cls, text: object) -> Self | None:
        """Return the parts of an ARN; None if ``text`` is not one of a stream."""
        match = _STREAM_ARN.fullmatch(text) if isinstance(text, str) else None
        return None if match is None else cls(*match.groups())

    def __str__(self) -> str:
        return (
            f"arn:{self.partition}:kinesis:{self.region}:{self.account_id}"
            f":stream/{self.stream_name}"
        )


class Hidden:
    """Stands for a value in an error that must not show it."""

    def __repr__(self) -> str:
        return "***"


def shown(parameter: str, value: object) -> object:
    """Return what an error about a parameter may show of its value."""
    if parameter == "credentials":
        return Hidden()
    if parameter in _URLS and isinstance(value, str):
        return url_without_user(value)
    return without_user(value) if isinstance(value, str) else value


def without_user(text: str) -> str:
    """Return a text in which no URL shows user and password."""
    return _USER_INFO.sub("//***@", text)


def url_without_user(url: str) -> str:
    """Return a URL, or what was meant for one, without user and password."""
    user, at, rest = url.rpartition("@")
    if not at:
        return url
    scheme, separator, _ = user.partition("://")
    return f"{scheme}://***@{rest}" if separator else f"***@{rest}"


def is_http_url(value: str) -> bool:
    """Tell whether a text names a host by http or https, and a port that is a number."""
    try:
        parts = urlsplit(value)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_text(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda v: v is None or pattern.fullmatch(v) is not None


def _are_keys(value: object) -> bool:
    if isinstance(value, tuple) and not hasattr(value, "access_key"):
        *required, token = value if len(value) == 3 else (*value, None)  # noqa: PLR2004 - with a token
        return (
            len(required) == 2  # noqa: PLR2004 - id and secret
            and all(isinstance(text, str) and text for text in required)
            and (token is None or isinstance(token, str))
        )
    # Not hasattr, which would ask a botocore object for its first keys: they may be far away.
    return callable(value) or hasattr(type(value), "get_frozen_credentials") or _shows_keys(value)


def _shows_keys(value: object) -> bool:
    return hasattr(value, "access_key") and hasattr(value, "secret_key")


_SWITCH: Final = "true, false, or None for what the environment and the profile say"

#: One row per parameter: what is allowed, in words and as a test.
RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "stream_arn": (
        "an ARN such as 'arn:aws:kinesis:eu-west-1:123456789012:stream/app-logs'",
        lambda v: v is None or StreamArn.parse(v) is not None,
    ),
    "account_id_endpoint": ("true or false", lambda v: isinstance(v, bool)),
    "use_fips_endpoint": (_SWITCH, lambda v: v is None or isinstance(v, bool)),
    "use_dualstack_endpoint": (_SWITCH, lambda v: v is None or isinstance(v, bool)),
    "proxy": (
        "the URL of a proxy that begins with http:// or https://",
        lambda v: v is None or is_http_url(v),
    ),
    "credentials": (
        (
            "(access key, secret key) or (access key, secret key, token), an object with "
            "access_key, secret_key and token, or a callable that returns one of them"
        ),
        lambda v: v is None or _are_keys(v),
    ),
    "role_arn": (
        "an ARN such as 'arn:aws:iam::123456789012:role/writer'", _is_text(_ROLE_ARN),
    ),
    "role_session_name": (
        "2 to 64 characters of a-z, A-Z, 0-9 and _+=,.@-", _is_text(_ROLE_SESSION_NAME),
    ),
    "external_id": (
        "2 to 1224 characters of a-z, A-Z, 0-9 and _+=,.@:/-", _is_text(_EXTERNAL_ID),
    ),
}  # fmt: skip

SWITCHES: Final = frozenset({"account_id_endpoint", "use_fips_endpoint", "use_dualstack_endpoint"})


def name_in(stream_arn: object) -> str:
    """Return the stream's name; empty without an ARN of a stream."""
    arn = StreamArn.parse(stream_arn)
    return "" if arn is None else arn.stream_name


def check_agreement(config: Config) -> None:
    """Refuse a parameter that does not go with another.

    :raises ConfigurationError: names it, its value and what would.
    """
    arn = StreamArn.parse(config.stream_arn)
    if arn is not None and arn.stream_name != config.stream_name:
        raise ConfigurationError(
            "stream_arn", config.stream_arn, f"it must end in stream/{config.stream_name}"
        )
    if arn is not None and config.region_name not in {None, arn.region}:
        raise ConfigurationError(
            "region_name", config.region_name, f"the stream's ARN says {arn.region!r}"
        )
    for parameter in ("role_session_name", "external_id"):
        value = getattr(config, parameter)
        if value is not None and config.role_arn is None:
            raise ConfigurationError(parameter, value, "it goes with role_arn only")

"""Every tunable of kinesink: its default once, in seconds and bytes, checked at once."""

from __future__ import annotations

import os
import typing
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from kinesink import aws_options
from kinesink.aws_options import STREAM_NAME
from kinesink.compression import is_available
from kinesink.core import limits
from kinesink.core.options import Compression, PipelineOptions
from kinesink.errors import ConfigurationError
from kinesink.option_values import (
    SWITCHES,
    UNITS_OF_BYTES,
    UNITS_OF_SECONDS,
    WHOLE_NUMBER,
    holds,
    is_count,
    is_number,
    is_text_or_none,
    one_of,
    quantity,
    seconds_rule,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinesink.aws_options import Credentials
    from kinesink.dead_letter import DeadLetter
    from kinesink.option_values import Rule
    from kinesink.statistics import Statistics

Backend = Literal["asyncio", "trio"]
Protocol = Literal["json", "cbor"]
SpoolMode = Literal["overflow", "always"]
Overflow = Literal["shed", "drop_oldest", "drop_newest", "block"]

OnError = Callable[[str, str], None]
"""What ``on_error`` is called with: the kind of trouble, and one line about it."""

OnStatistics = Callable[["Statistics"], object]
"""What ``on_statistics`` is called with: the account of the sink."""

DeadLetterReceiver = Callable[[list["DeadLetter"]], object]
"""What ``dead_letter`` is called with: events that were given up."""

_PREFIX = "KINESINK_"
_NO_VARIABLE = frozenset({"on_error", "on_statistics", "credentials"})


@dataclass(frozen=True)
class Config(PipelineOptions):
    """How events reach one stream.

    Every parameter can be plain text as well (``"64MiB"``, ``"5s"``, ``"true"``), so
    that YAML, ``fileConfig`` and environment variables can give it.
    :meth:`from_environment` reads each from ``KINESINK_`` and its name in capitals.

    :raises ConfigurationError: if a value cannot work; names parameter, value and
        what is allowed.
    """

    stream_name: str = ""
    """The stream to write to; may be left out if ``stream_arn`` names it."""

    region_name: str | None = None
    """AWS region; None takes it from the environment or the profile."""

    endpoint_url: str | None = None
    """Where Kinesis is, if not at the region's own endpoint (http is allowed)."""

    stream_arn: str | None = None
    """The stream by its full name, which a stream of another account needs. Its region
    is where requests go; other streams of a producer are in its account and region."""

    account_id_endpoint: bool = False
    """Talk to the account's own hosts instead of the region's, if the account is known
    from ``stream_arn`` or the credentials."""

    use_fips_endpoint: bool | None = None
    """Talk to the hosts with validated cryptography; None: as environment and profile say."""

    use_dualstack_endpoint: bool | None = None
    """Talk to the hosts with IPv6 addresses; None: as environment and profile say."""

    proxy: str | None = field(default=None, repr=False)
    """URL of the proxy to AWS; None takes the one of the environment."""

    profile_name: str | None = None
    """Profile of the AWS configuration files; None takes the default."""

    credentials: Credentials | None = field(default=None, repr=False, hash=False)
    """Keys of one's own, or a callable that returns some; None looks for them as AWS's
    libraries do. No variable."""

    role_arn: str | None = None
    """Role to assume with the credentials that were found or given."""

    role_session_name: str | None = None
    """What the role's session is called in AWS's logs; None for ``kinesink``."""

    external_id: str | None = None
    """What the role's owner demands of those who assume it."""

    verify: bool | str = True
    """Check TLS certificates; a path names the CA bundle to check against."""

    protocol: Protocol = "json"
    """Encoding on the wire: JSON 1.1 is documented everywhere, CBOR 1.1 is smaller."""

    connect_timeout: float = 3.0
    """Longest time to open a connection, in seconds."""

    max_connections: int = 24
    """Most connections to Kinesis at the same time; KPL ``maxConnections``. The streams
    of one producer share them; each may always make one call of each kind, whatever the
    others do."""

    max_pending_bytes: int = 64 * limits.MIB
    """Most memory for events that wait, in bytes: their data and 150 bytes each. The
    streams of one producer share it; each has an equal part for itself, whatever the
    others hold."""

    max_pending_events: int | None = None
    """Most events that wait at the same time; None for no bound but that in bytes."""

    overflow: Overflow = "shed"
    """What is given up when more would wait than may. ``shed``: lower levels first, DEBUG
    where 70 % are taken, INFO at 85 %, WARNING at 95 %; what has no level, and ERROR, where
    nothing is left. ``drop_oldest``, ``drop_newest``: whatever its level. ``block``: nothing
    for ``block_timeout``; then the newest. An event loop is never blocked, nor a process that
    ends: there ``block`` is ``shed``."""

    block_timeout: float = 1.0
    """Longest wait of a log call for room where ``overflow`` is ``block``, in seconds."""

    loss_records: bool = True
    """Tell in the stream itself how many events were lost, in one event at most every ten
    seconds. Only where handlers, processors or exporters write the events."""

    shutdown_timeout: float = 5.0
    """Longest wait for what is pending when the process or the producer ends, in
    seconds. Container schedulers grant 10 s (docker) or 30 s (Kubernetes)."""

    backend: Backend = "asyncio"
    """Event loop of the background thread."""

    on_error: OnError | None = None
    """Called with (kind, text) when something needs attention; None writes a line to
    standard error. Called from a thread of its own, at most once a minute and kind."""

    on_statistics: OnStatistics | None = None
    """Called with the :class:`~kinesink.statistics.Statistics` every ``statistics_interval``
    and in the end, for a metrics system of any kind. Called from a thread of its own."""

    statistics_interval: float = 60.0
    """Seconds between two calls of ``on_statistics``."""

    spool_path: str | None = None
    """A directory on disk for events that memory is no place for; None for no spool. Any
    number of processes may share it."""

    spool_mode: SpoolMode = "overflow"
    """What goes to disk. ``overflow``: what memory cannot hold, what Kinesis does not take
    within ``time_to_live``, and what is left at the end. ``always``: every event, before the
    log call returns, so that it survives the death of the process."""

    spool_max_bytes: int = 1024 * limits.MIB
    """Most that one process keeps in the spool, in bytes; beyond, the oldest are given up."""

    dead_letter: DeadLetterReceiver | str | None = None
    """Who gets the events that are given up for good: a callable of a list of
    :class:`~kinesink.dead_letter.DeadLetter`, or the path of a file that they are added to as
    lines of JSON. Events that were given up before they were written are only counted, and
    those whose result somebody waits for are only told to them. Called from a thread of its
    own."""

    def __post_init__(self) -> None:
        """Turn text into numbers and refuse what cannot work."""
        given = {spec.name: getattr(self, spec.name) for spec in fields(self)}
        for parameter, value in given.items():
            if isinstance(value, str):
                object.__setattr__(self, parameter, _from_text(parameter, value))
        stream_name = self.stream_name or aws_options.name_in(self.stream_arn)
        object.__setattr__(self, "stream_name", stream_name)
        for parameter, (allowed, test) in _RULES.items():
            if not holds(test, getattr(self, parameter)):
                value = aws_options.shown(parameter, given[parameter])
                raise ConfigurationError(parameter, value, allowed)
        aws_options.check_agreement(self)
        if self.linger >= self.time_to_live:
            raise ConfigurationError(
                "linger", given["linger"], f"seconds, less than time_to_live={self.time_to_live}"
            )
        if self.compression is not None and self.framing != "lines":
            raise ConfigurationError(
                "compression", self.compression, "it goes with framing='lines' only"
            )
        if self.compression is not None and not is_available(self.compression):
            raise ConfigurationError(
                "compression", self.compression, "it needs the extra: pip install 'kinesink[zstd]'"
            )
        if self.backend == "trio" and not _is_installed("trio"):
            raise ConfigurationError(
                "backend", "trio", "it needs the extra: pip install 'kinesink[trio]'"
            )

    def __repr__(self) -> str:
        """Return the parameters; neither credentials nor the passwords of URLs."""
        shown = (
            f"{spec.name}={aws_options.shown(spec.name, getattr(self, spec.name))!r}"
            for spec in fields(self)
            if spec.repr
        )
        return f"{type(self).__name__}({', '.join(shown)})"

    @classmethod
    def from_environment(
        cls,
        environ: Mapping[str, str] | None = None,
        /,
        **parameters: object,
    ) -> Config:
        """Return a configuration from ``KINESINK_*`` variables and ``parameters``.

        A parameter that is given wins over its variable; an empty variable counts as
        absent.

        :raises ConfigurationError: if a value cannot work, a parameter is unknown or
            no stream is named.
        """
        environ = os.environ if environ is None else environ
        names = [spec.name for spec in fields(cls)]
        for parameter in parameters:
            if parameter not in names:
                # Its value may be a secret key, under a name that another library gives it.
                hidden = aws_options.Hidden()
                raise ConfigurationError(parameter, hidden, _unknown(parameter, names))
        values: dict[str, Any] = {
            name: environ[_PREFIX + name.upper()]
            for name in names
            if name not in _NO_VARIABLE and environ.get(_PREFIX + name.upper())
        }
        if parameters.get("stream_arn") is not None:
            # It says all that the variable could, which may be about another stream.
            values.pop("stream_name", None)
        values.update(parameters)
        if values.get("stream_name") is None and values.get("stream_arn") is None:
            raise ConfigurationError(
                "stream_name", None, f"name the stream, or set {_PREFIX}STREAM_NAME"
            )
        return cls(**values)


def _is_installed(module: str) -> bool:
    from importlib.util import find_spec  # noqa: PLC0415 - only for who asks for an extra

    return find_spec(module) is not None


def _unknown(parameter: str, names: list[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only on the way to an error

    near = get_close_matches(parameter, names, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"parameters are {', '.join(names)}"
    return f"there is no such parameter; {hint}"


_SIZE = "bytes, {} (1048576, '1MiB')"

#: One row per parameter: what is allowed, in words and as a test.
_RULES: dict[str, Rule] = {
    **aws_options.RULES,
    "stream_name": (
        "1 to 128 characters of a-z, A-Z, 0-9, '_', '.', '-'",
        lambda v: isinstance(v, str) and STREAM_NAME.fullmatch(v) is not None,
    ),
    "region_name": ("the name of an AWS region, such as 'eu-west-1'", is_text_or_none),
    "endpoint_url": (
        "a URL that begins with https:// or http://",
        lambda v: v is None or aws_options.is_http_url(v),
    ),
    "profile_name": ("the name of a profile", is_text_or_none),
    "verify": (
        "true, false, or the path of a CA bundle",
        lambda v: isinstance(v, bool) or (isinstance(v, str) and v != ""),
    ),
    "protocol": one_of(Protocol),
    "backend": one_of(Backend),
    "overflow": one_of(Overflow),
    "block_timeout": seconds_rule("0 or more", zero=True, infinite=False),
    "loss_records": ("true or false", lambda v: isinstance(v, bool)),
    "framing": one_of(typing.get_type_hints(PipelineOptions)["framing"]),
    "compression": (
        "None, 'gzip' or 'zstd'", lambda v: v is None or v in typing.get_args(Compression),
    ),
    "record_distribution": one_of(typing.get_type_hints(PipelineOptions)["record_distribution"]),
    "linger": seconds_rule("0 or more", zero=True, infinite=False),
    "time_to_live": seconds_rule("more than 0, 'inf' for no end", zero=False, infinite=True),
    "request_timeout": seconds_rule("more than 0", zero=False, infinite=False),
    "connect_timeout": seconds_rule("more than 0", zero=False, infinite=False),
    "shutdown_timeout": seconds_rule("0 or more", zero=True, infinite=False),
    "aggregate_max_bytes": (
        _SIZE.format("256 to 10 MiB"), lambda v: is_count(v, 256, limits.RECORD_MAX_BYTES),
    ),
    "aggregate_max_events": (
        "a number of events, 1 or more, or None", lambda v: v is None or is_count(v, 1),
    ),
    "request_max_entries": (
        "a number of entries, 1 to 500", lambda v: is_count(v, 1, limits.REQUEST_MAX_ENTRIES),
    ),
    "request_max_bytes": (
        _SIZE.format("1 KiB to 10 MiB"),
        lambda v: is_count(v, limits.KIB, limits.REQUEST_MAX_BYTES),
    ),
    "request_max_bytes_per_shard": (_SIZE.format("1 or more"), lambda v: is_count(v, 1)),
    "record_max_bytes": (
        _SIZE.format("1 KiB to 10 MiB, or None for the stream's own limit"),
        lambda v: v is None or is_count(v, limits.KIB, limits.RECORD_MAX_BYTES),
    ),
    "max_pending_bytes": (_SIZE.format("64 KiB or more"), lambda v: is_count(v, 64 * limits.KIB)),
    "max_pending_events": (
        "a number of events, 1 or more, or None", lambda v: v is None or is_count(v, 1),
    ),
    "shard_rate_limit": (
        "a fraction of a shard's rate, more than 0, 'inf' for no limit",
        lambda v: is_number(v) and v > 0,
    ),
    "max_requests_in_flight": ("a number of calls, 1 or more", lambda v: is_count(v, 1)),
    "max_connections": ("a number of connections, 1 or more", lambda v: is_count(v, 1)),
    "fail_if_throttled": ("true or false", lambda v: isinstance(v, bool)),
    "on_error": ("a callable of (kind, text)", lambda v: v is None or callable(v)),
    "on_statistics": ("a callable of the statistics", lambda v: v is None or callable(v)),
    "statistics_interval": seconds_rule("more than 0", zero=False, infinite=False),
    "spool_path": ("the path of a directory", is_text_or_none),
    "spool_mode": one_of(SpoolMode),
    "spool_max_bytes": (_SIZE.format("1 MiB or more"), lambda v: is_count(v, limits.MIB)),
    "dead_letter": (
        "a callable of a list of events, or the path of a file",
        lambda v: callable(v) or is_text_or_none(v),
    ),
}  # fmt: skip

_BYTES = frozenset(
    name for name, (allowed, _) in _RULES.items() if allowed.startswith("bytes")
)  # fmt: skip
_SECONDS = frozenset(name for name, (allowed, _) in _RULES.items() if allowed.startswith("seconds"))
_COUNTS = frozenset(
    name for name, (allowed, _) in _RULES.items() if allowed.startswith("a number of")
)


def _from_text(parameter: str, text: str) -> object:
    """Return the value that ``text`` stands for, of the parameter's own type."""
    if parameter in _BYTES:
        value = _quantity(parameter, text, UNITS_OF_BYTES)
        return int(value) if value.is_integer() else text
    if parameter in _SECONDS:
        return _quantity(parameter, text, UNITS_OF_SECONDS)
    if parameter in _COUNTS:
        return int(text) if WHOLE_NUMBER.fullmatch(text) else text
    if parameter == "shard_rate_limit":
        return _quantity(parameter, text, {"": 1})
    if parameter in {"verify", "fail_if_throttled", "loss_records"} | aws_options.SWITCHES:
        return SWITCHES.get(text.strip().lower(), text)
    return text


def _quantity(parameter: str, text: str, units: Mapping[str, float]) -> float:
    value = quantity(text, units)
    if value is None:
        raise ConfigurationError(parameter, text, _RULES[parameter][0])
    return value

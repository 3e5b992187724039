"""Parameters: their text forms, their variables, and a clear error for what cannot work."""

from __future__ import annotations

import importlib.util
import math
import pickle
from dataclasses import fields
from typing import Any, cast

import pytest
from botocore.credentials import ReadOnlyCredentials

from kinesink.config import _RULES, Config
from kinesink.core.options import PipelineOptions
from kinesink.errors import ConfigurationError, KinesinkError

MIB = 2**20


ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/events"
ROLE = "arn:aws:iam::123456789012:role/logs/writer"

GOES_WITH: dict[str, dict[str, object]] = {
    "external_id": {"role_arn": ROLE},
    "role_session_name": {"role_arn": ROLE},
}
"""What a parameter is refused without."""


def config(**parameters: object) -> Config:
    """Return a configuration for a stream, with some parameters set to anything."""
    needed = {key: value for name in parameters for key, value in GOES_WITH.get(name, {}).items()}
    return Config(**cast("dict[str, Any]", {"stream_name": "events", **needed, **parameters}))


BAD: dict[str, list[object]] = {
    "stream_name": ["", "a" * 129, "no spaces", "é", 7, None, b"bytes"],
    "region_name": ["", 7],
    "endpoint_url": [
        "",
        "kinesis:4568",
        "ftp://host",
        "https://",
        "https:///path",
        "http://[::1",
        "http://host:port",
        7,
    ],
    "stream_arn": [
        "",
        "events",
        7,
        ARN.replace("kinesis", "firehose"),
        ARN.replace("stream", "channel"),
        ARN.replace("123", "12"),
        ARN.replace("123", "١٢٣"),
        ARN + " ",
        ARN + ":1",
        ARN.replace("arn:aws", "arn:azure"),
        ARN.replace("eu-west-1", ""),
        f"{ARN}/consumer/c:1",
    ],
    "account_id_endpoint": ["maybe", 1, None],
    "use_fips_endpoint": ["maybe", 1],
    "use_dualstack_endpoint": ["maybe", 0],
    "proxy": ["", "proxy:3128", "socks5://proxy", "http://", 7],
    "profile_name": ["", 7],
    "credentials": ["", "AKID", 7, (), ("AKID",), ("AKID", ""), ("AKID", "s", 7), ("A",) * 4, []],
    "role_arn": ["", "writer", 7, ROLE.replace("role", "user"), ROLE.replace("123", "")],
    "role_session_name": ["", "x", "no spaces", "x" * 65, 7],
    "external_id": ["", "x", "no spaces", "x" * 1225, 7],
    "verify": ["", None, 1],
    "protocol": ["", "xml", None, 7, []],
    "backend": ["", "curio", None],
    "compression": ["", "lz4", True],
    "max_pending_events": [0, -1, "1.5", True],
    "framing": ["", "json", None],
    "record_distribution": ["", "AUTO", None],
    "linger": [-0.1, math.inf, math.nan, "soon", "5 days", "-1", None, True, 600],
    "time_to_live": [0, -1, math.nan, "", None, False],
    "request_timeout": [0, -1, math.inf, math.nan, "0s", None],
    "connect_timeout": [0, -1, math.inf, "inf", None],
    "overflow": ["", "drop", "Shed", None, 1],
    "block_timeout": [-1, math.inf, math.nan, None, "5 parsecs"],
    "loss_records": ["maybe", 1, None],
    "shutdown_timeout": [-1, math.inf, math.nan, None, "5 parsecs"],
    "aggregate_max_bytes": [255, 10 * MIB + 1, 1.5, "0.1", "inf", "1 TB", None, True],
    "aggregate_max_events": [0, -1, 1.5, "0", "many", "1.5", "9" * 5000, "٣", True],
    "request_max_entries": [0, 501, "501", 1.0, None],
    "request_max_bytes": [1023, 10 * MIB + 1, "11MiB", None],
    "request_max_bytes_per_shard": [0, -1, "0", None],
    "record_max_bytes": [1023, 10 * MIB + 1, "1B", 2.0],
    "max_pending_bytes": [64 * 1024 - 1, "1KB", None, math.inf],
    "shard_rate_limit": [0, -1, math.nan, "100%", "fast", None, True],
    "max_requests_in_flight": [0, "0", None, 1.0],
    "max_connections": [0, "0", None, 1.0],
    "fail_if_throttled": ["maybe", 1, None],
    "on_statistics": ["print", 1],
    "statistics_interval": [0, -1, math.inf, "5 parsecs", None],
    "spool_path": ["", 1],
    "spool_mode": ["", "never", None],
    "spool_max_bytes": [0, 1023, "1 parsec", None],
    "dead_letter": ["", 1, b"file"],
    "on_error": [7, "print"],
}


class Secretive:
    """Credentials that are far away until somebody asks."""

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return them; but nobody may ask."""
        raise NotImplementedError

    @property
    def access_key(self) -> str:
        """Fail, as whoever looks at a configuration must not ask."""
        raise AssertionError

    secret_key = token = access_key


KEYS = Secretive()

GOOD: list[tuple[str, object, object]] = [
    ("stream_name", "a" * 128, "a" * 128),
    ("stream_name", "A-b_c.9", "A-b_c.9"),
    ("region_name", None, None),
    ("region_name", "eu-west-1", "eu-west-1"),
    ("endpoint_url", "http://localhost:4568", "http://localhost:4568"),
    ("stream_arn", None, None),
    ("stream_arn", ARN, ARN),
    ("account_id_endpoint", "yes", True),
    ("use_fips_endpoint", "true", True),
    ("use_fips_endpoint", None, None),
    ("use_dualstack_endpoint", "off", False),
    ("use_dualstack_endpoint", None, None),
    ("proxy", "http://user:word@proxy:3128", "http://user:word@proxy:3128"),
    ("proxy", "https://proxy", "https://proxy"),
    ("credentials", ("AKID", "secret"), ("AKID", "secret")),
    ("credentials", ("AKID", "secret", None), ("AKID", "secret", None)),
    ("credentials", ReadOnlyCredentials("AKID", "s", "t"), ReadOnlyCredentials("AKID", "s", "t")),
    ("credentials", print, print),
    ("credentials", KEYS, KEYS),
    ("role_arn", None, None),
    ("role_arn", ROLE, ROLE),
    ("role_session_name", "a@b=c,d.e+f-g_h", "a@b=c,d.e+f-g_h"),
    ("external_id", "arn:x/y@z", "arn:x/y@z"),
    ("profile_name", "default", "default"),
    ("verify", "false", False),
    ("verify", " ON ", True),
    ("verify", "/etc/ca.pem", "/etc/ca.pem"),
    ("protocol", "cbor", "cbor"),
    ("backend", "trio", "trio"),
    ("framing", "lines", "lines"),
    ("framing", "none", "none"),
    ("compression", None, None),
    ("record_distribution", "auto", "auto"),
    ("linger", 0, 0),
    ("linger", "250ms", 0.25),
    ("linger", "0.5", 0.5),
    ("linger", ".5 S", 0.5),
    ("time_to_live", math.inf, math.inf),
    ("time_to_live", "inf", math.inf),
    ("time_to_live", "2h", 7200.0),
    ("request_timeout", "1min", 60.0),
    ("overflow", "drop_oldest", "drop_oldest"),
    ("block_timeout", "250ms", 0.25),
    ("loss_records", "no", False),
    ("shutdown_timeout", "0", 0.0),
    ("on_statistics", print, print),
    ("statistics_interval", "1min", 60.0),
    ("spool_path", "/var/spool/kinesink", "/var/spool/kinesink"),
    ("spool_mode", "always", "always"),
    ("spool_max_bytes", "2GiB", 2 << 30),
    ("dead_letter", "given-up.jsonl", "given-up.jsonl"),
    ("dead_letter", print, print),
    ("connect_timeout", "1m", 60.0),
    ("aggregate_max_bytes", "25 KB", 25_000),
    ("aggregate_max_bytes", 10 * MIB, 10 * MIB),
    ("aggregate_max_events", " 7 ", 7),
    ("aggregate_max_events", None, None),
    ("request_max_entries", "500", 500),
    ("request_max_bytes", "10MiB", 10 * MIB),
    ("request_max_bytes_per_shard", 1, 1),
    ("record_max_bytes", "1.5MiB", 3 * MIB // 2),
    ("record_max_bytes", None, None),
    ("max_pending_bytes", "1gib", 2**30),
    ("max_pending_events", "5000", 5000),
    ("max_pending_events", None, None),
    ("shard_rate_limit", "0.5", 0.5),
    ("shard_rate_limit", "inf", math.inf),
    ("max_requests_in_flight", "1", 1),
    ("max_connections", 1, 1),
    ("fail_if_throttled", "yes", True),
    ("fail_if_throttled", "0", False),
    ("on_error", print, print),
]


class TestValues:
    """What a parameter takes."""

    @pytest.mark.parametrize(
        ("parameter", "value"), [(name, value) for name, values in BAD.items() for value in values]
    )
    def test_a_value_that_cannot_work_is_refused_by_name(
        self, parameter: str, value: object
    ) -> None:
        """The error names the parameter, the value as it was given, and what is allowed."""
        with pytest.raises(ConfigurationError) as refused:
            config(**{parameter: value})

        allowed = _RULES[parameter][0]
        if (parameter, value) == ("linger", 600):
            allowed = "seconds, less than time_to_live=600.0"
        shown = "***" if parameter == "credentials" else repr(value)
        assert str(refused.value) == f"{parameter}={shown} cannot be used: {allowed}"
        assert refused.value.parameter == parameter

    @pytest.mark.parametrize(("parameter", "value", "meant"), GOOD)
    def test_plain_text_is_as_good_as_the_value(
        self, parameter: str, value: object, meant: object
    ) -> None:
        """So that YAML, fileConfig and environment variables can give it."""
        taken = getattr(config(**{parameter: value}), parameter)

        assert taken == meant
        assert type(taken) is type(meant)

    def test_every_parameter_has_a_rule_and_examples(self) -> None:
        """None can be forgotten, here or there."""
        names = {spec.name for spec in fields(Config)}

        assert set(_RULES) == set(BAD) == names == {name for name, _, _ in GOOD}

    def test_every_default_is_allowed_and_has_one_home(self) -> None:
        """Config and the options of the core agree, because one extends the other."""
        made, core = config(), PipelineOptions()

        for spec in fields(PipelineOptions):
            assert getattr(made, spec.name) == getattr(core, spec.name)

    def test_the_defaults_of_the_kpl_are_kept(self) -> None:
        """Where nothing better is known."""
        made = config()

        assert made.linger == 0.1
        assert made.aggregate_max_bytes == 51_200
        assert made.request_max_entries == 500
        assert made.request_max_bytes == 5 * MIB
        assert made.request_max_bytes_per_shard == 256 * 1024
        assert made.request_timeout == 6.0
        assert made.max_connections == 24
        assert made.time_to_live == 600.0
        assert made.shard_rate_limit == 1.0
        assert not made.fail_if_throttled

    def test_lingering_past_the_end_of_life_cannot_work(self) -> None:
        """Every event of a quiet stream would expire in the window."""
        with pytest.raises(ConfigurationError, match="less than time_to_live=5"):
            config(linger="10s", time_to_live=5)
        assert config(linger=4.9, time_to_live=5).linger == 4.9

    def test_equal_parameters_are_one_configuration(self) -> None:
        """It can be the key of what is shared; nobody can change it."""
        assert config(linger="100ms") == config()
        assert hash(config()) == hash(config())
        with pytest.raises(AttributeError):
            config().linger = 1.0  # type: ignore[misc]  # what is forbidden


class TestEnvironment:
    """KINESINK_ and the name in capitals."""

    def test_each_parameter_has_a_variable(self) -> None:
        """But for the callback, which no text can give, and for keys, which AWS's own name."""
        variables, meant = {}, {}
        for name, value, result in GOOD:
            wants_an_extra = value == "trio" and importlib.util.find_spec("trio") is None
            if isinstance(value, str) and name != "time_to_live" and not wants_an_extra:
                variables[f"KINESINK_{name.upper()}"], meant[name] = value, result
        variables["KINESINK_STREAM_NAME"] = meant["stream_name"] = "events"
        variables["KINESINK_ON_ERROR"] = variables["KINESINK_CREDENTIALS"] = "print"
        made = Config.from_environment(variables)

        assert made.on_error is None
        assert made.credentials is None
        assert {name: getattr(made, name) for name in meant} == meant

    def test_the_process_environment_is_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With nothing given."""
        monkeypatch.setenv("KINESINK_STREAM_NAME", "from-the-process")
        monkeypatch.setenv("KINESINK_MAX_PENDING_BYTES", "1MiB")
        made = Config.from_environment()

        assert (made.stream_name, made.max_pending_bytes) == ("from-the-process", MIB)

    def test_a_parameter_wins_over_its_variable(self) -> None:
        """None included; an empty variable counts as absent."""
        environ = {"KINESINK_STREAM_NAME": "a", "KINESINK_REGION_NAME": "b", "KINESINK_LINGER": ""}
        made = Config.from_environment(environ, stream_name="c", region_name=None)

        assert (made.stream_name, made.region_name, made.linger) == ("c", None, 0.1)

    def test_a_bad_variable_is_a_bad_value(self) -> None:
        """Named like the parameter."""
        with pytest.raises(ConfigurationError, match="linger='soon' cannot be used: seconds"):
            Config.from_environment({"KINESINK_STREAM_NAME": "a", "KINESINK_LINGER": "soon"})

    @pytest.mark.parametrize(
        ("parameter", "hint"),
        [
            ("lingr", "did you mean linger?"),
            ("max_pending", "did you mean max_pending_bytes"),
            ("zzz", "parameters are linger, time_to_live"),
        ],
    )
    def test_an_unknown_parameter_comes_with_a_hint(self, parameter: str, hint: str) -> None:
        """The near ones, or all there are."""
        with pytest.raises(ConfigurationError, match="there is no such parameter") as refused:
            Config.from_environment({"KINESINK_STREAM_NAME": "a"}, **{parameter: 1})
        assert hint in str(refused.value)

    @pytest.mark.parametrize("parameters", [{}, {"stream_name": None}])
    def test_without_a_stream_it_says_how_to_name_one(self, parameters: dict[str, None]) -> None:
        """As a parameter or as a variable."""
        with pytest.raises(ConfigurationError, match="or set KINESINK_STREAM_NAME"):
            Config.from_environment({}, **parameters)


class TestErrors:
    """What callers can catch."""

    def test_a_configuration_error_is_a_value_error_of_kinesinks(self) -> None:
        """And survives the way between processes."""
        error = ConfigurationError("linger", -1, "seconds")

        assert isinstance(error, KinesinkError)
        assert isinstance(error, ValueError)
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
        assert str(copy) == str(error) == "linger=-1 cannot be used: seconds"
        assert copy.parameter == "linger"


def test_a_backend_that_is_not_installed_is_refused_with_the_command_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without trio the configuration fails at once, not the thread at the first event."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'kinesink\[trio\]'"):
        Config("app-logs", backend="trio")

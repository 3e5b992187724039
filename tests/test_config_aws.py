"""Parameters about AWS: what must agree, and what nobody may read."""

from __future__ import annotations

from typing import Any, cast

import pytest

from kinesink.config import Config
from kinesink.errors import ConfigurationError

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/events"


def config(**parameters: object) -> Config:
    """Return a configuration for a stream, with some parameters set to anything."""
    return Config("events", **cast("dict[str, Any]", parameters))


class TestStreamArn:
    """A stream by its full name."""

    def test_it_names_the_stream(self) -> None:
        """So the name may be left out, or given as well."""
        assert Config(stream_arn=ARN).stream_name == "events"
        assert Config("", stream_arn=ARN) == Config("events", stream_arn=ARN)

    def test_every_partition_has_streams(self) -> None:
        """And its own beginning of ARNs."""
        for partition in ("aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b"):
            arn = ARN.replace("arn:aws", f"arn:{partition}")
            assert Config(stream_arn=arn).stream_arn == arn

    def test_another_name_contradicts_it(self) -> None:
        """One of the two is a mistake."""
        with pytest.raises(ConfigurationError, match="it must end in stream/other"):
            Config("other", stream_arn=ARN)

    def test_another_region_contradicts_it(self) -> None:
        """The stream cannot be found there."""
        with pytest.raises(ConfigurationError, match=r"'us-east-1' .* the stream's ARN says 'eu-w"):
            Config(stream_arn=ARN, region_name="us-east-1")
        assert Config(stream_arn=ARN, region_name="eu-west-1").region_name == "eu-west-1"

    def test_without_name_and_arn_there_is_no_stream(self) -> None:
        """Nothing is guessed."""
        with pytest.raises(ConfigurationError, match="stream_name='' cannot be used"):
            Config()

    def test_it_has_a_variable(self) -> None:
        """Which is enough by itself, and does not outvote a name that is given."""
        environ = {"KINESINK_STREAM_ARN": ARN}
        assert Config.from_environment(environ).stream_name == "events"
        with pytest.raises(ConfigurationError, match="it must end in stream/other"):
            Config.from_environment(environ, stream_name="other")
        other = Config.from_environment(environ, stream_name="other", stream_arn=None)
        assert other.stream_arn is None

    def test_given_it_wins_over_the_variable_with_the_name(self) -> None:
        """It says all that the variable could."""
        environ = {"KINESINK_STREAM_NAME": "other"}
        assert Config.from_environment(environ, stream_arn=ARN).stream_name == "events"
        made = Config.from_environment(environ, stream_arn=None)
        assert made.stream_name == "other"


class TestSecrets:
    """What nobody may read who was not given it."""

    def test_keys_and_proxies_are_not_in_the_repr(self) -> None:
        """It ends up in logs."""
        made = config(credentials=("AKIDSECRET", "WORDSECRET"), proxy="http://u:WORDSECRET@proxy")
        assert "SECRET" not in repr(made)
        made = config(endpoint_url="http://user:WORDSECRET@host:4567", linger=0.5)
        assert "SECRET" not in repr(made)
        assert "linger=0.5" in repr(made)
        assert "endpoint_url='http://***@host:4567'" in repr(made)

    def test_keys_are_not_hashed(self) -> None:
        """Configurations with equal keys are equal, with other keys they are not."""
        made = config(credentials=("AKID", "secret"))
        assert hash(made) == hash(config(credentials=("AKID", "other"))) == hash(config())
        assert made == config(credentials=("AKID", "secret"))
        assert made != config(credentials=("AKID", "other"))

    @pytest.mark.parametrize(
        ("parameter", "value"),
        [
            ("credentials", ("AKIDSECRET", "WORDSECRET", 7)),
            ("proxy", "socks5://user:WORDSECRET@proxy"),
            ("proxy", "user:WORDSECRET@proxy:3128"),
            ("proxy", "http:/user:WORDSECRET@proxy"),
            ("proxy", "socks5://user:WORD SECRET/SECRET#@SECRET@proxy"),
            ("endpoint_url", "https://user:WORD/SECRET@host"),
            ("endpoint_url", "ftp://user:WORDSECRET@proxy"),
        ],
    )
    def test_a_refusal_does_not_show_them(self, parameter: str, value: object) -> None:
        """Nor does what the error holds."""
        with pytest.raises(ConfigurationError) as refused:
            config(**{parameter: value})
        assert "***" in str(refused.value)
        assert "SECRET" not in str(refused.value) + repr(refused.value) + repr(refused.value.args)

    def test_nor_does_the_refusal_of_an_unknown_parameter(self) -> None:
        """boto3 has parameters for keys of its own."""
        with pytest.raises(ConfigurationError, match="no such parameter") as refused:
            Config.from_environment({}, aws_secret_access_key="WORDSECRET")
        assert "SECRET" not in repr(refused.value)

    @pytest.mark.parametrize("parameter", ["role_session_name", "external_id"])
    def test_what_goes_with_a_role_needs_one(self, parameter: str) -> None:
        """It would have no effect."""
        with pytest.raises(ConfigurationError, match=f"{parameter}=.*it goes with role_arn only"):
            Config("events", **cast("dict[str, Any]", {parameter: "xx"}))

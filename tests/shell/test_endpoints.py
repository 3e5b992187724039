"""Which hosts and which region requests go to, by botocore's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kinesink.config import Config
from kinesink.shell.aws_session import AwsSession
from kinesink.shell.credentials import SetupError

if TYPE_CHECKING:
    from kinesink.shell.aws_session import Destinations
    from tests.shell.conftest import AwsEnvironment

pytestmark = pytest.mark.usefixtures("signed")

ACCOUNT = "123456789012"


def arn(region: str = "eu-west-1", partition: str = "aws") -> str:
    """Return the ARN of a stream."""
    return f"arn:{partition}:kinesis:{region}:{ACCOUNT}:stream/app-logs"


def destinations(**parameters: Any) -> Destinations:  # noqa: ANN401 - whatever a Config takes
    """Return where requests go."""
    session = AwsSession(Config(**{"stream_name": "app-logs", **parameters}))
    session.find_keys()
    return session.destinations()


def hosts(**parameters: object) -> tuple[str, str]:
    """Return the hosts for data and for everything else; both over TLS."""
    data, control = destinations(**parameters)
    assert data.url == f"https://{data.host}/"
    assert control.url == f"https://{control.host}/"
    assert data.tls is control.tls
    assert data.region == control.region
    return data.host, control.host


def both(host: str) -> tuple[str, str]:
    """Return one host for everything."""
    return host, host


class TestRegion:
    """Where the stream is."""

    def test_the_arn_says_it(self) -> None:
        """Nothing else need be configured."""
        found = destinations(stream_arn=arn("eu-west-1")).data
        assert (found.region, found.host) == ("eu-west-1", "kinesis.eu-west-1.amazonaws.com")

    @pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
    def test_the_arn_wins_over_the_environment(self, aws: AwsEnvironment, variable: str) -> None:
        """The stream is not in the region that a process happens to run in."""
        aws.set(**{variable: "us-east-1"})
        found = destinations(stream_arn=arn("eu-west-1")).data
        assert (found.region, found.host) == ("eu-west-1", "kinesis.eu-west-1.amazonaws.com")

    def test_the_arn_wins_over_the_profile(self, aws: AwsEnvironment) -> None:
        """As over the environment."""
        aws.configure("[default]\nregion = us-east-1\n")
        assert destinations(stream_arn=arn("eu-west-1")).data.region == "eu-west-1"

    def test_the_arn_s_region_signs_for_a_custom_endpoint_too(self, aws: AwsEnvironment) -> None:
        """Such as one of a private network."""
        aws.set(AWS_REGION="us-east-1")
        found = destinations(stream_arn=arn("eu-west-1"), endpoint_url="https://vpce.test").data
        assert (found.region, found.host) == ("eu-west-1", "vpce.test")


class TestVariants:
    """FIPS and dual-stack, by parameter, variable and profile."""

    @pytest.mark.parametrize(
        ("region", "fips", "dualstack", "host"),
        [
            ("us-east-1", False, False, "kinesis.us-east-1.amazonaws.com"),
            ("us-east-1", True, False, "kinesis-fips.us-east-1.amazonaws.com"),
            ("us-east-1", False, True, "kinesis.us-east-1.api.aws"),
            ("us-east-1", True, True, "kinesis-fips.us-east-1.api.aws"),
            ("us-gov-west-1", True, False, "kinesis.us-gov-west-1.amazonaws.com"),
            ("us-gov-west-1", True, True, "kinesis-fips.us-gov-west-1.api.aws"),
            ("cn-north-1", False, False, "kinesis.cn-north-1.amazonaws.com.cn"),
            ("cn-north-1", True, False, "kinesis-fips.cn-north-1.amazonaws.com.cn"),
            ("cn-north-1", False, True, "kinesis.cn-north-1.api.amazonwebservices.com.cn"),
            ("cn-north-1", True, True, "kinesis-fips.cn-north-1.api.amazonwebservices.com.cn"),
            ("us-iso-east-1", False, False, "kinesis.us-iso-east-1.c2s.ic.gov"),
            ("us-isob-east-1", False, False, "kinesis.us-isob-east-1.sc2s.sgov.gov"),
        ],
    )
    def test_each_partition_has_its_names(
        self, aws: AwsEnvironment, region: str, host: str, *, fips: bool, dualstack: bool
    ) -> None:
        """By parameter, against what the variables say, and by variable alone."""
        aws.set(AWS_USE_FIPS_ENDPOINT=str(not fips).lower())
        aws.set(AWS_USE_DUALSTACK_ENDPOINT=str(not dualstack).lower())
        parameters = {"use_fips_endpoint": fips, "use_dualstack_endpoint": dualstack}
        assert hosts(region_name=region, **parameters) == both(host)
        aws.set(AWS_USE_FIPS_ENDPOINT=str(fips).lower())
        aws.set(AWS_USE_DUALSTACK_ENDPOINT=str(dualstack).lower())
        assert hosts(region_name=region) == both(host)

    def test_the_profile_says_it_too(self, aws: AwsEnvironment) -> None:
        """For who gives no parameter and sets no variable."""
        aws.configure("[default]\nuse_fips_endpoint = true\nuse_dualstack_endpoint = true\n")
        assert hosts(region_name="eu-west-1") == both("kinesis-fips.eu-west-1.api.aws")
        found = hosts(region_name="eu-west-1", use_fips_endpoint=False)
        assert found == both("kinesis.eu-west-1.api.aws")

    @pytest.mark.parametrize("by", ["parameter", "variable", "service's variable", "profile"])
    def test_a_custom_endpoint_is_taken_as_it_is(self, aws: AwsEnvironment, by: str) -> None:
        """Whoever names a host knows what it is."""
        parameters: dict[str, Any] = {}
        if by == "parameter":
            parameters["endpoint_url"] = "https://a.test"
        elif by == "profile":
            aws.configure("[default]\nendpoint_url = https://a.test\n")
        else:
            variable = "AWS_ENDPOINT_URL" if by == "variable" else "AWS_ENDPOINT_URL_KINESIS"
            aws.set(**{variable: "https://a.test"})
        found = hosts(
            stream_arn=arn(),
            account_id_endpoint=True,
            use_fips_endpoint=True,
            use_dualstack_endpoint=True,
            **parameters,
        )
        assert found == both("a.test")

    def test_configured_endpoints_can_be_ignored(self, aws: AwsEnvironment) -> None:
        """But not the one that is given by parameter."""
        aws.set(
            AWS_ENDPOINT_URL="https://a.test",
            AWS_ENDPOINT_URL_KINESIS="https://b.test",
            AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="true",
        )
        aws.configure("[default]\nendpoint_url = https://c.test\n")
        assert hosts(region_name="eu-west-1") == both("kinesis.eu-west-1.amazonaws.com")
        found = hosts(region_name="eu-west-1", endpoint_url="https://d.test")
        assert found == both("d.test")

    def test_an_endpoint_in_a_message_shows_no_password(self, aws: AwsEnvironment) -> None:
        """Wherever it was configured."""
        aws.set(AWS_ENDPOINT_URL="ftp://user:WORDSECRET@a.test")
        with pytest.raises(SetupError, match=r"a\.test") as caught:
            destinations(region_name="eu-west-1")
        assert caught.value.code == "InvalidEndpoint"
        assert "SECRET" not in str(caught.value)


class TestAccount:
    """The account's own hosts, for those who ask for them."""

    def test_the_region_s_host_is_the_default(self, aws: AwsEnvironment) -> None:
        """Two more names would have to be in every list of who may be reached."""
        aws.set(AWS_ACCOUNT_ID=ACCOUNT, AWS_ACCOUNT_ID_ENDPOINT_MODE="required")
        assert hosts(stream_arn=arn()) == both("kinesis.eu-west-1.amazonaws.com")
        assert hosts(region_name="eu-west-1") == both("kinesis.eu-west-1.amazonaws.com")

    @pytest.mark.parametrize(
        ("region", "partition", "ending"),
        [
            ("eu-west-1", "aws", "eu-west-1.amazonaws.com"),
            ("us-gov-west-1", "aws-us-gov", "us-gov-west-1.amazonaws.com"),
            ("cn-north-1", "aws-cn", "cn-north-1.amazonaws.com.cn"),
        ],
    )
    def test_by_the_stream_s_arn(self, region: str, partition: str, ending: str) -> None:
        """One for data and one for the rest."""
        found = hosts(stream_arn=arn(region, partition), account_id_endpoint=True)
        assert found == (f"{ACCOUNT}.data-kinesis.{ending}", f"{ACCOUNT}.control-kinesis.{ending}")

    def test_with_the_variants(self) -> None:
        """They go together."""
        found = hosts(
            stream_arn=arn(),
            account_id_endpoint=True,
            use_fips_endpoint=True,
            use_dualstack_endpoint=True,
        )
        assert found == (
            f"{ACCOUNT}.data-kinesis-fips.eu-west-1.api.aws",
            f"{ACCOUNT}.control-kinesis-fips.eu-west-1.api.aws",
        )

    def test_by_the_account_of_the_role(self) -> None:
        """Its keys belong to the account in its ARN; STS need not be asked for that."""
        session = AwsSession(
            Config(
                "app-logs",
                region_name="eu-west-1",
                role_arn="arn:aws:iam::999988887777:role/writer",
                account_id_endpoint=True,
            )
        )
        session._prepare()
        session._source = session._find_source()
        assert session.destinations().data.host == (
            "999988887777.data-kinesis.eu-west-1.amazonaws.com"
        )

    def test_by_the_account_of_the_credentials(self) -> None:
        """As far as they know it."""

        class WithAccount:
            """Keys that know their account, as later versions of botocore have them."""

            access_key, secret_key, token = "AKID", "secret", None
            account_id = ACCOUNT

        found = hosts(region_name="eu-west-1", account_id_endpoint=True, credentials=WithAccount())
        assert found[0] == f"{ACCOUNT}.data-kinesis.eu-west-1.amazonaws.com"

    def test_the_arn_s_account_is_the_stream_s(self, aws: AwsEnvironment) -> None:
        """Whoever writes to it."""
        aws.set(AWS_ACCOUNT_ID="999988887777")
        assert hosts(stream_arn=arn(), account_id_endpoint=True)[0].startswith(ACCOUNT)

    def test_without_an_account_it_is_the_region_s_host(self) -> None:
        """There is nothing to make a name of."""
        found = hosts(region_name="eu-west-1", account_id_endpoint=True)
        assert found == both("kinesis.eu-west-1.amazonaws.com")

    def test_a_partition_that_has_none(self) -> None:
        """The rules know."""
        found = hosts(stream_arn=arn("us-iso-east-1", "aws-iso"), account_id_endpoint=True)
        assert found == both("kinesis.us-iso-east-1.c2s.ic.gov")

    def test_an_arn_of_the_wrong_partition(self) -> None:
        """The rules say so."""
        with pytest.raises(SetupError, match="aws-cn") as caught:
            destinations(stream_arn=arn("eu-west-1", "aws-cn"), account_id_endpoint=True)
        assert caught.value.code == "InvalidEndpoint"

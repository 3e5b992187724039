"""Settings, credentials and signatures, as botocore finds and makes them."""

from __future__ import annotations

import logging
import shutil
import ssl
from typing import TYPE_CHECKING, Any

import certifi
import pytest

from kinesink.config import Config
from kinesink.shell import aws_session, wire
from kinesink.shell.aws_session import AwsSession, Destination, Keys
from kinesink.shell.credentials import SetupError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.shell.conftest import AwsEnvironment

#: 2026-01-02T03:04:05Z
NOW = 1767323045.0
BODY = b'{"StreamName":"s","Records":[{"Data":"aGVsbG8=","PartitionKey":"p"}]}'
KEYS = Keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None)


def session(**parameters: Any) -> AwsSession:  # noqa: ANN401 - whatever a Config takes
    """Return a session whose credentials have been found."""
    found = AwsSession(Config(**{"stream_name": "s", **parameters}))
    found.find_keys()
    return found


def destination(url: str = "https://kinesis.us-east-1.amazonaws.com/") -> Destination:
    """Return where the golden request goes."""
    return Destination("us-east-1", url, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


def sign(keys: Keys = KEYS, url: str | None = None, now: float = NOW) -> dict[str, str]:
    """Sign the golden request."""
    return aws_session.sign(
        keys,
        destination() if url is None else destination(url),
        headers=wire.request_headers("PutRecords", "json"),
        body=BODY,
        now=now,
    )


class TestSignature:
    """Signature version 4 of one POST."""

    def test_golden_signature(self) -> None:
        """Equal to what botocore's own client sends."""
        headers = sign()
        assert headers["X-Amz-Date"] == "20260102T030405Z"
        assert headers["Authorization"] == (
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/us-east-1/kinesis/aws4_request, "
            "SignedHeaders=content-type;host;x-amz-date;x-amz-target, "
            "Signature=7a6ba9200ccd5604aaa35710331e9a9022e35e65a78d0d39a1d8d02bb8ab5923"
        )

    def test_golden_signature_with_a_security_token(self) -> None:
        """Temporary credentials send and sign their token."""
        headers = sign(KEYS._replace(token="TOKEN"))
        assert headers["X-Amz-Security-Token"] == "TOKEN"
        assert headers["Authorization"].endswith(
            "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, "
            "Signature=318a0179526b8387530139f1d06af937920992ffe2da7b4f9891756c5ab12c7a"
        )

    def test_the_scheme_s_own_port_is_not_signed(self) -> None:
        """HTTP clients leave it out of the Host header."""
        assert sign(url="https://kinesis.us-east-1.amazonaws.com:443/") == sign()
        assert sign(url="https://kinesis.us-east-1.amazonaws.com:4567/") != sign()

    def test_nothing_about_a_signature_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        """A handler on the root logger at DEBUG would ship the security token."""
        with caplog.at_level(logging.DEBUG):
            sign(KEYS._replace(token="TOKEN"))
        assert not caplog.records

    def test_keys_do_not_show_in_their_repr(self) -> None:
        """Tracebacks with local variables end up in logs."""
        assert repr(KEYS) == "<Keys>"


class TestKeys:
    """The credentials that botocore's chain finds."""

    def test_from_the_environment(self, aws: AwsEnvironment) -> None:
        """The first link of the chain; such keys never end."""
        aws.set_keys("AKIDEXAMPLE", token="TOKEN")
        found = AwsSession(Config("s"))
        assert found.find_keys() == ("AKIDEXAMPLE", "secret", "TOKEN")
        assert not found.refresh_due()

    def test_from_the_profile_that_is_named(self, aws: AwsEnvironment) -> None:
        """As boto3 takes it."""
        aws.configure(
            "[profile other]\naws_access_key_id = AKIDOTHER\naws_secret_access_key = secret\n"
        )
        found = AwsSession(Config("s", profile_name="other"))
        assert found.find_keys().access_key == "AKIDOTHER"

    def test_none_at_all(self, aws: AwsEnvironment) -> None:
        """The code tells it from credentials that fail."""
        del aws
        with pytest.raises(SetupError, match="no AWS credentials") as caught:
            AwsSession(Config("s")).find_keys()
        assert caught.value.code == "NoCredentials"

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("[default]\ncredential_process = false\n", "custom-process"),
            ("[default\n", "config"),
            ("", "nobody"),
        ],
    )
    def test_a_provider_that_fails(self, aws: AwsEnvironment, text: str, reason: str) -> None:
        """A program with an error, a broken file, an unknown profile."""
        aws.configure(text)
        with pytest.raises(SetupError, match=reason) as caught:
            AwsSession(Config("s", profile_name=None if text else "nobody")).find_keys()
        assert caught.value.code == "CredentialsFailed"

    @pytest.mark.parametrize("token", ["TOKEN\n", "TO KEN", "TÖKEN"])
    def test_what_no_header_can_carry(self, aws: AwsEnvironment, token: str) -> None:
        """A secret's file often ends in a line break; the message does not show it."""
        aws.set_keys(token=token)
        with pytest.raises(SetupError, match="line break") as caught:
            AwsSession(Config("s")).find_keys()
        assert caught.value.code == "CredentialsFailed"
        assert "KEN" not in str(caught.value)


@pytest.fixture
def aws_with_keys(aws: AwsEnvironment) -> AwsEnvironment:
    """Return an environment with static credentials."""
    aws.set_keys()
    return aws


class TestRegion:
    """Where the region comes from."""

    def test_order(self, aws_with_keys: AwsEnvironment) -> None:
        """The argument, then botocore's own order, then the variable it does not know."""
        aws = aws_with_keys
        url = "http://localhost:4567"
        aws.set(AWS_REGION="eu-central-1")
        assert session(endpoint_url=url).destinations().data.region == "eu-central-1"
        aws.configure("[default]\nregion = eu-north-1\n")
        assert session(endpoint_url=url).destinations().data.region == "eu-north-1"
        aws.set(AWS_DEFAULT_REGION="eu-west-2")
        assert session(endpoint_url=url).destinations().data.region == "eu-west-2"
        region_by_argument = session(endpoint_url=url, region_name="eu-west-1")
        assert region_by_argument.destinations().data.region == "eu-west-1"

    def test_none(self, aws_with_keys: AwsEnvironment) -> None:
        """A signature needs one, even for an endpoint of one's own."""
        del aws_with_keys
        with pytest.raises(SetupError, match="no AWS region") as caught:
            session(endpoint_url="http://localhost:4567").destinations()
        assert caught.value.code == "NoRegion"


class TestEndpoint:
    """Where Kinesis is."""

    @pytest.mark.parametrize(
        ("variables", "url"),
        [
            ({}, "https://kinesis.us-east-1.amazonaws.com/"),
            ({"AWS_USE_FIPS_ENDPOINT": "true"}, "https://kinesis-fips.us-east-1.amazonaws.com/"),
            ({"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "https://kinesis.us-east-1.api.aws/"),
            ({"AWS_ENDPOINT_URL": "http://a:1"}, "http://a:1/"),
            (
                {"AWS_ENDPOINT_URL": "http://a:1", "AWS_ENDPOINT_URL_KINESIS": "http://b:1/path"},
                "http://b:1/path",
            ),
            ({"AWS_ENDPOINT_URL": "http://a:1", "AWS_USE_FIPS_ENDPOINT": "true"}, "http://a:1/"),
            (
                {"AWS_ENDPOINT_URL": "http://a:1", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
                "https://kinesis.us-east-1.amazonaws.com/",
            ),
        ],
    )
    def test_from_the_environment(
        self, aws_with_keys: AwsEnvironment, variables: dict[str, str], url: str
    ) -> None:
        """All of botocore's rules hold."""
        aws_with_keys.set(**variables)
        assert session(region_name="us-east-1").destinations().data.url == url

    def test_from_the_services_section_of_the_profile(self, aws_with_keys: AwsEnvironment) -> None:
        """It wins over the profile's general endpoint."""
        aws_with_keys.configure(
            "[default]\nservices = here\nendpoint_url = http://a:1\n"
            "[services here]\nkinesis =\n  endpoint_url = http://b:1\n"
        )
        assert session(region_name="us-east-1").destinations().data.url == "http://b:1/"

    def test_the_argument_wins(self, aws_with_keys: AwsEnvironment) -> None:
        """Over every variable, and over the switch that ignores them."""
        aws_with_keys.set(AWS_ENDPOINT_URL_KINESIS="http://a:1")
        aws_with_keys.set(AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="true", AWS_USE_FIPS_ENDPOINT="true")
        found = (
            session(region_name="us-east-1", endpoint_url="http://user:word@b:1")
            .destinations()
            .data
        )
        assert found.url == "http://user:word@b:1/"
        assert found.host == "b:1"

    def test_partitions_have_their_own_domains(self, aws_with_keys: AwsEnvironment) -> None:
        """China is not amazonaws.com."""
        del aws_with_keys
        url = session(region_name="cn-north-1").destinations().data.url
        assert url == "https://kinesis.cn-north-1.amazonaws.com.cn/"

    @pytest.mark.parametrize(
        ("region", "variables", "reason"),
        [
            ("no region!", {}, "no region!"),
            ("us-east-1", {"AWS_ENDPOINT_URL": "ftp://a"}, "no http or https URL: 'ftp://a'"),
            ("us-east-1", {"AWS_ENDPOINT_URL": "a:1"}, "a:1"),
            ("us-east-1", {"AWS_ENDPOINT_URL": "http://[::1"}, "Invalid IPv6 URL"),
            ("us-east-1", {"AWS_ENDPOINT_URL": "user:SEC RET@h"}, r"^\*\*\*@h"),
            ("us-east-1", {"AWS_ENDPOINT_URL": "https://user:SEC/RET@h"}, r"\*\*\*@h"),
        ],
    )
    def test_one_that_cannot_be(
        self, aws_with_keys: AwsEnvironment, region: str, variables: dict[str, str], reason: str
    ) -> None:
        """The code says what to look at."""
        aws_with_keys.set(**variables)
        with pytest.raises(SetupError, match=reason) as caught:
            session(region_name=region).destinations()
        assert caught.value.code == "InvalidEndpoint"


class TestTls:
    """Which certificates are trusted."""

    @staticmethod
    def context(url: str = "https://localhost:4567", **parameters: object) -> ssl.SSLContext:
        """Return the TLS settings that a configuration leads to."""
        found = session(region_name="us-east-1", endpoint_url=url, **parameters)
        return found.destinations().data.tls

    def test_by_default_those_httpx_trusts(self, aws_with_keys: AwsEnvironment) -> None:
        """Certifi's, or what SSL_CERT_FILE says."""
        del aws_with_keys
        context = self.context()
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.cert_store_stats()["x509_ca"] > 0

    def test_plain_http_reads_none(self, aws_with_keys: AwsEnvironment) -> None:
        """Reading them costs more than everything else at start."""
        del aws_with_keys
        assert self.context("http://localhost:4568").cert_store_stats()["x509_ca"] == 0

    def test_none_if_verification_is_off(self, aws_with_keys: AwsEnvironment) -> None:
        """For emulators with a certificate of their own, whatever bundle is configured."""
        aws_with_keys.set(AWS_CA_BUNDLE="/nowhere")
        context = self.context(verify=False)
        assert context.verify_mode is ssl.CERT_NONE
        assert not context.check_hostname

    def test_a_bundle_by_argument(self, aws_with_keys: AwsEnvironment) -> None:
        """It wins over the variables."""
        aws_with_keys.set(AWS_CA_BUNDLE="/nowhere")
        assert self.context(verify=certifi.where()).cert_store_stats()["x509_ca"] > 0

    def test_a_folder_of_certificates(self, aws_with_keys: AwsEnvironment, tmp_path: Path) -> None:
        """OpenSSL looks into it when it needs one."""
        del aws_with_keys
        assert self.context(verify=str(tmp_path)).verify_mode is ssl.CERT_REQUIRED

    @pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
    def test_a_bundle_from_the_environment(
        self, aws_with_keys: AwsEnvironment, tmp_path: Path, variable: str
    ) -> None:
        """Httpx knows neither variable."""
        bundle = tmp_path / "bundle.pem"
        shutil.copy(certifi.where(), bundle)
        aws_with_keys.set(**{variable: str(bundle)})
        assert self.context().cert_store_stats()["x509_ca"] > 0

    def test_a_bundle_that_cannot_be_read(self, aws_with_keys: AwsEnvironment) -> None:
        """The path is named."""
        aws_with_keys.set(AWS_CA_BUNDLE="/nowhere/bundle.pem")
        with pytest.raises(SetupError, match="/nowhere/bundle") as caught:
            self.context()
        assert caught.value.code == "ConnectError"

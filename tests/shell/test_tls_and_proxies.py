"""Trust and proxies, proved with certificates and tunnels on the loopback interface."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from kinesink.config import Config
from kinesink.core.records import Answered, Failure
from kinesink.shell.aws_session import AwsSession
from kinesink.shell.credentials import SetupError
from kinesink.shell.kinesis import KinesisClient
from kinesink.testing import FakeKinesis
from tests.shell.kinesis_calls import HELLO
from tests.shell.loopback import Authority, Proxy, kinesis, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.shell.conftest import AwsEnvironment

pytestmark = pytest.mark.usefixtures("signed")

ACCOUNT = "123456789012"
ARN = f"arn:aws:kinesis:eu-west-1:{ACCOUNT}:stream/s"
REGIONAL = "kinesis.eu-west-1.amazonaws.com"
OF_ACCOUNT = (
    f"{ACCOUNT}.data-kinesis.eu-west-1.amazonaws.com",
    f"{ACCOUNT}.control-kinesis.eu-west-1.amazonaws.com",
)


class Certificates:
    """An authority of one's own, and another one that nobody was told of."""

    def __init__(self, folder: Path) -> None:
        self._ours = trustme.CA()
        self.bundle = folder / "ours.pem"
        self.other_bundle = folder / "theirs.pem"
        self._ours.cert_pem.write_to_path(str(self.bundle))
        trustme.CA().cert_pem.write_to_path(str(self.other_bundle))

    def of(self, *names: str) -> ssl.SSLContext:
        """Return what a server of these names needs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ours.issue_cert(*names).configure_cert(context)
        return context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Return certificates for this file's servers."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def fake() -> FakeKinesis:
    """Return a fake with the stream of the ARN."""
    fake = FakeKinesis(region="eu-west-1", account=ACCOUNT)
    fake.create_stream("s", shards=1)
    return fake


@pytest.fixture
def port(fake: FakeKinesis, certificates: Certificates) -> Iterator[int]:
    """Serve the fake over TLS, under the names that Kinesis has, and on this machine."""
    with serving(kinesis(fake), certificates.of("127.0.0.1", REGIONAL, *OF_ACCOUNT)) as port:
        yield port


async def put(**parameters: Any) -> Answered | Failure:  # noqa: ANN401 - whatever a Config takes
    """Write a record with a client of its own."""
    async with KinesisClient(Config(stream_arn=ARN, **parameters)) as client:
        return await client.put_records("s", [HELLO], timeout=20)


class TestTrust:
    """Whose certificates are believed."""

    @staticmethod
    def trust(aws: AwsEnvironment, how: str, bundle: Path) -> dict[str, Any]:
        """Name a bundle in one of the ways there are."""
        if how == "parameter":
            return {"verify": str(bundle)}
        if how == "profile":
            aws.configure(f"[default]\nca_bundle = {bundle}\n")
        else:
            aws.set(**{how: str(bundle)})
        return {}

    @pytest.mark.parametrize(
        "how",
        ["parameter", "AWS_CA_BUNDLE", "profile", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"],
    )
    async def test_a_bundle_in_each_way(
        self, aws: AwsEnvironment, certificates: Certificates, port: int, how: str
    ) -> None:
        """The right one opens the connection, the wrong one does not."""
        url = f"https://127.0.0.1:{port}"
        right = self.trust(aws, how, certificates.bundle)
        assert isinstance(await put(endpoint_url=url, **right), Answered)
        wrong = self.trust(aws, how, certificates.other_bundle)
        failure = await put(endpoint_url=url, **wrong)
        assert isinstance(failure, Failure)
        assert failure.code == "ConnectError"
        assert "certificate verify failed" in failure.message.lower()

    @pytest.mark.parametrize(
        ("wins", "loses"),
        [
            ("parameter", "AWS_CA_BUNDLE"),
            ("AWS_CA_BUNDLE", "profile"),
            ("profile", "REQUESTS_CA_BUNDLE"),
            ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"),
        ],
    )
    async def test_which_bundle_wins(
        self, aws: AwsEnvironment, certificates: Certificates, port: int, wins: str, loses: str
    ) -> None:
        """The nearest to kinesink."""
        self.trust(aws, loses, certificates.other_bundle)
        parameters = self.trust(aws, wins, certificates.bundle)
        answered = await put(endpoint_url=f"https://127.0.0.1:{port}", **parameters)
        assert isinstance(answered, Answered)

    async def test_nobody_is_trusted_without_one(self, port: int) -> None:
        """An authority that is known to nobody signs for nobody."""
        failure = await put(endpoint_url=f"https://127.0.0.1:{port}")
        assert isinstance(failure, Failure)
        assert failure.code == "ConnectError"

    async def test_everybody_is_trusted_if_told_so(self, port: int) -> None:
        """For emulators."""
        answered = await put(endpoint_url=f"https://127.0.0.1:{port}", verify=False)
        assert isinstance(answered, Answered)

    async def test_the_name_has_to_be_right_too(
        self, certificates: Certificates, port: int
    ) -> None:
        """A certificate of the same authority for another host is no proof."""
        failure = await put(
            endpoint_url=f"https://localhost:{port}", verify=str(certificates.bundle)
        )
        assert isinstance(failure, Failure)
        assert "localhost" in failure.message


class TestProxy:
    """The way out of a closed network."""

    async def test_requests_go_through_a_tunnel_to_the_region_s_host(
        self, fake: FakeKinesis, certificates: Certificates, port: int
    ) -> None:
        """The proxy learns the host's name and nothing else."""
        with Proxy().running(target=port) as proxy:
            url = f"http://127.0.0.1:{proxy.port}"
            answered = await put(proxy=url, verify=str(certificates.bundle))
        assert isinstance(answered, Answered)
        assert proxy.requests == [f"CONNECT {REGIONAL}:443 HTTP/1.1"]
        assert "authorization" not in proxy.heads[0].lower()
        (call,) = fake.calls
        assert call.headers["host"] == REGIONAL
        assert call.body["StreamARN"] == ARN

    async def test_the_account_s_hosts_are_two(
        self, fake: FakeKinesis, certificates: Certificates, port: int
    ) -> None:
        """Data here, everything else there."""
        with Proxy().running(target=port) as proxy:
            config = Config(
                stream_arn=ARN,
                account_id_endpoint=True,
                proxy=f"http://127.0.0.1:{proxy.port}",
                verify=str(certificates.bundle),
            )
            async with KinesisClient(config) as client:
                assert not isinstance(await client.list_shards("s", timeout=20), Failure)
                assert isinstance(await client.put_records("s", [HELLO], timeout=20), Answered)
                summary = await client.describe_stream_summary("s", timeout=20)
                assert not isinstance(summary, Failure)
        data, control = OF_ACCOUNT
        assert [call.headers["host"] for call in fake.calls] == [control, data, control]
        assert {f"CONNECT {host}:443 HTTP/1.1" for host in OF_ACCOUNT} == set(proxy.requests)

    @pytest.mark.parametrize("scheme", ["http", "https"])
    async def test_the_proxy_may_want_to_know_who_comes(
        self, certificates: Certificates, port: int, scheme: str
    ) -> None:
        """User and password are in its URL; it may speak TLS itself."""
        tls = certificates.of("127.0.0.1") if scheme == "https" else None
        with Proxy(authorization="Basic dXNlcjp3b3Jk", tls=tls).running(target=port) as proxy:
            url = f"{scheme}://user:word@127.0.0.1:{proxy.port}"
            answered = await put(proxy=url, verify=str(certificates.bundle))
        assert isinstance(answered, Answered)

    @pytest.mark.parametrize("by", ["parameter", "https_proxy"])
    async def test_its_refusal_is_a_failure_without_the_password(
        self, aws: AwsEnvironment, port: int, by: str
    ) -> None:
        """Only the status is told."""
        with Proxy(authorization="Basic b3RoZXI6b3RoZXI=").running(target=port) as proxy:
            url = f"http://user:WORDSECRET@127.0.0.1:{proxy.port}"
            if by == "parameter":
                failure = await put(proxy=url)
            else:
                aws.set(https_proxy=url)
                failure = await put()
        assert isinstance(failure, Failure)
        assert failure.code == "ConnectError"
        assert "407" in failure.message
        assert REGIONAL in failure.message
        assert "SECRET" not in failure.message

    @pytest.mark.parametrize("by", ["parameter", "https_proxy"])
    async def test_one_that_is_not_there_is_a_failure_without_the_password(
        self, aws: AwsEnvironment, by: str
    ) -> None:
        """It fails like a host that is not there."""
        with Proxy().running(target=1) as proxy:
            pass
        url = f"http://user:WORDSECRET@127.0.0.1:{proxy.port}"
        if by == "parameter":
            failure = await put(proxy=url)
        else:
            aws.set(https_proxy=url)
            failure = await put()
        assert isinstance(failure, Failure)
        assert failure.code == "ConnectError"
        assert "SECRET" not in failure.message

    @pytest.mark.parametrize(
        "url",
        [
            "ftp://user:WORDSECRET@proxy",
            "http://user:WORD:SECRET@proxy:port",
            "socks5://user:WORDSECRET@proxy",
            "user:WORDSECRET@proxy:80:80",
        ],
    )
    async def test_one_that_cannot_be_is_a_failure(self, aws: AwsEnvironment, url: str) -> None:
        """Nothing is raised, and the text of the URL is not shown."""
        aws.set(https_proxy=url)
        failure = await put()
        assert isinstance(failure, Failure)
        assert failure.code == "ConnectError"
        assert "SECRET" not in failure.message

    @pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "all_proxy"])
    async def test_the_environment_names_one(
        self, aws: AwsEnvironment, certificates: Certificates, port: int, variable: str
    ) -> None:
        """As for every program."""
        with Proxy().running(target=port) as proxy:
            aws.set(**{variable: f"http://127.0.0.1:{proxy.port}"})
            answered = await put(verify=str(certificates.bundle))
        assert isinstance(answered, Answered)
        assert proxy.requests == [f"CONNECT {REGIONAL}:443 HTTP/1.1"]

    async def test_the_environment_excepts_hosts(
        self, aws: AwsEnvironment, certificates: Certificates, port: int
    ) -> None:
        """From its own proxy; what is given by parameter is meant for every host."""
        with Proxy().running(target=port) as proxy:
            url = f"http://127.0.0.1:{proxy.port}"
            aws.set(https_proxy=url, no_proxy="127.0.0.1")
            parameters = {
                "endpoint_url": f"https://127.0.0.1:{port}",
                "verify": str(certificates.bundle),
            }
            assert isinstance(await put(**parameters), Answered)
            assert proxy.requests == []
            assert isinstance(await put(proxy=url, **parameters), Answered)
            assert len(proxy.requests) == 1

    async def test_the_parameter_wins_over_the_environment(
        self, aws: AwsEnvironment, certificates: Certificates, port: int
    ) -> None:
        """And the environment's may even be unusable."""
        with Proxy().running(target=port) as proxy:
            aws.set(https_proxy="http://127.0.0.1:1")
            url = f"http://127.0.0.1:{proxy.port}"
            answered = await put(proxy=url, verify=str(certificates.bundle))
        assert isinstance(answered, Answered)

    @pytest.mark.parametrize("by", ["parameter", "profile"])
    def test_sts_is_asked_through_it(self, aws: AwsEnvironment, by: str) -> None:
        """Where Kinesis cannot be reached directly, STS cannot either."""
        role = "arn:aws:iam::111122223333:role/writer"
        parameters: dict[str, Any] = {"profile_name": "role"}
        if by == "parameter":
            parameters = {"role_arn": role}
        aws.configure(f"[profile role]\nrole_arn = {role}\ncredential_source = Environment\n")
        aws.set(AWS_ENDPOINT_URL_STS="http://sts.test")
        with Authority().running() as authority:
            authority.give("AKIDROLE")
            target = int(authority.url.rpartition(":")[2])
            with Proxy().running(target=target) as proxy:
                url = f"http://127.0.0.1:{proxy.port}"
                session = AwsSession(Config(stream_arn=ARN, proxy=url, **parameters))
                assert session.find_keys().access_key == "AKIDROLE"
        assert proxy.requests == ["POST http://sts.test/ HTTP/1.1"]

    def test_sts_behind_one_that_is_not_there_is_a_failure_without_the_password(
        self, aws: AwsEnvironment
    ) -> None:
        """As for Kinesis."""
        aws.set(AWS_ENDPOINT_URL_STS="http://sts.test", AWS_MAX_ATTEMPTS="1")
        with Proxy().running(target=1) as proxy:
            pass
        url = f"http://user:WORDSECRET@127.0.0.1:{proxy.port}"
        role = "arn:aws:iam::111122223333:role/writer"
        session = AwsSession(Config(stream_arn=ARN, proxy=url, role_arn=role))
        with pytest.raises(SetupError, match=str(proxy.port)) as caught:
            session.find_keys()
        assert caught.value.code == "CredentialsFailed"
        assert "SECRET" not in str(caught.value)

"""Keys from every source there is, found, refreshed and looked up anew over real sockets."""

from __future__ import annotations

import json
import random
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from botocore.credentials import RefreshableCredentials

from kinesink.config import Config
from kinesink.core.records import Answered, Failure
from kinesink.shell.aws_session import AwsSession
from kinesink.shell.credentials import SetupError, SignedRequest, Signer
from kinesink.shell.exit_safe import wait_finished
from kinesink.shell.kinesis import KinesisClient
from kinesink.testing import FakeKinesis
from tests.shell.kinesis_calls import HELLO
from tests.shell.loopback import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.shell.conftest import AwsEnvironment

ROLE = "arn:aws:iam::111122223333:role/writer"

#: How to ask the authority in a program.
PROGRAM = """\
import urllib.request
print(urllib.request.urlopen({url!r}).read().decode())
"""


@pytest.fixture
def authority() -> Iterator[Authority]:
    """Return whoever gives keys."""
    with Authority().running() as authority:
        yield authority


class World:
    """An environment in which one source gives keys."""

    def __init__(self, aws: AwsEnvironment, authority: Authority, folder: Path) -> None:
        self.aws = aws
        self.authority = authority
        self.folder = folder
        aws.set(AWS_ENDPOINT_URL_STS=authority.url)

    def config(self, source: str) -> Config:
        """Set the source up, and return the configuration that uses it."""
        parameters: dict[str, Any] = getattr(self, source)() or {}
        return Config(
            "s", region_name="eu-west-1", endpoint_url="http://kinesis.test", **parameters
        )

    def _own_keys(self) -> None:
        """Set the keys that assume a role."""
        self.aws.set_keys("AKIDSOURCE")

    def profile_with_a_role(self) -> None:
        """Let the profile name a role, on top of another profile's keys."""
        self.aws.configure(
            f"[default]\nrole_arn = {ROLE}\nsource_profile = base\n"
            "[profile base]\naws_access_key_id = AKIDSOURCE\naws_secret_access_key = secret\n"
        )

    def role_by_parameter(self) -> dict[str, Any]:
        """Let a parameter name a role on top of the environment's keys."""
        self._own_keys()
        return {"role_arn": ROLE, "role_session_name": "me", "external_id": "their-id"}

    def web_identity(self) -> None:
        """Give a role to who shows a token, as pods and workflows do."""
        token = self.folder / "token"
        token.write_text("a-web-token")
        self.aws.set(AWS_WEB_IDENTITY_TOKEN_FILE=str(token), AWS_ROLE_ARN=ROLE)

    def container(self) -> None:
        """Ask the container's own service."""
        token = self.folder / "token"
        token.write_text("a-container-token")
        self.aws.set(
            AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{self.authority.url}/container",
            AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(token),
        )

    def instance(self) -> None:
        """Ask the instance's metadata service, version 2."""
        self.aws.set(
            AWS_EC2_METADATA_DISABLED="false",
            AWS_EC2_METADATA_SERVICE_ENDPOINT=f"{self.authority.url}/",
        )

    def program(self) -> None:
        """Run a credential process."""
        script = self.folder / "program.py"
        script.write_text(PROGRAM.format(url=f"{self.authority.url}/program"))
        self.aws.configure(f"[default]\ncredential_process = {sys.executable} {script}\n")

    def function(self) -> dict[str, Any]:
        """Call a function of the application."""

        def provide() -> RefreshableCredentials:
            with urllib.request.urlopen(f"{self.authority.url}/function") as answer:  # noqa: S310 - ours
                found = json.load(answer)
            metadata = {
                "access_key": found["AccessKeyId"],
                "secret_key": found["SecretAccessKey"],
                "token": found["Token"],
                "expiry_time": found["Expiration"],
            }
            again = lambda: metadata  # noqa: E731 - it is asked again before this is
            return RefreshableCredentials.create_from_metadata(metadata, again, "test")

        return {"credentials": provide}


REFRESHABLE = [
    "profile_with_a_role",
    "role_by_parameter",
    "web_identity",
    "container",
    "instance",
    "program",
    "function",
]

each_source = pytest.mark.parametrize("source", REFRESHABLE)


@pytest.fixture
def world(
    aws: AwsEnvironment,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    """Return an environment without any source yet."""
    # botocore lets an instance's keys live for 15 minutes more, and 2 to 10 by chance, if
    # less is left of them. These would never look due here.
    monkeypatch.setattr(random, "randint", lambda _low, _high: -300)
    return World(aws, authority, tmp_path)


async def sign(signer: Signer) -> str:
    """Sign a request, which must succeed; return who signed."""
    signed = await signer.sign({}, b"body")
    assert isinstance(signed, SignedRequest)
    assert signed.headers["X-Amz-Security-Token"].startswith("token-of-")
    return signed.headers["X-Amz-Security-Token"].removeprefix("token-of-")


async def background_work(signer: Signer) -> None:
    """Wait for the refresh that no request waits for."""
    if signer._work is not None:
        await wait_finished(signer._work)


@each_source
async def test_requests_are_signed_with_the_keys_of_the_source(world: World, source: str) -> None:
    """One look serves every request."""
    world.authority.give("AKID1")
    signer = Signer(world.config(source), lambda: 0.0)
    assert [await sign(signer) for _ in range(3)] == ["AKID1"] * 3
    assert world.authority.given == 1


@each_source
async def test_a_refresh_ahead_of_time_delays_no_request(world: World, source: str) -> None:
    """However long the source takes: the keys still work."""
    world.authority.give("AKID1", seconds_left=800)
    signer = Signer(world.config(source), lambda: 0.0)
    assert await sign(signer) == "AKID1"
    world.authority.give("AKID2")
    world.authority.gate.clear()
    assert [await sign(signer) for _ in range(3)] == ["AKID1"] * 3
    world.authority.gate.set()
    await background_work(signer)
    assert await sign(signer) == "AKID2"


@pytest.mark.parametrize("source", [each for each in REFRESHABLE if each != "instance"])
async def test_a_refresh_at_the_last_moment_delays_requests_and_nothing_else(
    world: World, source: str
) -> None:
    """Keys that end on the way are no use. An instance's keys never get there."""
    world.authority.give("AKID1", seconds_left=30)
    signer = Signer(world.config(source), lambda: 0.0)
    await sign(signer)
    world.authority.give("AKID2")
    world.authority.gate.clear()
    given = world.authority.given
    signed: list[str] = []

    async def request() -> None:
        signed.append(await sign(signer))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(request)
        # This loop goes round, so nothing blocks it.
        for _ in range(20):
            await anyio.sleep(0.001)
        assert signed == []
        world.authority.gate.set()
    assert signed == ["AKID2"] * 3
    assert world.authority.given == given + 1


@each_source
async def test_many_requests_that_are_refused_cause_one_look_up(world: World, source: str) -> None:
    """Keys may end before their time; each request in flight learns it by itself."""
    fake = FakeKinesis(region="eu-west-1")
    fake.create_stream("s", shards=1)
    world.authority.give("AKID1")
    outcomes: list[Answered | Failure] = []

    async def put() -> None:
        outcomes.append(await client.put_records("s", [HELLO], timeout=30))

    async with KinesisClient(world.config(source), transport=fake.transport()) as client:
        await put()
        fake.expired_tokens.add("token-of-AKID1")
        world.authority.give("AKID2")
        given = world.authority.given
        for _ in range(2):
            async with anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(put)
    _, refused, done = outcomes[0], outcomes[1:9], outcomes[9:]
    assert {failure.code for failure in refused if isinstance(failure, Failure)} == {
        "ExpiredTokenException"
    }
    assert len(refused) == len(done) == 8
    assert all(isinstance(outcome, Answered) for outcome in (outcomes[0], *done))
    assert world.authority.given == given + 1


class TestRole:
    """What STS is asked."""

    @staticmethod
    def keys_of(world: World, **parameters: Any) -> AwsSession:  # noqa: ANN401 - whatever a Config takes
        """Return a session that has found keys."""
        session = AwsSession(Config("s", role_arn=ROLE, **parameters))
        world.authority.give("AKIDROLE")
        assert session.find_keys().access_key == "AKIDROLE"
        return session

    def test_the_whole_request(self, world: World) -> None:
        """Signed by who assumes the role."""
        world.aws.set_keys("AKIDSOURCE", token="a-token")
        self.keys_of(world, region_name="eu-west-1", role_session_name="me", external_id="theirs")
        (asked,) = world.authority.asked
        assert asked["Action"] == "AssumeRole"
        assert asked["RoleArn"] == ROLE
        assert asked["RoleSessionName"] == "me"
        assert asked["ExternalId"] == "theirs"
        assert "Credential=AKIDSOURCE/" in asked["authorization"]
        assert "/eu-west-1/sts/" in asked["authorization"]
        assert asked["x-amz-security-token"] == "a-token"

    def test_what_is_left_out(self, world: World) -> None:
        """The session has a name all the same."""
        world.aws.set_keys("AKIDSOURCE")
        self.keys_of(world, region_name="eu-west-1")
        (asked,) = world.authority.asked
        assert asked["RoleSessionName"] == "kinesink"
        assert "ExternalId" not in asked

    def test_on_top_of_given_keys(self, world: World) -> None:
        """The chain is not asked."""
        world.aws.set_keys("AKIDOTHER")
        self.keys_of(world, region_name="eu-west-1", credentials=("AKIDGIVEN", "secret"))
        assert "Credential=AKIDGIVEN/" in world.authority.asked[0]["authorization"]

    def test_on_top_of_a_role(self, world: World) -> None:
        """The profile's role assumes the other one."""
        world.profile_with_a_role()
        self.keys_of(world, region_name="eu-west-1")
        first, second = world.authority.asked
        assert "Credential=AKIDSOURCE/" in first["authorization"]
        assert "Credential=AKIDROLE/" in second["authorization"]

    @pytest.mark.parametrize("source", ["profile_with_a_role", "role_by_parameter"])
    def test_sts_is_asked_in_the_region_that_is_known(self, world: World, source: str) -> None:
        """Where AWS_REGION is all there is, botocore alone would know none."""
        world.config(source)
        world.aws.set(AWS_REGION="eu-north-1")
        world.authority.give("AKIDROLE")
        parameters: dict[str, Any] = {}
        if source == "role_by_parameter":
            parameters = {"role_arn": ROLE}
        AwsSession(Config("s", **parameters)).find_keys()
        assert "/eu-north-1/sts/" in world.authority.asked[0]["authorization"]

    def test_the_environment_s_region_is_sts_s_own_affair(self, world: World) -> None:
        """The stream may be elsewhere."""
        world.aws.set_keys("AKIDSOURCE")
        world.aws.set(AWS_DEFAULT_REGION="eu-north-1")
        self.keys_of(world, region_name="eu-west-1")
        assert "/eu-north-1/sts/" in world.authority.asked[0]["authorization"]

    def test_a_refusal_shows_no_secret(self, world: World) -> None:
        """STS repeats what it was sent, signature and token included, if that is wrong."""
        world.aws.set_keys("AKIDSOURCESOURCE", token="TOKENTOKENTOKENTOKEN")
        world.authority.refuse(
            "AKIDSOURCESOURCE with TOKENTOKENTOKENTOKEN may not. The Canonical String for this "
            "request should have been 'POST TOKENTOKENTOKENTOKEN'"
        )
        session = AwsSession(Config("s", region_name="eu-west-1", role_arn=ROLE))
        with pytest.raises(SetupError, match="AccessDenied") as caught:
            session.find_keys()
        assert caught.value.code == "CredentialsFailed"
        assert str(caught.value).endswith("operation: *** with *** may not.")

    def test_a_source_that_fails_fails_the_role(self, world: World) -> None:
        """With its own words."""
        del world
        session = AwsSession(
            Config("s", region_name="eu-west-1", role_arn=ROLE, credentials=("A KEY", "secret"))
        )
        with pytest.raises(SetupError, match="line break"):
            session.find_keys()

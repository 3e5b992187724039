"""Signing without waiting, while credentials are found, refreshed and refused."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import anyio
import orjson
import pytest

from kinesink.config import Config
from kinesink.core.records import Failure
from kinesink.shell import exit_safe
from kinesink.shell.credentials import SignedRequest, Signer
from kinesink.shell.exit_safe import wait_finished

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.shell.conftest import AwsEnvironment

CONFIG = Config("s", region_name="us-east-1", endpoint_url="http://localhost:4567")


class Clock:
    """Seconds since the epoch, moved by the test."""

    def __init__(self) -> None:
        self.now = 1_000_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Program:
    """A credential process: botocore runs it and refreshes what it prints."""

    def __init__(self, aws: AwsEnvironment, folder: Path) -> None:
        self._keys = folder / "keys.json"
        self._runs = folder / "runs"
        script = folder / "program"
        script.write_text(f"#!/bin/sh\necho run >> {self._runs}\nexec cat {self._keys}\n")
        script.chmod(0o755)
        aws.configure(f"[default]\ncredential_process = {script}\n")

    def prints(self, access_key: str, *, seconds_left: float) -> None:
        """Print these credentials from now on."""
        end = datetime.now(tz=timezone.utc) + timedelta(seconds=seconds_left)
        self._keys.write_bytes(
            orjson.dumps(
                {
                    "Version": 1,
                    "AccessKeyId": access_key,
                    "SecretAccessKey": "secret",
                    "SessionToken": f"token-of-{access_key}",
                    "Expiration": end.isoformat(),
                }
            )
        )

    def fails(self) -> None:
        """Fail from now on."""
        self._keys.unlink()

    @property
    def runs(self) -> int:
        """How often it was run."""
        return self._runs.read_text().count("run")


@pytest.fixture
def program(aws: AwsEnvironment, tmp_path: Path) -> Program:
    """Return a credential process that is the only source of credentials."""
    return Program(aws, tmp_path)


@pytest.fixture
def clock() -> Clock:
    """Return a clock at a round time."""
    return Clock()


async def sign(signer: Signer) -> SignedRequest:
    """Sign a request, which must succeed."""
    signed = await signer.sign({"Content-Type": "text/plain"}, b"body")
    assert isinstance(signed, SignedRequest)
    return signed


async def fail_to_sign(signer: Signer) -> Failure:
    """Sign a request, which must fail."""
    failure = await signer.sign({}, b"body")
    assert isinstance(failure, Failure)
    return failure


def access_key(signed: SignedRequest) -> str:
    """Return who signed."""
    return signed.headers["Authorization"].partition("Credential=")[2].partition("/")[0]


async def background_work(signer: Signer) -> None:
    """Wait for the refresh that nobody waits for, unless a request has already found it done."""
    if signer._work is not None:
        await wait_finished(signer._work)


def test_nothing_heavy_is_imported_before_the_first_request() -> None:
    """A program that never logs pays for neither botocore nor httpx."""
    script = (
        "import sys, kinesink.shell.kinesis as k, kinesink.config as c; "
        "k.KinesisClient(c.Config('s')); "
        "sys.exit(bool({'httpx', 'botocore'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0  # noqa: S603 - our own


async def test_the_first_request_finds_everything(aws: AwsEnvironment, clock: Clock) -> None:
    """Credentials, region and endpoint come with it."""
    aws.set_keys("AKIDEXAMPLEEXAMPLE", token="a token of some length")
    aws.set(AWS_SESSION_TOKEN="TOKENTOKENTOKENTOKEN")
    signer = Signer(CONFIG, clock)
    signed = await sign(signer)
    assert signer.destinations is not None
    assert signer.destinations.data is signed.destination
    assert signed.destination.url == "http://localhost:4567/"
    assert signed.body == b"body"
    assert signed.headers["X-Amz-Date"] == "20010909T014640Z"
    assert signed.secrets[:2] == ("TOKENTOKENTOKENTOKEN", "AKIDEXAMPLEEXAMPLE")
    assert signed.headers["Authorization"].endswith(signed.secrets[2])
    assert "TOKEN" not in repr(signed)


async def test_short_keys_of_emulators_are_no_secrets(aws: AwsEnvironment, clock: Clock) -> None:
    """Striking out "test" would spoil every message about "test-logs"."""
    aws.set_keys("test", token="test")
    signed = await sign(Signer(CONFIG, clock))
    assert len(signed.secrets) == 1


async def test_the_signature_carries_the_corrected_time(aws: AwsEnvironment, clock: Clock) -> None:
    """A clock that is off is learnt once and kept."""
    aws.set_keys()
    signer = Signer(CONFIG, clock)
    signer.correct_clock(clock.now + 3600)
    clock.now += 5
    assert (await sign(signer)).headers["X-Amz-Date"] == "20010909T024645Z"


async def test_requests_that_need_credentials_share_one_look_up(
    program: Program, clock: Clock
) -> None:
    """Eight requests at start run the provider once."""
    program.prints("AKID1", seconds_left=3600)
    signer = Signer(CONFIG, clock)
    found: list[str] = []

    async def request() -> None:
        found.append(access_key(await sign(signer)))

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(request)
    assert found == ["AKID1"] * 8
    assert program.runs == 1


async def test_a_look_up_outlives_the_request_that_began_it(
    program: Program, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider slower than a request's deadline still serves the next request."""
    program.prints("AKID1", seconds_left=3600)
    held: list[Callable[[], None]] = []

    class HeldThread:
        def __init__(
            self, *, target: Callable[..., None], args: tuple[object, ...], **_: object
        ) -> None:
            held.append(lambda: target(*args))

        def start(self) -> None:
            pass

    signer = Signer(CONFIG, clock)
    with monkeypatch.context() as patch:
        patch.setattr(exit_safe, "Thread", HeldThread)
        with anyio.move_on_after(0) as scope:
            await sign(signer)
    assert scope.cancelled_caught
    await exit_safe.run_in_thread(held[0])
    assert access_key(await sign(signer)) == "AKID1"
    assert program.runs == 1


async def test_failures_of_the_look_up_are_data(
    aws: AwsEnvironment, program: Program, clock: Clock
) -> None:
    """The next request looks again: a mounted secret may come late."""
    program.prints("AKID1", seconds_left=3600)
    program.fails()
    signer = Signer(CONFIG, clock)
    failure = await fail_to_sign(signer)
    assert failure.code == "CredentialsFailed"
    assert failure.status is None
    aws.configure("")
    assert (await fail_to_sign(signer)).code == "NoCredentials"
    aws.set_keys("AKID2")
    assert access_key(await sign(signer)) == "AKID2"


async def test_credentials_go_on_serving_while_an_early_refresh_runs(
    program: Program, clock: Clock
) -> None:
    """No request waits for a refresh that is not urgent."""
    program.prints("AKID1", seconds_left=800)
    signer = Signer(CONFIG, clock)
    await sign(signer)
    runs = program.runs
    program.prints("AKID2", seconds_left=3600)
    assert access_key(await sign(signer)) == "AKID1"
    await background_work(signer)
    assert access_key(await sign(signer)) == "AKID2"
    assert access_key(await sign(signer)) == "AKID2"
    assert program.runs == runs + 1


async def test_credentials_that_live_short_are_not_refreshed_at_every_request(
    program: Program, clock: Clock
) -> None:
    """They always look due; once a minute is enough."""
    program.prints("AKID1", seconds_left=800)
    signer = Signer(CONFIG, clock)
    await sign(signer)
    runs = program.runs
    await sign(signer)
    await sign(signer)
    await background_work(signer)
    await sign(signer)
    await sign(signer)
    await background_work(signer)
    assert program.runs == runs + 1
    clock.now += 61
    await sign(signer)
    await background_work(signer)
    assert program.runs == runs + 2


async def test_an_early_refresh_that_fails_harms_nobody(program: Program, clock: Clock) -> None:
    """The old credentials serve on, even past botocore's mandatory refresh."""
    program.prints("AKID1", seconds_left=300)
    signer = Signer(CONFIG, clock)
    await sign(signer)
    program.fails()
    await sign(signer)
    with pytest.raises(Exception, match="custom-process"):
        await background_work(signer)
    assert access_key(await sign(signer)) == "AKID1"


async def test_requests_wait_for_a_refresh_at_the_last_moment(
    program: Program, clock: Clock
) -> None:
    """Credentials that may end on the way are not sent."""
    program.prints("AKID1", seconds_left=30)
    signer = Signer(CONFIG, clock)
    await sign(signer)
    program.prints("AKID2", seconds_left=3600)
    assert access_key(await sign(signer)) == "AKID2"


async def test_a_refresh_at_the_last_moment_that_fails_is_data(
    program: Program, clock: Clock
) -> None:
    """There is nothing to sign with any more."""
    program.prints("AKID1", seconds_left=30)
    signer = Signer(CONFIG, clock)
    await sign(signer)
    program.fails()
    assert (await fail_to_sign(signer)).code == "CredentialsFailed"


async def test_refused_credentials_are_looked_up_anew(aws: AwsEnvironment, clock: Clock) -> None:
    """Static keys are rotated too, and botocore would keep the old ones for ever."""
    aws.set_keys("AKID1")
    signer = Signer(CONFIG, clock)
    refused = await sign(signer)
    aws.set_keys("AKID2")
    assert access_key(await sign(signer)) == "AKID1"
    signer.reject(refused.generation)
    assert access_key(await sign(signer)) == "AKID2"


async def test_many_refusals_of_the_same_credentials_cause_one_look_up(
    program: Program, clock: Clock
) -> None:
    """Requests in flight carry a generation; old news is no news."""
    program.prints("AKID1", seconds_left=3600)
    signer = Signer(CONFIG, clock)
    refused = [await sign(signer) for _ in range(3)]
    signer.reject(refused[0].generation)
    signer.reject(refused[1].generation)
    await sign(signer)
    signer.reject(refused[2].generation)
    await sign(signer)
    assert program.runs == 2


def test_a_refusal_before_any_credentials_means_nothing(clock: Clock) -> None:
    """It cannot be about ours."""
    signer = Signer(CONFIG, clock)
    signer.reject(0)
    assert signer.destinations is None

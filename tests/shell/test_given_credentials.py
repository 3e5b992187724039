"""Keys that the application gives instead of letting them be found."""

from __future__ import annotations

import threading
from itertools import count
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from botocore.credentials import Credentials

from kinesink.config import Config
from kinesink.core.records import Failure
from kinesink.shell.aws_session import AwsSession
from kinesink.shell.credentials import SetupError, SignedRequest, Signer
from kinesink.shell.kinesis import KinesisClient
from kinesink.shell.registry import acquire, release
from tests.shell.kinesis_calls import HELLO

if TYPE_CHECKING:
    from tests.shell.conftest import AwsEnvironment


async def sign(signer: Signer) -> str:
    """Sign a request, which must succeed; return the token it was signed with."""
    signed = await signer.sign({}, b"body")
    assert isinstance(signed, SignedRequest)
    return signed.headers["X-Amz-Security-Token"]


class Named:
    """Keys by name, and nothing else."""

    access_key = "AKIDNAMED"
    secret_key = "secret"
    token: str | None = None


class TestGiven:
    """Keys that the application gives."""

    @pytest.mark.parametrize(
        ("given", "keys"),
        [
            (("AKID", "secret"), ("AKID", "secret", None)),
            (("AKID", "secret", "token"), ("AKID", "secret", "token")),
            (Credentials("AKID", "secret", "token"), ("AKID", "secret", "token")),
            (Credentials("AKID", "secret").get_frozen_credentials(), ("AKID", "secret", None)),
            (Named(), ("AKIDNAMED", "secret", None)),
            (lambda: ("AKID", "secret"), ("AKID", "secret", None)),
            (Named, ("AKIDNAMED", "secret", None)),
        ],
    )
    def test_each_form(self, aws: AwsEnvironment, given: Any, keys: object) -> None:  # noqa: ANN401 - any form
        """They win over what could be found."""
        aws.set_keys("AKIDOTHER")
        session = AwsSession(Config("s", credentials=given))
        assert session.find_keys() == keys
        assert not session.refresh_due()

    @pytest.mark.parametrize(
        "given",
        [None, (), ("WORDSECRET",), ("A",) * 4, ("A", 7), ("A", "WORDSECRET", 7), "WORDSECRET"],
    )
    def test_a_function_that_returns_no_keys(self, aws: AwsEnvironment, given: object) -> None:
        """Its result is not shown."""
        del aws
        session = AwsSession(Config("s", credentials=lambda: given))  # type: ignore[arg-type,return-value]  # what is refused
        with pytest.raises(SetupError, match=r"of the wrong form: [a-zA-Z]+ instead of") as caught:
            session.find_keys()
        assert caught.value.code == "CredentialsFailed"
        assert "SECRET" not in str(caught.value)

    def test_a_function_that_raises(self, aws: AwsEnvironment) -> None:
        """Its error is told."""
        del aws

        def provide() -> tuple[str, str]:
            raise KeyError("vault")

        with pytest.raises(SetupError, match="KeyError: 'vault'"):
            AwsSession(Config("s", credentials=provide)).find_keys()

    def test_what_it_raises_shows_no_password_of_a_url(self, aws: AwsEnvironment) -> None:
        """Vaults and databases have some in theirs."""
        del aws

        def provide() -> tuple[str, str]:
            raise OSError("no answer from https://user:WORDSECRET@vault.test/v1")

        with pytest.raises(SetupError, match=r"no answer from https://.*vault\.test/v1") as caught:
            AwsSession(Config("s", credentials=provide)).find_keys()
        assert "SECRET" not in str(caught.value)

    async def test_a_function_is_called_in_a_thread_and_again_when_its_keys_are_refused(
        self, aws: AwsEnvironment
    ) -> None:
        """It may block; it is not called before the first request."""
        aws.set(AWS_REGION="eu-west-1")
        calls: list[int] = []

        def provide() -> tuple[str, str, str]:
            calls.append(threading.get_ident())
            return (f"AKID{len(calls)}", "secret", f"token-of-AKID{len(calls)}")

        signer = Signer(Config("s", endpoint_url="http://a", credentials=provide), lambda: 0.0)
        assert calls == []
        assert [await sign(signer) for _ in range(2)] == ["token-of-AKID1"] * 2
        signer.reject(0)
        assert [await sign(signer) for _ in range(2)] == ["token-of-AKID2"] * 2
        assert len(calls) == 2
        assert threading.get_ident() not in calls

    async def test_a_function_is_asked_again_when_its_keys_end(self, aws: AwsEnvironment) -> None:
        """Whatever it returned last may be frozen; it knows the way to new ones."""
        aws.set(AWS_REGION="eu-west-1")

        class Ending(Named):
            """Keys that say that they end."""

            def __init__(self, number: int) -> None:
                self.token = f"token-{number}"

            def refresh_needed(self, within: float | None) -> bool:
                """Say that they end at once, but for the second ones."""
                del within
                return self.token != "token-2"

        numbers = count(1)
        signer = Signer(
            Config("s", endpoint_url="http://a", credentials=lambda: Ending(next(numbers))),
            lambda: 0.0,
        )
        assert [await sign(signer) for _ in range(3)] == ["token-1", "token-2", "token-2"]

    @pytest.mark.parametrize("needed", [True, lambda: True, lambda _: 1 / 0])
    async def test_an_object_that_cannot_say_whether_it_ends_does_not(
        self, aws: AwsEnvironment, needed: object
    ) -> None:
        """It is the application's own, and asked in the event loop: it costs no event."""
        aws.set(AWS_REGION="eu-west-1")

        class Odd(Named):
            """Keys whose refresh_needed is not what botocore's is."""

            def __init__(self) -> None:
                self.token = "fixed"
                self.refresh_needed = needed

        signer = Signer(Config("s", endpoint_url="http://a", credentials=Odd()), lambda: 0.0)
        assert [await sign(signer) for _ in range(2)] == ["fixed", "fixed"]

    async def test_keys_in_a_message_are_struck_out(self, aws: AwsEnvironment) -> None:
        """An answer may repeat what it was sent."""
        aws.set(AWS_REGION="eu-west-1")

        def echo(request: httpx.Request) -> httpx.Response:
            text = " / ".join(request.headers.values())
            return httpx.Response(400, json={"__type": "Odd", "message": text})

        keys = ("AKIDSECRETSECRET", "WORDSECRETSECRET", "TOKENSECRETSECRET")
        config = Config("s", endpoint_url="http://a", credentials=keys)
        async with KinesisClient(config, transport=httpx.MockTransport(echo)) as client:
            failure = await client.put_records("s", [HELLO], timeout=20)
        assert isinstance(failure, Failure)
        assert "Credential=***/" in failure.message
        assert "SECRET" not in failure.message


class TestSharing:
    """Sinks are shared by configuration, keys included."""

    def test_equal_keys_share_a_sink_and_others_do_not(self) -> None:
        """Two tenants must not write with each other's keys."""
        sinks = [
            acquire(Config("s", credentials=keys), self)
            for keys in (("AKID", "secret"), ("AKID", "secret"), ("AKID", "other"), Named, None)
        ]
        try:
            assert sinks[0] is sinks[1]
            assert len({id(sink) for sink in sinks}) == 4
        finally:
            for sink in sinks:
                release(sink, self)

"""``kinesink doctor`` against a stream: what it finds, what it advises, and how it ends."""

from __future__ import annotations

import json
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from kinesink.cli.doctor import way
from kinesink.cli.doctor.results import Verdict
from kinesink.cli.doctor.service import Service
from kinesink.cli.doctor.subject import Subject, is_loopback
from kinesink.cli.doctor.table import CHECKS
from kinesink.config import Config
from kinesink.core.limits import KIB
from kinesink.core.records import Failure
from kinesink.decode import deaggregate
from kinesink.shell.aws_session import Destination, Destinations
from kinesink.shell.exchange import Answer
from kinesink.testing import (
    AUTO,
    AccessDenied,
    FailEntries,
    FakeKinesis,
    Hang,
    RawAnswer,
    RequestError,
    Rewrite,
)
from tests.cli.commands import PATIENCE, Terminal, run, start
from tests.cli.endpoints import REFUSED, kinesis, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from kinesink.testing import Call, Fault

ALL = [check.name for check in CHECKS]
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
JSON = "application/x-amz-json-1.1"

#: Each runs the whole of it, and most send a probe.
pytestmark = pytest.mark.slow


class Clock:
    """The time of the service."""

    ahead = 0.0

    def __call__(self) -> float:
        """Return it."""
        return time.time() + self.ahead


@pytest.fixture
def fake() -> FakeKinesis:
    """Return a service with a stream of four shards, which looks at clocks."""
    fake = FakeKinesis(clock=Clock(), check_clock=True)
    fake.create_stream("s", shards=4)
    return fake


@pytest.fixture(autouse=True)
def url(fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return its endpoint, which the environment tells as well."""
    with kinesis(
        fake,
        monkeypatch,
        AWS_ACCESS_KEY_ID="AKIAIOSFODNN7EXAMPLE",
        AWS_SECRET_ACCESS_KEY=SECRET,
        AWS_REGION="eu-west-1",
        # However busy the machine is.
        KINESINK_REQUEST_TIMEOUT=f"{PATIENCE:g}",
        KINESINK_CONNECT_TIMEOUT=f"{PATIENCE:g}",
    ) as endpoint_url:
        yield endpoint_url


def shift(fake: FakeKinesis, seconds: float) -> None:
    """Set the clock of the service."""
    assert isinstance(fake.clock, Clock)
    fake.clock.ahead = seconds


class Found(dict[str, dict[str, Any]]):
    """The checks of one run, by their names."""

    status = 0
    whole: Mapping[str, Any]

    def verdicts(self, verdict: str) -> list[str]:
        """Return the names of the checks with a verdict."""
        return [name for name, check in self.items() if check["verdict"] == verdict]

    def text(self, name: str) -> str:
        """Return what a check says, and its next step."""
        return f"{self[name]['text']} → {self[name]['next_step']}"


def examined(*arguments: str, **variables: str) -> Found:
    """Run it and return what it has found; whatever it says holds no secret."""
    ran = run("doctor", "s", "--json", *arguments, **variables)
    assert SECRET not in ran.out + ran.err
    whole = json.loads(ran.out)
    found = Found({check["check"]: check for check in whole["checks"]})
    found.status, found.whole = ran.status, whole
    return found


class TestAllIsWell:
    """A stream that can be written to and read."""

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_everything_is_looked_at(self, fake: FakeKinesis, backend: str) -> None:
        """And the probe, which says what it is, comes back out of an aggregated record."""
        found = examined(KINESINK_BACKEND=backend)
        assert list(found) == ALL
        assert found.verdicts("skipped") == ["identity"]
        assert found.verdicts("ok") == [name for name in ALL if name != "identity"]
        assert (found.status, found.whole["verdict"]) == (0, "ok")
        (record,) = fake.records("s")
        first, second = (json.loads(event.data) for event in deaggregate(record.data))
        assert "a probe of kinesink doctor" in first["message"]
        assert (first["attributes"]["number"], second["attributes"]["number"]) == (1, 2)
        assert found["probe"]["shard_id"] == record.shard_id
        assert found["read back"]["events"] == 2

    def test_people_get_lines(self) -> None:
        """One for each check, and how many ended how."""
        ran = run("doctor", "s")
        assert (ran.status, ran.err) == (0, "")
        lines = ran.out.splitlines()
        assert lines[0] == (
            "ok       credentials            found in the environment variables "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
        assert "ok       capacity               4 open shards: 4 MiB/s, 4,000 records/s" in lines
        assert lines[-1] == "16 ok, 1 skipped."

    def test_without_the_probe_nothing_is_written(self, fake: FakeKinesis) -> None:
        """PutRecords is tried as a dry run."""
        found = examined("--no-probe")
        assert list(found) == ALL[:-2]
        assert (found.status, found["PutRecords"]["dry_run"]) == (0, True)
        assert not fake.records("s")

    @pytest.mark.parametrize(("framing", "events"), [("lines", 2), ("none", 1)])
    def test_the_configured_framing_is_tried(
        self, fake: FakeKinesis, framing: str, events: int
    ) -> None:
        """As an application with these variables has it."""
        found = examined(KINESINK_FRAMING=framing)
        assert (found.status, found["read back"]["verdict"]) == (0, "ok")
        assert found["read back"]["events"] == events
        assert b"a probe" in fake.records("s")[0].data

    def test_what_keeps_events_elsewhere_does_not_keep_the_probe(
        self, fake: FakeKinesis, tmp_path: Path
    ) -> None:
        """A spool stays untouched."""
        found = examined(KINESINK_SPOOL_PATH=str(tmp_path), KINESINK_SPOOL_MODE="always")
        assert found.status == 0
        assert fake.records("s")
        assert not list(tmp_path.iterdir())

    def test_a_stream_by_its_arn(self) -> None:
        """Its region counts."""
        arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s"
        ran = run("doctor", arn, "--json")
        whole = json.loads(ran.out)
        assert (ran.status, whole["stream"]) == (0, arn)
        assert whole["checks"][1]["region"] == "us-east-1"

    def test_a_program_of_its_own(self) -> None:
        """With the exit status of all commands."""
        with start("doctor", "s") as program:
            out, err = program.communicate(timeout=PATIENCE)
        assert (program.returncode, err) == (0, "")
        assert out.endswith("16 ok, 1 skipped.\n")

    def test_a_terminal_gets_colours(self) -> None:
        """Green for what is well."""
        terminal = Terminal("doctor", "s", "--no-probe")
        assert terminal.end() == 0
        assert "\x1b[32mok " in terminal.screen


class TestTheWay:
    """Credentials, region, endpoint, TLS and clock."""

    def test_no_credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The endpoint is looked at all the same."""
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        found = examined()
        assert found.status == 1
        assert found.verdicts("failed") == ["credentials"]
        assert found.verdicts("ok") == ["region", "endpoint", "TLS", "clock"]
        assert found["credentials"]["code"] == "NoCredentials"
        assert "set AWS_PROFILE" in found["credentials"]["next_step"]
        assert found["stream"]["text"] == "needs credentials"

    def test_an_unknown_profile(self) -> None:
        """Neither credentials nor a region."""
        found = examined("--profile", "nobody")
        assert found.verdicts("failed") == ["credentials", "region"]
        assert "(nobody) could not be found" in found.text("region")

    def test_no_region(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Named as such."""
        monkeypatch.delenv("AWS_REGION")
        found = examined()
        assert found.verdicts("failed") == ["region"]
        assert "name a --region" in found.text("region")
        assert found.whole["stream"] == "arn:aws:kinesis:REGION:ACCOUNT:stream/s"

    @pytest.mark.parametrize(
        ("region", "partition"), [("cn-north-1", "aws-cn"), ("nowhere", "aws")]
    )
    def test_the_policy_is_for_the_partition(self, region: str, partition: str) -> None:
        """Of the region, as far as it is known."""
        stream = examined("--no-probe", "--region", region).whole["stream"]
        assert stream == f"arn:{partition}:kinesis:{region}:ACCOUNT:stream/s"

    def test_nobody_listens(self) -> None:
        """Nothing else is tried."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        found = examined("--endpoint-url", f"http://127.0.0.1:{port}")
        assert found.verdicts("failed") == ["endpoint"]
        assert found["endpoint"]["code"] == "ConnectError"
        assert "firewall" in found["endpoint"]["next_step"]
        assert found["TLS"]["text"] == "needs endpoint"

    def test_nobody_answers(self) -> None:
        """For as long as a request may take."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            found = examined("--endpoint-url", url, KINESINK_REQUEST_TIMEOUT="0.3")
        assert found.verdicts("failed") == ["endpoint"]
        assert "no complete answer" in found.text("endpoint")

    def test_a_proxy_that_is_none(self) -> None:
        """Told without its text, which may hold a password."""
        found = examined(HTTP_PROXY="gopher://user:word@x", NO_PROXY="", no_proxy="")
        assert found.verdicts("failed") == ["endpoint"]
        assert "the proxy" in found["endpoint"]["text"]
        assert "word" not in found.text("endpoint")

    def test_what_answers_is_no_kinesis(self) -> None:
        """Said by the first call."""
        with serving((404, "<html><title>Nothing here</title></html>")) as port:
            found = examined("--endpoint-url", f"http://127.0.0.1:{port}")
        assert found["endpoint"]["verdict"] == "ok"
        assert found["DescribeStreamSummary"]["code"] == "HTTP 404"
        assert "Nothing here" in found.text("DescribeStreamSummary")

    def test_a_certificate(self, tmp_path: Path) -> None:
        """Trusted, not trusted, and not looked at."""
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        bundle = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(str(bundle))
        with serving((403, ""), context) as port:
            at = ("--endpoint-url", f"https://127.0.0.1:{port}")
            unknown, known, unseen = (
                examined(*at),
                examined(*at, KINESINK_VERIFY=str(bundle)),
                examined(*at, KINESINK_VERIFY="false"),
            )
        assert unknown["endpoint"]["text"] == f"127.0.0.1:{port} takes connections"
        assert unknown.verdicts("failed") == ["TLS"]
        assert "AWS_CA_BUNDLE" in unknown["TLS"]["next_step"]
        assert known["TLS"]["text"] == "the certificate is verified"
        assert unseen["TLS"]["verdict"] == "warning"

    @pytest.mark.parametrize(("ahead", "verdict"), [(-60, "warning"), (3600, "failed")])
    def test_a_clock_that_is_off(self, fake: FakeKinesis, ahead: float, verdict: str) -> None:
        """Kinesink corrects its signatures, so all else is well."""
        shift(fake, ahead)
        found = examined()
        assert found.verdicts(verdict) == ["clock"]
        assert found.status == (verdict == "failed")
        assert abs(found["clock"]["seconds"] + ahead) < 20
        assert ("behind" if ahead > 0 else "ahead of") in found["clock"]["text"]
        assert "NTP" in found["clock"]["next_step"]
        assert found["read back"]["verdict"] == "ok"


def subject_at(url: str, hello: Answer | Failure) -> Subject:
    """Return what is known when somebody has answered at a URL."""
    subject = Subject(Config("s", region_name="eu-west-1"))
    where = Destination("eu-west-1", url, ssl.create_default_context())
    subject.destinations = Destinations(where, where)
    subject.hello, subject.hello_at = hello, time.time()
    return subject


async def test_plain_http_to_another_machine_is_told() -> None:
    """Everybody on the way reads the events."""
    result = await way.tls(subject_at("http://kinesis.example/", Answer(403, {}, b"")))
    assert result.verdict is Verdict.WARNING
    assert "https" in result.step


async def test_an_answer_without_a_date_tells_nothing_of_the_clock() -> None:
    """A proxy may have taken it away."""
    for hello in (Answer(403, {}, b""), Failure("ConnectError", "")):
        result = await way.clock(subject_at("https://kinesis.example/", hello))
        assert result.verdict is Verdict.WARNING


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.8.9.1:80/", True),
        ("http://[::1]/", True),
        ("http://localhost:4567/", True),
        ("http://kinesis.localhost/", True),
        ("https://kinesis.eu-west-1.amazonaws.com/", False),
        ("http://10.0.0.1/", False),
    ],
)
def test_what_is_this_machine(url: str, here: bool) -> None:  # noqa: FBT001 - a parameter of a test
    """By address or by name."""
    assert is_loopback(url) is here


async def test_a_call_without_credentials_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be gone since they were looked for."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    service = Service(Config("s", region_name="eu-west-1"))
    found = await service.ask("GetRecords", {})
    await service.aclose()
    assert isinstance(found, Failure)
    assert found.code == "NoCredentials"


async def test_an_answer_that_hangs(fake: FakeKinesis, url: str) -> None:
    """Is waited for as long as a request may take."""
    fake.script(Hang())
    config = Config("s", region_name="eu-west-1", endpoint_url=url, request_timeout=0.2)
    service = Service(config)
    found = await service.ask("GetRecords", {"ShardIterator": "any"})
    await service.aclose()
    assert isinstance(found, Failure)
    assert (found.code, "in 0.2 s" in found.message) == ("ReadTimeout", True)


class TestIdentity:
    """Whose credentials they are, as STS says."""

    def test_it_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """And the policy is for the account."""
        with serving() as port:
            monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{port}")
            found = examined("--no-probe")
        assert found["identity"]["arn"] == "arn:aws:sts::210987654321:assumed-role/writer/shop"
        assert found.whole["stream"] == "arn:aws:kinesis:eu-west-1:210987654321:stream/s"

    def test_a_role_is_assumed_as_the_library_does(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With what was found."""
        role = "arn:aws:iam::210987654321:role/writer"
        with serving() as port:
            monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{port}")
            found = examined("--no-probe", KINESINK_ROLE_ARN=role)
        assert found.status == 0
        assert found["credentials"]["text"].startswith(f"found in {role}, assumed with keys from")

    def test_credentials_that_aws_does_not_know(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Are a failure."""
        with serving(REFUSED) as port:
            monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{port}")
            found = examined("--no-probe")
        assert found.verdicts("failed") == ["identity"]
        assert found["identity"]["code"] == "InvalidClientTokenId"
        assert "get new credentials" in found["identity"]["next_step"]

    @pytest.mark.parametrize("answer", [(500, "<html/>"), (200, "<nothing/>"), (200, "no XML")])
    def test_no_answer_of_use(
        self, monkeypatch: pytest.MonkeyPatch, answer: tuple[int, str]
    ) -> None:
        """Is no failure, because writing does not need it."""
        with serving(answer) as port:
            monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{port}")
            found = examined("--no-probe")
        assert (found.status, found["identity"]["verdict"]) == (0, "warning")

    def test_settings_that_cannot_be_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Likewise."""
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "nonsense")
        found = examined("--no-probe")
        assert (found.status, found["identity"]["verdict"]) == (0, "warning")


class TestPermissions:
    """One call for each."""

    @pytest.mark.parametrize(
        ("operation", "failed", "warned"),
        [
            (
                "DescribeStreamSummary",
                ["DescribeStreamSummary"],
                ["stream", "record distribution", "record size"],
            ),
            ("ListShards", ["ListShards"], []),
            ("PutRecords", ["PutRecords"], []),
            ("GetShardIterator", [], ["GetShardIterator"]),
            ("GetRecords", [], ["GetRecords"]),
        ],
    )
    def test_one_that_is_missing(
        self, fake: FakeKinesis, operation: str, failed: list[str], warned: list[str]
    ) -> None:
        """What writing needs is a failure, what reading needs a warning; both with the policy."""
        fake.script(AccessDenied(operation=operation))
        found = examined()
        assert found.verdicts("failed") == failed
        assert found.verdicts("warning") == warned
        assert found.status == bool(failed)
        assert found[operation]["action"] == f"kinesis:{operation}"
        ran = run("doctor", "s", "--no-probe")
        kind = "write" if failed else "read"
        assert f"The permissions to {kind}, as a policy of IAM:" in ran.out
        policy = ran.out[ran.out.index("\n{") : ran.out.rindex("\n}") + 2]
        assert json.loads(policy) == found.whole["policies"][kind]
        assert f"kinesis:{operation}" in policy
        assert ran.err == (
            f"kinesink: 1 check of stream s failed: {operation}.\n" if failed else ""
        )

    def test_events_arrive_without_reading(self, fake: FakeKinesis) -> None:
        """The probe is sent, and not looked for."""
        fake.script(AccessDenied(operation="GetRecords"))
        found = examined()
        assert found["probe"]["verdict"] == "ok"
        assert found["read back"]["text"] == "needs GetRecords"

    def test_a_service_that_knows_no_dry_run(self, fake: FakeKinesis) -> None:
        """Has written; that is told."""
        fake.script(RawAnswer(200, b'{"Records":[{}]}', JSON, operation="PutRecords", times=1))
        found = examined("--no-probe")
        assert found["PutRecords"]["dry_run"] is False
        assert "has written an event" in found["PutRecords"]["text"]

    def test_any_other_refusal_is_a_failure(self, fake: FakeKinesis) -> None:
        """With what the service says, which gives no orders to a terminal."""
        fake.script(
            RequestError("KMSAccessDeniedException", "no \x1b[31mkey", operation="PutRecords")
        )
        ran = run("doctor", "s", "--no-probe")
        assert ran.status == 1
        assert "KMSAccessDeniedException: no \\x1b[31mkey" in ran.out
        assert "→ allow kms:GenerateDataKey" in ran.out

    def test_a_new_error_is_told_as_it_is(self, fake: FakeKinesis) -> None:
        """What nobody knows yet."""
        fake.script(RequestError("MoonException", "full", 500, operation="GetRecords"))
        found = examined("--no-probe")
        assert found.verdicts("failed") == ["GetRecords"]
        assert "MoonException: full" in found["GetRecords"]["text"]

    def test_reads_that_others_use_up_are_no_failure(self, fake: FakeKinesis) -> None:
        """The probe is found a moment later."""
        throttled = "ProvisionedThroughputExceededException"
        fake.script(RequestError(throttled, operation="GetRecords", times=3))
        found = examined()
        assert (found.status, found["GetRecords"]["verdict"]) == (0, "ok")
        assert found["read back"]["verdict"] == "ok"


class TestTheStream:
    """What its description says."""

    def test_a_stream_that_is_not_there(self, fake: FakeKinesis) -> None:
        """Named once, with how to make it."""
        fake.delete_stream("s")
        found = examined()
        assert found.verdicts("failed") == ["stream"]
        assert found["stream"]["text"] == "there is no stream s for this account in eu-west-1"
        assert "create-stream --stream-name s" in found["stream"]["next_step"]
        assert found["PutRecords"]["text"] == "needs stream"

    def test_one_that_is_being_made(self, fake: FakeKinesis) -> None:
        """Takes nothing yet."""
        fake.script(described(StreamStatus="CREATING"))
        found = examined()
        assert found.verdicts("failed") == ["stream"]
        assert "wait until it is ACTIVE" in found.text("stream")

    def test_an_emulator_that_says_little(self, fake: FakeKinesis) -> None:
        """Is believed."""
        fake.script(
            described(
                StreamStatus=None,
                StreamModeDetails=None,
                MaxRecordSizeInKiB=None,
                RecordDistributionStrategy=None,
            )
        )
        found = examined()
        assert found.status == 0
        assert found["stream"]["text"] == "it is there, of unknown mode"
        assert found["record size"]["text"] == "1,024 KiB"

    def test_no_open_shard(self, fake: FakeKinesis) -> None:
        """Nothing can be written or read."""
        fake.script(Rewrite(change=lambda answer: {**answer, "Shards": []}, operation="ListShards"))
        found = examined("--no-probe")
        assert found.verdicts("failed") == ["capacity"]
        assert found["GetShardIterator"]["text"] == "needs capacity"

    def test_one_that_places_records_itself(self, fake: FakeKinesis) -> None:
        """Nothing is aggregated there; lines are."""
        fake.set_distribution("s", AUTO)
        found = examined()
        assert found.status == 0
        assert found.verdicts("warning") == ["record distribution", "read back"]
        assert "KINESINK_FRAMING=lines" in found["record distribution"]["next_step"]
        assert found["stream"]["mode"] == "ON_DEMAND"
        lines = examined(KINESINK_FRAMING="lines")
        assert lines.verdicts("warning") == []
        assert lines["record distribution"]["distribution"] == "AUTO"

    def test_records_that_are_too_large_for_it(self, fake: FakeKinesis) -> None:
        """The stream's limit counts."""
        fake.set_max_record_kib("s", 2048)
        assert examined(KINESINK_RECORD_MAX_BYTES="2MiB").verdicts("warning") == []
        found = examined(KINESINK_RECORD_MAX_BYTES="3MiB")
        assert found.verdicts("warning") == ["record size"]
        assert found["record size"]["bytes"] == 2048 * KIB


def described(**members: object) -> Fault:
    """Return what changes members of a stream's description."""

    def change(answer: Mapping[str, object]) -> Mapping[str, object]:
        summary = answer["StreamDescriptionSummary"]
        assert isinstance(summary, dict)
        return {"StreamDescriptionSummary": {**summary, **members}}

    return Rewrite(change=change, operation="DescribeStreamSummary")


def is_no_dry_run(call: Call) -> bool:
    """Tell a write from the question whether one may."""
    return call.body.get("DryRun") is not True


class TestTheProbe:
    """Two events that are written and read."""

    def test_one_that_is_refused(self, fake: FakeKinesis) -> None:
        """Is told with the reason."""
        refusal = RequestError(
            "AccessDeniedException", "no", operation="PutRecords", when=is_no_dry_run
        )
        fake.script(refusal)
        found = examined()
        assert found.verdicts("failed") == ["probe"]
        assert "AccessDeniedException: no" in found["probe"]["text"]
        assert found["read back"]["text"] == "needs probe"

    def test_one_that_is_throttled_arrives(self, fake: FakeKinesis) -> None:
        """As the library tries again."""
        fake.script(FailEntries(times=1))
        assert examined().status == 0

    def test_one_that_is_not_found(self, fake: FakeKinesis) -> None:
        """The shard has come to its end."""
        fake.script(rewritten(Records=[], NextShardIterator=None))
        found = examined()
        assert found.verdicts("failed") == ["read back"]
        assert "is not in shardId-" in found["read back"]["text"]

    def test_one_among_others(self, fake: FakeKinesis) -> None:
        """Is known by its sequence number."""

        def change(answer: Mapping[str, Any]) -> Mapping[str, Any]:
            other = {"SequenceNumber": "1", "Data": "AAAA", "PartitionKey": "p"}
            return {**answer, "Records": [other, *answer["Records"], other]}

        fake.script(Rewrite(change=change, operation="GetRecords"))
        assert examined().status == 0

    @pytest.mark.parametrize(
        ("data", "told"),
        [
            ("c29tZXRoaW5nIGVsc2U=", "something else"),
            ("H4sIAAAAAAAA", "cannot be taken apart"),
            ("no base64", "gives no records"),
            (None, "gives no records"),
        ],
    )
    def test_one_that_has_changed(self, fake: FakeKinesis, data: str | None, told: str) -> None:
        """Whatever has done it."""

        def change(answer: Mapping[str, Any]) -> Mapping[str, Any]:
            return {**answer, "Records": [{**each, "Data": data} for each in answer["Records"]]}

        fake.script(Rewrite(change=change, operation="GetRecords"))
        found = examined()
        assert found.verdicts("failed") == ["read back"]
        assert told in found["read back"]["text"]

    @pytest.mark.parametrize("operation", ["GetShardIterator", "GetRecords"])
    def test_reading_that_ends(self, fake: FakeKinesis, operation: str) -> None:
        """A permission may be taken away at any time."""
        fake.script(AccessDenied(operation=operation, when=lambda _: bool(fake.records("s"))))
        found = examined()
        assert found.verdicts("failed") == ["read back"]
        assert found["read back"]["code"] == "AccessDeniedException"

    def test_an_answer_that_is_none(self, fake: FakeKinesis) -> None:
        """Is told as such."""
        fake.script(RawAnswer(200, b"nonsense", JSON, operation="GetRecords"))
        found = examined("--no-probe")
        assert found["GetRecords"]["code"] == "UndecodableResponse"


def rewritten(**members: object) -> Fault:
    """Return what changes members of GetRecords' answers."""
    return Rewrite(change=lambda answer: {**answer, **members}, operation="GetRecords")


def test_a_variable_that_cannot_be_used_is_named() -> None:
    """Nothing can be looked at then."""
    ran = run("doctor", "s", KINESINK_LINGER="soon")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("kinesink: linger='soon' cannot be used: ")

"""``kinesink load`` against a stream: what is sent, what is told, and how it ends."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING

import pytest

from kinesink.cli.load.latencies import Latencies, in_words
from kinesink.cli.load.plan import Events, Plan
from kinesink.cli.load.sending import Sending
from kinesink.testing import AccessDenied, FakeKinesis, Hang, ThrottleEntries
from tests.cli.commands import PATIENCE, Terminal, plain, run, start, words
from tests.cli.endpoints import kinesis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DELIVERED = re.compile(r"([\d,]+) accepted = ([\d,]+) delivered \+ ([\d,]+) dropped \+ 0 pending")


@pytest.fixture
def fake() -> FakeKinesis:
    """Return a service with a stream of four shards."""
    fake = FakeKinesis()
    fake.create_stream("s", shards=4)
    return fake


@pytest.fixture(autouse=True)
def url(fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return its endpoint, which the environment tells as well."""
    with kinesis(
        fake,
        monkeypatch,
        AWS_REGION="eu-west-1",
        # However busy the machine is.
        KINESINK_SHUTDOWN_TIMEOUT=f"{PATIENCE:g}",
        KINESINK_REQUEST_TIMEOUT=f"{PATIENCE:g}",
        KINESINK_TIME_TO_LIVE=f"{PATIENCE:g}",
    ) as endpoint_url:
        yield endpoint_url


def accounted(text: str) -> tuple[int, int, int]:
    """Return the events that were accepted, delivered and dropped; nothing is pending."""
    match = DELIVERED.search(plain(text))
    assert match is not None, text
    accepted, delivered, dropped = (int(number.replace(",", "")) for number in match.groups())
    return accepted, delivered, dropped


SHORT = ("--rate", "100", "--size", "150", "--duration", "0.5")


@pytest.mark.slow
class TestSending:
    """What was planned is in the stream, and in the account."""

    def test_events_of_the_size_at_the_rate(self, fake: FakeKinesis) -> None:
        """Each is a line of JSON that says what it is."""
        ran = run("load", "s", *SHORT)
        assert (ran.status, ran.err) == (0, "")
        assert ran.out.startswith(
            "50 events of 150 bytes without keys, 100 per second for 0.5 s: 7.3 KiB, to stream s "
            "at 127.0.0.1:"
        )
        events = [record.data for record in fake.user_records("s")]
        assert {len(event) for event in events} == {150}
        assert {json.loads(event)["message"] for event in events} == {"a load test"}
        assert sorted(json.loads(event)["number"] for event in events) == list(range(50))
        assert accounted(ran.out) == (50, 50, 0)
        for told in ("handed over in ", "0 records throttled", "p50 ", "p99.9 ", "max ", "━"):
            assert told in ran.out

    def test_with_keys(self, fake: FakeKinesis) -> None:
        """Each event has one of its own, up to a thousand."""
        ran = run("load", "s", *SHORT, "--keyed")
        assert ran.status == 0
        assert "with keys" in ran.out
        keys = {record.partition_key for record in fake.user_records("s")}
        assert keys == {f"load-{number}" for number in range(50)}

    def test_throttles_are_told(self, fake: FakeKinesis) -> None:
        """And what came of them."""
        fake.script(ThrottleEntries(times=2))
        ran = run("load", "s", *SHORT)
        assert ran.status == 0
        assert "2 records throttled" in ran.out
        assert accounted(ran.out) == (50, 50, 0)

    def test_what_does_not_arrive_is_a_failure(self, fake: FakeKinesis) -> None:
        """With the reason, and no latencies."""
        fake.script(AccessDenied(operation="PutRecords"))
        ran = run("load", "s", *SHORT)
        assert ran.status == 1
        assert accounted(ran.out) == (50, 0, 50)
        assert "hand-over to the ack" not in ran.out
        lines = ran.err.splitlines()
        assert lines[0].startswith("kinesink: AccessDeniedException: ")
        assert lines[-1].startswith("kinesink: 50 events did not reach stream s: AccessDenied")
        assert lines[-1].endswith("try kinesink doctor s.")

    def test_what_is_not_known_in_the_end_is_one_too(self, fake: FakeKinesis) -> None:
        """The service hangs for longer than anybody waits."""
        fake.script(Hang(operation="PutRecords"))
        env = {"KINESINK_SHUTDOWN_TIMEOUT": "0.2"}
        with start("load", "s", *SHORT, env=env) as program:
            out, err = program.communicate(timeout=PATIENCE)
        assert program.returncode == 1
        assert "50 accepted = 0 delivered + 0 dropped + 50 pending" in out
        assert "kinesink: 50 events did not reach stream s: the time to wait" in err

    def test_a_line_each_second_without_a_terminal(self) -> None:
        """How far it is."""
        ran = run("load", "s", "--rate", "50", "--size", "150", "--duration", "1.5")
        assert re.search(
            r"^  1\.\d s  handed over \d+  delivered \d+  dropped 0", ran.out, re.MULTILINE
        )

    def test_a_line_that_changes_on_a_terminal(self) -> None:
        """Gone in the end."""
        terminal = Terminal("load", "s", "--rate", "50", "--size", "150", "--duration", "1.5")
        terminal.wait_for("handed over ")
        assert terminal.end() == 0
        assert accounted(terminal.screen) == (75, 75, 0)


@pytest.mark.slow
class TestAnInterrupt:
    """Whatever ends the sending, nothing gets lost of the account."""

    @pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_in_a_program(self, fake: FakeKinesis, sent: int, status: int) -> None:
        """With the exit status of the signal; a time limit sends another one than a person."""
        with start("load", "s", "--rate", "50", "--size", "150", "--duration", "1000") as program:
            assert program.stdout is not None
            first = program.stdout.readline()
            second = program.stdout.readline()
            program.send_signal(sent)
            out, err = program.communicate(timeout=PATIENCE)
        assert (program.returncode, err) == (status, "")
        assert first.startswith("50,000 events of 150 bytes")
        assert "handed over" in second
        assert "The account, after an interrupt" in out
        accepted, delivered, dropped = accounted(out)
        assert 0 < accepted == delivered == len(fake.user_records("s"))
        assert not dropped

    def test_on_a_terminal(self) -> None:
        """As a person does it."""
        terminal = Terminal("load", "s", "--rate", "50", "--size", "150", "--duration", "1000")
        terminal.wait_for("handed over ")
        terminal.press("\x03")
        assert terminal.end() == 130
        assert accounted(terminal.screen)[2] == 0


class TestAsking:
    """It costs money elsewhere than on this machine."""

    AWS = ("--endpoint-url", "https://kinesis.invalid")

    @pytest.mark.parametrize("answer", ["n\n", "\n", ""])
    def test_without_a_yes_nothing_is_sent(self, answer: str) -> None:
        """Also where nobody is there to answer."""
        ran = run("load", "s", *SHORT, *self.AWS, answer=answer)
        assert ran.status == 1
        assert "AWS charges for them. Send? [y/N]" in ran.out
        assert ran.err.strip() == "nothing was sent; --yes does not ask"

    @pytest.mark.parametrize(("options", "answer"), [(("--yes",), ""), ((), "y\n")])
    def test_with_a_yes_it_is_sent(
        self, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], answer: str
    ) -> None:
        """By an option or by an answer."""
        sent: list[Sending] = []

        def run_nothing(self: Sending, tell: Callable[[Sending], object]) -> None:
            del tell
            sent.append(self)

        monkeypatch.setattr(Sending, "run", run_nothing)
        assert run("load", "s", *SHORT, *self.AWS, *options, answer=answer).status == 0
        assert len(sent) == 1

    def test_without_a_region_there_is_nowhere_to_send_to(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And no question."""
        monkeypatch.delenv("AWS_REGION")
        ran = run("load", "s", *SHORT)
        assert ran.status == 1
        assert ran.err == ("kinesink: no AWS region is configured; try kinesink doctor s.\n")

    def test_an_unknown_profile_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As botocore says it."""
        monkeypatch.delenv("AWS_REGION")
        ran = run("load", "s", *SHORT, "--profile", "nobody")
        assert ran.status == 1
        assert "(nobody) could not be found; try" in ran.err


@pytest.mark.parametrize(
    ("options", "option", "text"),
    [
        ("--rate 0 --size 200", "--rate", "name up to 50,000 events per second"),
        ("--rate nan --size 200", "--rate", "name up to 50,000 events per second"),
        ("--rate 50001 --size 200", "--rate", "name up to 50,000 events per second"),
        ("--rate 1 --size 99", "--size", "has 100 bytes or more"),
        ("--rate 1 --size 10485760", "--size", "no record has more than 10,485,760 bytes"),
        ("--rate 1 --size 200 --duration 0", "--duration", "name up to 86,400 seconds"),
        ("--rate 1 --size 200 --duration inf", "--duration", "name up to 86,400 seconds"),
        ("--rate 500 --size 500000", "--rate", "more than a stream takes"),
        ("--rate 0.1 --size 200 --duration 1", "--rate", "it is not even one event"),
    ],
)
def test_nonsense_is_refused(options: str, option: str, text: str) -> None:
    """With the option, and what would make sense."""
    ran = run("load", "s", *options.split())
    assert ran.status == 2
    assert f"Invalid value for {option}: " in words(ran.err)
    assert text in words(ran.err)


def test_an_event_that_the_configuration_has_no_room_for() -> None:
    """Is refused before anything is sent."""
    ran = run("load", "s", "--rate", "1", "--size", "2000", KINESINK_RECORD_MAX_BYTES="2000")
    assert ran.status == 2
    assert "KINESINK_RECORD_MAX_BYTES=2000" in words(ran.err)
    assert run("load", "s", *SHORT, KINESINK_RECORD_MAX_BYTES="2000").status == 0


def test_an_event_that_the_stream_has_no_room_for() -> None:
    """Is refused by the sink."""
    ran = run("load", "s", "--rate", "1", "--size", "1100000", "--duration", "1")
    assert ran.status == 1
    assert "--size 1100000 cannot be sent: data and partition key have" in ran.err


class TestEvents:
    """What the events of a plan are."""

    @pytest.mark.parametrize("size", [100, 101, 5000])
    @pytest.mark.parametrize("number", [0, 4_320_000_000])
    def test_they_have_the_size(self, size: int, number: int) -> None:
        """Whatever their number is."""
        event = Events(Plan(1, size, 1)).make(number)
        assert len(event) == size
        assert json.loads(event)["number"] == number

    def test_a_plan_in_words(self) -> None:
        """As a person is told."""
        told = "1 event of 100 bytes with keys, 1 per second for 1 s: 100 B"
        assert str(Plan(1, 100, 1, keyed=True)) == told
        told = "10,000 events of 2,048 bytes without keys, 1,000 per second for 10 s: 19.5 MiB"
        assert str(Plan(1000, 2048, 10)) == told


class TestLatencies:
    """A distribution in little memory."""

    def test_nothing_of_nothing(self) -> None:
        """No time and no rows."""
        none = Latencies()
        assert (none.count, none.quantile(0.5), none.rows(), none.longest) == (0, 0.0, [], 0.0)

    def test_quantiles_are_two_per_cent_off_at_most(self) -> None:
        """And never less than what they stand for."""
        found = Latencies()
        for number in range(1, 10_001):
            found.add(number / 1000)
        for share in (0.001, 0.5, 0.9, 0.99, 0.999):
            assert share * 10 <= found.quantile(share) <= share * 10 * 1.0201
        assert found.quantile(1) == found.longest == 10
        assert found.count == 10_000

    def test_rows_begin_and_end_where_events_are(self) -> None:
        """Those between are there, too."""
        found = Latencies()
        for seconds in (0.0, 0.0009, 0.0011, 0.0055, 0.0056):
            found.add(seconds)
        assert found.rows() == [("≤ 1 ms", 2), ("≤ 2 ms", 1), ("≤ 5 ms", 0), ("≤ 10 ms", 2)]
        found = Latencies()
        found.add(61)
        assert found.rows() == [("> 60 s", 1)]

    def test_times_in_words(self) -> None:
        """Three digits are enough."""
        assert [in_words(seconds) for seconds in (0.0, 0.01234, 1.5, 61)] == [
            "0 ms", "12.3 ms", "1.5 s", "61 s",
        ]  # fmt: skip

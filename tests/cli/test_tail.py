"""``kinesink tail`` against a stream: what it shows, what it says, and how it ends."""

from __future__ import annotations

import gzip
import json
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from kinesink.cli.settings import Location
from kinesink.cli.tail import walk
from kinesink.cli.tail.service import Service, _moment
from kinesink.testing import (
    AccessDenied,
    FakeKinesis,
    Latency,
    RawAnswer,
    RequestError,
    Reset,
    ShardLimits,
)
from tests.cli.commands import PATIENCE, Terminal, plain, run, start, words
from tests.cli.endpoints import kinesis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kinesink.testing import Call, Fault
    from tests.cli.commands import Ran

NOW = 1_795_415_316.0
WRITER = "0123456789abcdef"
LOSS = {
    "lost_events": 3,
    "dropped": {"buffer_full": 3},
    "levels": {"INFO": 3},
    "from": "2026-11-23T06:28:30.000000Z",
    "to": "2026-11-23T06:28:31.000000Z",
}


class Clock:
    """The time of the service."""

    now = NOW

    def __call__(self) -> float:
        """Return it."""
        return self.now


@pytest.fixture
def fake() -> FakeKinesis:
    """Return a service with a stream of four shards."""
    fake = FakeKinesis(clock=Clock(), limits=ShardLimits(reads_per_second=5))
    fake.create_stream("s", shards=4)
    return fake


@pytest.fixture
def url(fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return its endpoint, which the environment tells as well."""
    with kinesis(fake, monkeypatch) as endpoint_url:
        yield endpoint_url


def put(fake: FakeKinesis, data: bytes | dict[str, Any], ago: float = 60, key: int = 0) -> None:
    """Have a record come so long ago, to one of the four shards."""
    clock = fake.clock
    assert isinstance(clock, Clock)
    now, clock.now = clock.now, clock.now - ago
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    fake.put("s", data, explicit_hash_key=key * 2**126)
    clock.now = now


def numbered(number: int, **fields: object) -> dict[str, Any]:
    """Return an event that carries a number."""
    return {"message": f"event {number}", "boot_id": WRITER, "seq": number, **fields}


def messages(ran: Ran) -> list[str]:
    """Return the messages of the lines of JSON on stdout."""
    return [json.loads(line)["message"] for line in ran.out.splitlines()]


pytestmark = pytest.mark.usefixtures("url")


class TestReading:
    """What is in the stream comes out."""

    def test_the_last_minutes_of_all_shards_by_arrival(self, fake: FakeKinesis) -> None:
        """Whatever is older stays out, and so does what is in no order within a shard."""
        for ago, key in ((700, 0), (500, 3), (400, 0), (300, 2), (200, 0), (100, 3)):
            put(fake, {"message": f"{ago}"}, ago, key)
        ran = run("tail", "s")
        assert ran.status == 0, ran.err
        assert messages(ran) == ["500", "400", "300", "200", "100"]
        assert ran.err == "kinesink: 5 events shown of 5 in 5 records.\n"
        assert messages(run("tail", "s", "--since", "start"))[0] == "700"
        assert messages(run("tail", "s", "--since", "250s")) == ["200", "100"]

    def test_every_framing_is_taken_apart(self, fake: FakeKinesis) -> None:
        """Aggregated records, lines, compressed ones, and plain ones."""
        put(fake, gzip.compress(b'{"message":"a"}\n{"message":"b"}\n'), 9)
        put(fake, b'{"message":"c"}\n{"message":"d"}\n', 8)
        put(fake, {"message": "e"}, 7)
        assert messages(run("tail", "s")) == ["a", "b", "c", "d", "e"]

    def test_children_come_after_their_parents(self, fake: FakeKinesis) -> None:
        """Through splits and merges."""
        put(fake, {"message": "parent"}, 50)
        shards = [shard.shard_id for shard in fake.open_shards("s")]
        fake.split_shard("s", shards[0])
        put(fake, {"message": "child"}, 40)
        fake.merge_shards("s", shards[2], shards[3])
        put(fake, {"message": "merged"}, 30, 3)
        assert messages(run("tail", "s", "--since", "start")) == ["parent", "child", "merged"]

    def test_a_shard_by_its_number(self, fake: FakeKinesis) -> None:
        """Or by its id."""
        put(fake, {"message": "zero"}, key=0)
        put(fake, numbered(1), key=1)
        put(fake, numbered(5), key=1)
        for shard in ("1", "shardId-000000000001"):
            ran = run("tail", "s", "--shard", shard)
            assert messages(ran) == ["event 1", "event 5"]
            # The other shards may have those between.
            assert "none missing" in ran.err

    def test_by_its_arn(self, fake: FakeKinesis) -> None:
        """As streams of other accounts are named."""
        put(fake, {"message": "m"})
        arn = f"arn:aws:kinesis:{fake.region}:{fake.account}:stream/s"
        assert messages(run("tail", arn)) == ["m"]

    def test_an_endpoint_and_a_region_by_options(
        self, fake: FakeKinesis, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Rather than by the environment."""
        put(fake, {"message": "m"})
        monkeypatch.delenv("AWS_ENDPOINT_URL_KINESIS")
        monkeypatch.delenv("AWS_REGION")
        assert messages(run("tail", "s", "--endpoint-url", url, "--region", "eu-west-1")) == ["m"]

    def test_what_is_wanted_is_shown(self, fake: FakeKinesis) -> None:
        """And all is counted."""
        put(fake, {"level": "INFO", "message": "order 1"})
        put(fake, {"level": "ERROR", "message": "order 2"})
        put(fake, {"level": "ERROR", "message": "other"})
        ran = run("tail", "s", "--where", "level>=warning", "--grep", "order [0-9]")
        assert messages(ran) == ["order 2"]
        assert ran.err == "kinesink: 1 event shown of 3 in 3 records.\n"

    def test_many_shards_of_which_some_wait_for_a_call(self, fake: FakeKinesis) -> None:
        """There are no more than sixteen at once."""
        fake.create_stream("many", shards=40)
        for number in range(40):
            fake.put("many", b'{"message":"m"}', explicit_hash_key=number * 2**128 // 40)
        assert len(messages(run("tail", "many"))) == 40

    def test_a_listing_of_several_pages(
        self, fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All of them are read."""
        monkeypatch.setattr("kinesink.testing.reading.LIST_SHARDS_PAGE", 3)
        for key in range(4):
            put(fake, {"message": str(key)}, ago=60 - key, key=key)
        assert messages(run("tail", "s")) == ["0", "1", "2", "3"]

    def test_for_people_without_a_terminal(self, fake: FakeKinesis) -> None:
        """Without colours, if it is asked for."""
        put(fake, {"level": "INFO", "message": "m", "n": 1})
        assert run("tail", "s", "--pretty").out == "2026-11-23 06:27:36.000 INFO      m  n=1\n"

    def test_a_place_behind_a_record(self, fake: FakeKinesis) -> None:
        """Where a reading goes on after an outage."""
        for n in range(3):
            put(fake, b"%d" % n)
        second = fake.records("s")[1]
        service = Service("s", Location())
        place = walk.Place("AFTER_SEQUENCE_NUMBER", sequence_number=second.sequence_number)
        found = service.perform(walk.GetIterator(second.shard_id, place))
        assert isinstance(found, walk.Found)
        assert found.moment == NOW
        page = service.perform(walk.GetRecords(second.shard_id, found.iterator))
        assert isinstance(page, walk.Page)
        assert [record.data for record in page.records] == [b"2"]

    @pytest.mark.parametrize("headers", [{}, {"date": "yesterday"}])
    def test_a_service_that_does_not_tell_the_time(self, headers: dict[str, str]) -> None:
        """Then it is ours."""
        begun = time.time()
        answer = {"ResponseMetadata": {"HTTPHeaders": headers}}
        assert begun <= _moment(answer) <= time.time()

    def test_a_stream_without_shards_in_that_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """There is nothing to wait for."""
        monkeypatch.setattr("kinesink.cli.tail.service.Service.list_shards", lambda *_: ([], NOW))
        assert run("tail", "s").err == "kinesink: 0 events shown of 0 in 0 records.\n"


class TestRemarks:
    """What is amiss is said on stderr."""

    def test_numbers_that_are_missing(self, fake: FakeKinesis) -> None:
        """When they are not to be expected any more."""
        for number, ago in ((1, 90), (2, 80), (5, 70), (7, 5)):
            put(fake, numbered(number), ago)
        ran = run("tail", "s", "--where", "seq=7")
        assert ran.status == 0
        assert ran.err.splitlines() == [
            f"kinesink: numbers 3 to 4 of writer {WRITER} are missing (2 events)",
            "kinesink: 1 event shown of 4 in 4 records; numbered by 1 writer, 2 missing.",
        ]

    def test_losses_that_the_stream_tells_of(self, fake: FakeKinesis) -> None:
        """In JSON they are events as well; for people they are a remark."""
        put(fake, numbered(1, attributes=LOSS))
        told = f"kinesink: writer {WRITER} lost events: 3 told as lost (buffer_full 3; INFO 3; "
        ran = run("tail", "s")
        assert messages(ran) == ["event 1"]
        assert ran.err.startswith(told)
        assert "3 told as lost" in ran.err.splitlines()[-1]
        pretty = run("tail", "s", "--pretty")
        assert pretty.out == ""
        assert pretty.err.startswith(told)
        assert "0 events shown of 1 " in pretty.err

    def test_records_that_cannot_be_read(self, fake: FakeKinesis) -> None:
        """The others are shown."""
        put(fake, b"\x1f\x8b\x08 broken")
        put(fake, {"message": "fine"}, 10)
        ran = run("tail", "s")
        assert messages(ran) == ["fine"]
        assert "the record of 10 bytes cannot be read" in ran.err
        assert ran.err.endswith("; 1 record unreadable.\n")


class TestTrouble:
    """What passes is tried again, what does not is one sentence."""

    @pytest.fixture(autouse=True)
    def _short_pauses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(walk, "_FIRST_PAUSE", 0.0)

    @pytest.mark.parametrize(
        ("fault", "told"),
        [
            (RequestError("ProvisionedThroughputExceededException", "Rate exceeded.", times=1,
                          operation="GetRecords"),
             "GetRecords of stream s at 127.0.0.1"),
            (RequestError("InternalFailure", status=500, times=1, operation="GetShardIterator"),
             "GetShardIterator of stream s at 127.0.0.1"),
            (Reset(times=1, operation="GetRecords"), "gives no answer (ConnectionClosedError)"),
            (RawAnswer(200, b"<html>", "text/html", times=1, operation="GetRecords"),
             "gives no answer ("),
        ],
    )  # fmt: skip
    def test_what_passes_is_told_and_tried_again(
        self,
        fake: FakeKinesis,
        fault: Fault,
        told: str,
    ) -> None:
        """Nothing is lost by it."""
        put(fake, {"message": "m"})
        fake.script(fault)
        ran = run("tail", "s")
        assert (ran.status, messages(ran)) == (0, ["m"]), ran.err
        assert told in ran.err
        assert ran.err.count("Trying again.") == 1

    def test_an_iterator_that_has_expired_is_no_trouble(self, fake: FakeKinesis) -> None:
        """Another one goes on where it was."""
        put(fake, {"message": "m"})
        fake.script(RequestError("ExpiredIteratorException", times=4, operation="GetRecords"))
        ran = run("tail", "s")
        assert messages(ran) == ["m"]
        assert "Trying" not in ran.err

    def test_what_does_not_pass_ends_it(self, fake: FakeKinesis) -> None:
        """With the account of what was read, and the reason last."""
        fake.script(RequestError("ThrottlingException", "Slow down", operation="GetRecords"))
        ran = run("tail", "s")
        assert ran.status == 1
        assert "0 events shown" in ran.err
        last = ran.err.splitlines()[-1]
        assert last.startswith("kinesink: GetRecords of stream s at 127.0.0.1:")
        assert last.endswith(" was refused: ThrottlingException: Slow down.")

    def test_the_same_trouble_is_told_once(self, fake: FakeKinesis) -> None:
        """And no more than that in a minute."""
        fake.script(RequestError("ThrottlingException", times=5, operation="GetRecords"))
        assert run("tail", "s").err.count("ThrottlingException") == 1

    def test_a_permission_that_is_missing_is_named(self, fake: FakeKinesis) -> None:
        """All three that reading needs."""
        fake.script(AccessDenied(operation="ListShards"))
        ran = run("tail", "s")
        assert ran.status == 1
        assert ran.err.count("\n") == 1
        assert "ListShards of stream s" in ran.err
        assert "kinesis:ListShards, kinesis:GetShardIterator and kinesis:GetRecords" in ran.err

    def test_a_stream_that_is_not_there(self) -> None:
        """With what to look at."""
        ran = run("tail", "nope")
        assert ran.status == 1
        assert "Stream nope under account 000000000000 not found; check the name" in ran.err

    def test_a_shard_that_is_not_there(self, fake: FakeKinesis) -> None:
        """With those that are."""
        ran = run("tail", "s", "--shard", "7")
        assert ran.err == (
            "kinesink: the stream has no shard shardId-000000000007 in that time; it has "
            "shardId-000000000000, shardId-000000000001, shardId-000000000002, "
            "shardId-000000000003.\n"
        )
        fake.create_stream("many", shards=10)
        assert run("tail", "many", "--shard", "x").err.endswith("shardId-000000000007, ….\n")

    def test_an_endpoint_that_does_not_answer(self) -> None:
        """Without the password in its address."""
        ran = run("tail", "s", "--endpoint-url", "http://user:secret@127.0.0.1:9")
        assert ran.status == 1
        assert ran.err == (
            "kinesink: stream s at 127.0.0.1:9 gives no answer (EndpointConnectionError); check "
            "the network, --region and --endpoint-url.\n"
        )

    @pytest.mark.parametrize(
        ("missing", "told"),
        [
            (["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], "there are no AWS credentials; set"),
            (["AWS_REGION"], "You must specify a region; see --region"),
        ],
    )
    def test_settings_that_are_missing(
        self, monkeypatch: pytest.MonkeyPatch, missing: list[str], told: str
    ) -> None:
        """One sentence each."""
        for name in missing:
            monkeypatch.delenv(name)
        ran = run("tail", "s")
        assert ran.status == 1
        assert ran.err.startswith(f"kinesink: {told}")
        assert ran.err.count("\n") == 1

    def test_a_profile_that_is_not_there(self) -> None:
        """It is named."""
        assert "profile (nope) could not be found" in run("tail", "s", "--profile", "nope").err

    @pytest.mark.parametrize("name", ["s p", ""])
    def test_a_name_that_no_stream_has(self, name: str) -> None:
        """In one sentence as well, whoever refuses it."""
        ran = run("tail", name)
        assert ran.status == 1
        assert ran.err.count("\n") == 1

    @pytest.mark.parametrize(
        "options", [("--since", "soon"), ("--where", "level"), ("--grep", "("), ("--where", "a~(")]
    )
    def test_options_that_cannot_be_used(self, options: tuple[str, str]) -> None:
        """With the name of the option."""
        ran = run("tail", "s", *options)
        assert ran.status == 2
        assert options[0] in words(ran.err)


@pytest.mark.slow
class TestFollow:
    """What comes from now on, until Ctrl-C."""

    def test_through_resharding_until_ctrl_c(self, fake: FakeKinesis) -> None:
        """What is older does not come; the account comes in the end."""
        put(fake, {"message": "before"})
        read = fake_steps(
            fake,
            # Every shard is read; then one gets a record and is split, its child gets one.
            (4, lambda: put(fake, {"message": "parent"}, 0)),
            (4, lambda: fake.split_shard("s", "shardId-000000000000")),
            (0, lambda: put(fake, {"message": "child"}, 0)),
            (12, interrupt),
        )
        ran = run("tail", "s", "--follow")
        assert read == []
        assert ran.status == 130
        assert messages(ran) == ["parent", "child"]
        assert ran.err == "kinesink: 2 events shown of 2 in 2 records.\n"

    def test_from_a_time_on(self, fake: FakeKinesis) -> None:
        """First what was there, then what comes."""
        put(fake, {"message": "before"})
        fake_steps(fake, (4, lambda: put(fake, {"message": "now"}, 0)), (8, interrupt))
        assert messages(run("tail", "s", "-f", "--since", "5m")) == ["before", "now"]


def interrupt() -> None:
    """Press Ctrl-C."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)


def fake_steps(fake: FakeKinesis, *steps: tuple[int, Callable[[], object]]) -> Sequence[object]:
    """Have something happen when so many more reads have come in; return what is left of it."""
    left = list(steps)
    reads = 0

    def look(_: Call) -> bool:
        nonlocal reads
        reads += 1
        while left and reads > left[0][0]:
            reads = 0
            left.pop(0)[1]()
        return False

    fake.script(Latency(operation="GetRecords", when=look))
    return left


@pytest.mark.slow
class TestPrograms:
    """As a program of its own."""

    def test_on_a_terminal_it_is_coloured(self, fake: FakeKinesis) -> None:
        """And Ctrl-C ends it without a word too much."""
        put(fake, {"level": "ERROR", "logger": "shop", "message": "no [bold]way[/bold]"})
        terminal = Terminal("tail", "s", "-f", "--since", "5m")
        terminal.wait_for("ERROR    shop  no [bold]way[/bold]\n")
        assert terminal.interrupt() == 130
        assert "\x1b[1;31m ERROR" in terminal.screen
        assert plain(terminal.screen).endswith("1 event shown of 1 in 1 record.\n")
        assert "Traceback" not in terminal.screen

    def test_without_colours_if_none_are_wanted(self, fake: FakeKinesis) -> None:
        """By the variable that many programs know."""
        put(fake, {"level": "ERROR", "message": "m"})
        terminal = Terminal("tail", "s", NO_COLOR="1")
        assert terminal.end() == 0
        assert "ERROR    " in terminal.screen
        assert "\x1b" not in terminal.screen

    def test_json_on_a_terminal_gives_no_orders(self, fake: FakeKinesis) -> None:
        """What JSON allows is written as an escape."""
        put(fake, '{"message":"\x9b31m"}'.encode())
        terminal = Terminal("tail", "s", "--json")
        assert terminal.end() == 0
        assert '{"message":"\\u009b31m"}\n' in terminal.screen

    def test_a_reader_that_has_enough_ends_it_quietly(self, fake: FakeKinesis) -> None:
        """As head does."""
        for number in range(3000):
            put(fake, {"message": "m" * 100, "n": number})
        program = start("tail", "s")
        assert program.stdout is not None
        assert program.stderr is not None
        assert json.loads(program.stdout.readline())["n"] == 0
        program.stdout.close()
        err = program.stderr.read()
        program.stderr.close()
        assert program.wait(PATIENCE) == 141
        assert err.count("\n") == 1
        assert "events shown" in err

    def test_sigterm_ends_it_at_once(self, fake: FakeKinesis) -> None:
        """As it ends every program."""
        put(fake, {"message": "m"})
        program = start("tail", "s", "-f", "--since", "5m")
        assert program.stdout is not None
        assert program.stdout.readline() == '{"message": "m"}\n'
        program.terminate()
        program.communicate(timeout=PATIENCE)
        assert program.returncode == -signal.SIGTERM

"""Many streams from one producer: shared by all, and none in another's way."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar

import anyio
import pytest

from kinesink import ClosedError, DropReason, InvalidRecordError, Producer, Statistics
from kinesink.core.ledger import Ledger
from kinesink.shell import streams
from kinesink.shell.stream import Stream
from kinesink.shell.streams import IDLE_SECONDS, Streams
from kinesink.statistics import combine
from kinesink.testing import AccessDenied, Hang, Latency, RequestError, ThrottleEntries
from tests.shell.support import PATIENCE, adds_up, make_client, make_config, make_fake

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from kinesink import Outcome
    from kinesink.testing import FakeKinesis
    from kinesink.testing.faults import Fault

P = ParamSpec("P")
T = TypeVar("T")

pytestmark = pytest.mark.usefixtures("signed")


@pytest.fixture
def fake() -> FakeKinesis:
    """Return a fake with the stream ``app``, and ``sick``, which the tests make so."""
    fake = make_fake()
    fake.create_stream("sick", shards=2)
    return fake


class Told:
    """An on_error that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, kind: str, text: str) -> None:
        """Remember one."""
        self.lines.append(f"{kind}: {text}")


class Calls:
    """How many calls of a function are under way."""

    under_way = 0
    most = 0

    def counted(self, function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        """Return the function, counting its calls."""

        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            try:
                return await function(*args, **kwargs)
            finally:
                self.under_way -= 1

        return call


def make_producer(fake: FakeKinesis, **parameters: object) -> Producer:
    """Return a producer that talks to the fake."""
    config = make_config(**parameters)
    return Producer(config, client=make_client(fake, config))


async def until_hanging(fake: FakeKinesis, calls: int = 1) -> None:
    """Wait until so many calls hang."""
    with anyio.fail_after(PATIENCE):
        while fake.hanging < calls:  # noqa: ASYNC110 - the fake knows no event loop to tell
            await anyio.sleep(0.001)


def let_go(fake: FakeKinesis) -> None:
    """Let hanging calls go on, and no other one hang."""
    fake.faults.clear()
    fake.release()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(AccessDenied(operation="PutRecords", stream="sick"), id="PutRecords denied"),
        pytest.param(AccessDenied(operation="ListShards", stream="sick"), id="ListShards denied"),
        pytest.param(AccessDenied(stream="sick"), id="everything denied"),
        pytest.param(Hang(operation="PutRecords", stream="sick"), id="PutRecords hangs"),
        pytest.param(Hang(operation="ListShards", stream="sick"), id="ListShards hangs"),
        pytest.param(Hang(stream="sick"), id="everything hangs"),
        pytest.param(ThrottleEntries(stream="sick"), id="throttled"),
        pytest.param(RequestError("LimitExceededException", stream="sick"), id="refused for rate"),
    ],
)
async def test_r9_a_stream_in_trouble_delays_no_other(fake: FakeKinesis, fault: Fault) -> None:
    """Not by its calls, by what it has pending, nor by callers who wait for it."""
    fake.script(fault)
    async with make_producer(
        fake, max_connections=2, max_pending_bytes=64 * 1024, shutdown_timeout=0, request_timeout=60
    ) as producer:

        async def fill() -> None:
            for _ in range(200):
                await producer.put(b"x" * 10_000, stream_name="sick")

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fill)
                for number in range(30):
                    outcome = await producer.put(b"%d" % number)
                    assert (await outcome.wait()).success
                tasks.cancel_scope.cancel()
        assert producer.statistics("app").delivered == 30
        assert adds_up(producer.statistics("sick"))
        let_go(fake)


@pytest.fixture
def endpoint_url(fake: FakeKinesis) -> Iterator[str]:
    """Return where the fake can be reached over real connections."""
    with fake.serve(port=0) as server:
        yield server.endpoint_url
        let_go(fake)


async def test_more_hanging_streams_than_connections_delay_no_other(
    fake: FakeKinesis, endpoint_url: str
) -> None:
    """Also over real connections, of which there are more then."""
    names = [f"sick-{number}" for number in range(6)]
    for name in names:
        fake.create_stream(name)
        fake.script(Hang(stream=name))
    config = make_config(
        endpoint_url=endpoint_url, max_connections=4, shutdown_timeout=0, request_timeout=60
    )
    async with Producer(config) as producer:
        with anyio.fail_after(PATIENCE):
            for name in names:
                for _ in range(20):
                    await producer.put(b"x" * 1000, stream_name=name)
            await until_hanging(fake, len(names))
            for number in range(10):
                assert (await (await producer.put(b"%d" % number)).wait()).success
    assert producer.statistics("app").delivered == 10


async def test_one_stream_makes_no_more_calls_than_there_are_connections(
    fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its requests wait for each other."""
    fake.script(Latency(answer=0.02))
    config = make_config(
        framing="none", max_connections=2, max_requests_in_flight=8, request_max_entries=1
    )
    client = make_client(fake, config)
    calls = Calls()
    monkeypatch.setattr(client, "put_records", calls.counted(client.put_records))
    async with Producer(config, client=client) as producer:
        for _ in range(40):
            await producer.put(b"x")
    assert producer.statistics().delivered == 40
    assert calls.most == 2


@pytest.mark.parametrize("bound", [{"max_pending_bytes": 64 * 1024}, {"max_pending_events": 64}])
async def test_b1_who_fills_one_stream_waits_and_another_stream_has_its_part(
    fake: FakeKinesis, bound: dict[str, int]
) -> None:
    """Up to an equal part each; callers of the full stream go on when there is room again."""
    fake.script(Hang(operation="PutRecords"))
    async with make_producer(fake, **bound) as producer:
        put = {"sick": 0, "app": 0}

        async def fill(name: str) -> None:
            for _ in range(100):
                await producer.put(b"x" * 874, stream_name=name)
                put[name] += 1

        async def until_in_line(name: str) -> None:
            with anyio.fail_after(PATIENCE):
                while name not in producer._room._lines:  # noqa: ASYNC110 - nobody tells
                    await anyio.sleep(0.001)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fill, "sick")
            await until_in_line("sick")
            assert put == {"sick": 64, "app": 0}
            tasks.start_soon(fill, "app")
            await until_in_line("app")
            assert put == {"sick": 64, "app": 32}
            let_go(fake)
        with anyio.fail_after(PATIENCE):
            assert await producer.flush()
        assert put == {"sick": 100, "app": 100}
        assert producer._room._lines == {}


async def test_flush_and_leaving_cover_every_stream(fake: FakeKinesis) -> None:
    """Nothing lingers anywhere."""
    async with make_producer(fake, linger=PATIENCE) as producer:
        outcomes = [await producer.put(b"x", stream_name=name) for name in ("sick", "app")]
        with anyio.fail_after(PATIENCE / 2):
            assert await producer.flush()
        assert all(outcome.done for outcome in outcomes)
        await producer.put(b"y", stream_name="sick")
    assert producer.statistics("sick").delivered == 2


async def test_trouble_is_told_for_each_stream_and_operation_by_its_name(
    fake: FakeKinesis,
) -> None:
    """One denied call does not hide another of the same kind for a minute."""
    fake.create_stream("ill")
    fake.script(AccessDenied(stream="sick"), AccessDenied(operation="PutRecords", stream="ill"))
    told = Told()
    async with make_producer(fake, on_error=told) as producer:
        for name in ("sick", "ill", "app"):
            await (await producer.put(b"x", stream_name=name)).wait()
    about = {tuple(line.split(": ")[1:3]) for line in told.lines if "AccessDenied" in line}
    assert about == {
        ("stream 'sick'", "ListShards"),
        ("stream 'sick'", "DescribeStreamSummary"),
        ("stream 'sick'", "PutRecords"),
        ("stream 'ill'", "PutRecords"),
    }


async def test_s2_what_is_lost_at_the_end_is_told_for_each_stream(fake: FakeKinesis) -> None:
    """With the right name and number, and the stream's own last error."""
    fake.script(RequestError("InternalFailure", "sick", stream="sick", operation="PutRecords"))
    fake.script(Hang(stream="app"))
    told = Told()
    async with make_producer(fake, on_error=told, shutdown_timeout=1.5) as producer:
        outcomes = [await producer.put(b"abc", stream_name="sick") for _ in range(2)]
        outcomes.append(await producer.put(b"x"))
        with anyio.fail_after(PATIENCE):
            while not producer.statistics("sick").retried:  # noqa: ASYNC110 - a count tells nobody
                await anyio.sleep(0.001)
    assert [(await outcome.wait()).reason for outcome in outcomes] == [DropReason.SHUTDOWN] * 3
    lost = sorted(line for line in told.lines if line.startswith("shutdown"))
    assert lost[0] == "shutdown: 1 event (1 bytes) not delivered to 'app' within 1.5 s"
    assert lost[1].startswith(
        "shutdown: 2 events (6 bytes) not delivered to 'sick' within 1.5 s; last error: InternalF"
    )
    assert len(lost) == 2
    let_go(fake)


async def test_n1_each_stream_has_its_own_account(fake: FakeKinesis) -> None:
    """They add up to the producer's; a stream never used has an empty one."""
    async with make_producer(fake) as producer:
        for number in range(5):
            await producer.put(b"x", stream_name="sick" if number < 3 else None)
        await producer.flush()
        assert producer.statistics("sick").delivered == 3
        assert producer.statistics("app").delivered == 2
        assert producer.statistics("nobody") == Statistics()
        both = combine(producer.statistics("sick"), producer.statistics("app"))
        assert producer.statistics() == both
    assert producer.statistics("sick").delivered == 3


@pytest.mark.parametrize("name", ["", "two words", "n" * 129, "ü", "a\n"])
async def test_a1_an_impossible_stream_name_is_refused_at_once(
    fake: FakeKinesis, name: str
) -> None:
    """Nothing has changed then."""
    async with make_producer(fake) as producer:
        with pytest.raises(InvalidRecordError, match="stream_name"):
            await producer.put(b"x", stream_name=name)
        with pytest.raises(TypeError):
            await producer.put(b"x", stream_name=7)  # type: ignore[arg-type]  # what is refused
        with pytest.raises(InvalidRecordError, match="stream_name"):
            producer.record_max_bytes(name)
        assert producer.statistics().accepted == 0
        assert producer._task is not None
        assert [stream.name for stream in producer._task.streams] == []


async def test_l6_each_stream_has_its_own_record_limit(fake: FakeKinesis) -> None:
    """What one takes another may refuse."""
    fake.create_stream("large", max_record_kib=2048)
    async with make_producer(fake) as producer:
        for name in ("large", "sick"):
            await (await producer.put(b"x", stream_name=name)).wait()
        assert (await (await producer.put(b"x" * (1 << 20), stream_name="large")).wait()).success
        with pytest.raises(InvalidRecordError, match="1048576"):
            await producer.put(b"x" * (1 << 20), stream_name="sick")


# -- letting go -------------------------------------------------------------------


def counted(stream: Stream, events: int) -> None:
    """Count events as refused, which is the quickest way of accounting for some."""
    for _ in range(events):
        stream.pipeline.ledger.refused(DropReason.INVALID)


class TestLettingGo:
    """A stream that nobody uses any more costs nothing but its account."""

    def test_an_unused_stream_is_let_go_and_its_account_kept(self) -> None:
        """Used again, it goes on counting."""
        used = Streams(make_config())
        counted(used.use("old", 0.0), 3)
        counted(used.use("app", 0.0), 1)
        used.use("new", 1.0)
        used.let_go(IDLE_SECONDS)
        assert [stream.name for stream in used] == ["app", "new"]
        assert used.statistics("old").lost == 3
        assert used.statistics(None).lost == 4
        counted(used.use("old", IDLE_SECONDS), 2)
        assert used.statistics("old").lost == 5
        used.let_go(3 * IDLE_SECONDS)
        assert [stream.name for stream in used] == ["app"]
        assert used.statistics("old").lost == 5
        assert used.statistics(None).lost == 6

    def test_one_with_something_pending_or_under_way_stays(self) -> None:
        """However long that takes."""
        used = Streams(make_config())
        pending, calling = used.use("pending", 0.0), used.use("calling", 0.0)
        pending.pipeline.ledger.pending = 1
        calling.calls = 1
        used.let_go(2 * IDLE_SECONDS)
        assert [*used] == [pending, calling]
        pending.pipeline.ledger.pending = calling.calls = 0
        used.let_go(2 * IDLE_SECONDS)
        assert [*used] == []

    def test_the_accounts_that_are_kept_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of a million names the last used stay; the sum has all."""
        monkeypatch.setattr(streams, "_MOST_ACCOUNTS", 2)
        used = Streams(make_config())
        for number in range(4):
            counted(used.use(f"stream-{number}", float(number)), 1)
            used.let_go(number + IDLE_SECONDS)
        assert [used.statistics(f"stream-{n}").lost for n in range(4)] == [0, 0, 1, 1]
        assert used.statistics(None).lost == 4

    async def test_a_producer_lets_go_what_it_does_not_use(
        self, fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And the account of other threads still has it."""
        monkeypatch.setattr(streams, "IDLE_SECONDS", 0.0)
        monkeypatch.setattr(streams, "_TIDY_INTERVAL", 0.0)
        async with make_producer(fake) as producer:
            assert producer._task is not None
            for _ in range(2):
                await (await producer.put(b"x", stream_name="sick")).wait()
                with anyio.fail_after(PATIENCE):
                    while producer._task.streams.get("sick") is not None:
                        producer._task._wake.set()
                        await anyio.sleep(0.001)
            assert producer.statistics("sick").delivered == 2
            assert producer._intake.statistics().delivered == 2
        assert producer.statistics().delivered == 2


def test_a_ledger_is_copied_when_it_is_settled() -> None:
    """What other threads read does not change under their hands."""
    stream = Stream(make_config(), "app", 0.0)
    counted(stream, 1)
    stream.touch()
    stream.settle()
    counted(stream, 1)
    (frozen,) = stream.frozen_ledgers
    assert isinstance(frozen, Ledger)
    assert frozen.dropped == {DropReason.INVALID: 1}


# -- ending early --------------------------------------------------------------------


async def test_s1_a_producer_can_be_closed_from_any_task(fake: FakeKinesis) -> None:
    """It takes nothing more and delivers what is pending; leaving finds nothing to do."""
    async with make_producer(fake, linger=PATIENCE) as producer:
        outcome: Outcome = await producer.put(b"x")
        with anyio.fail_after(PATIENCE / 2):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(producer.aclose)
                tasks.start_soon(producer.aclose)
        assert (await outcome.wait()).success
        with pytest.raises(ClosedError, match="not open"):
            await producer.put(b"y")
        assert await producer.flush()
        await producer.aclose()
    await producer.aclose()
    assert producer.statistics().delivered == 1


async def test_s4_a_cancelled_aclose_gives_up_what_is_pending(fake: FakeKinesis) -> None:
    """As leaving does; every outcome resolves."""
    fake.script(Hang(operation="PutRecords"))
    async with make_producer(fake) as producer:
        outcome = await producer.put(b"x")
        await until_hanging(fake)
        with anyio.move_on_after(0.01) as scope:
            await producer.aclose()
        assert scope.cancelled_caught
        assert (await outcome.wait()).reason is DropReason.SHUTDOWN


async def test_a_producer_never_entered_has_nothing_to_close(fake: FakeKinesis) -> None:
    """And can be entered afterwards."""
    producer = make_producer(fake)
    await producer.aclose()
    async with producer:
        assert (await (await producer.put(b"x")).wait()).success


async def test_an_outcome_reads_as_a_sentence(fake: FakeKinesis) -> None:
    """In a log or a debugger."""
    async with make_producer(fake) as producer:
        outcome = await producer.put(b"x")
        assert repr(outcome) == "<Outcome pending>"
        result = await outcome.wait()
        assert repr(outcome) == (
            f"<Outcome delivered to {result.shard_id} as {result.sequence_number}>"
        )

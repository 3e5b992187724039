"""F9: errors of kinesink's own cost what they must and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from kinesink import DropReason, Producer
from kinesink.core.effects import Delivered, Dropped
from kinesink.core.pipeline import Pipeline
from kinesink.shell.kinesis import KinesisClient
from kinesink.testing import Hang
from tests.shell.support import PATIENCE, adds_up, landed, make_client, make_config, make_fake

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.testing import FakeKinesis

pytestmark = pytest.mark.usefixtures("signed")


@pytest.fixture
def fake() -> FakeKinesis:
    """Return a fake with a stream of four shards."""
    return make_fake()


class Told:
    """An on_error that remembers."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def __call__(self, kind: str, _: str) -> None:
        """Remember one."""
        self.kinds.append(kind)


def failing(
    monkeypatch: pytest.MonkeyPatch, verb: str, times: int, *, after: bool = False
) -> Callable[[], int]:
    """Let a verb of every pipeline raise ``times`` times; return how often it still will."""
    real = getattr(Pipeline, verb)
    left = times

    def fail(self: Pipeline, *args: object, **kwargs: object) -> object:
        nonlocal left
        if after and left:
            real(self, *args, **kwargs)
        if left:
            left -= 1
            raise RuntimeError("a bug")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Pipeline, verb, fail)
    return lambda: left


class Buggy(KinesisClient):
    """Raises an error for some calls."""

    def raise_if(self, fails: Callable[[list[bytes]], bool], error: Exception) -> Buggy:
        """Raise when ``fails`` is true of the data of a call."""
        self._fails, self._error = fails, error
        return self

    async def put_records(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as inherited
        """Raise, or put."""
        if self._fails([entry.data for entry in args[1]]):
            raise self._error
        return await super().put_records(*args, **kwargs)


@pytest.mark.parametrize("framing", ["kpl", "none"])
async def test_f9_a_record_that_kinesink_fails_at_costs_nobody_else(
    fake: FakeKinesis, framing: str
) -> None:
    """It alone is given up; those in its call and those after it arrive."""
    told = Told()
    config = make_config(on_error=told, framing=framing)
    client = Buggy(config, transport=fake.transport()).raise_if(
        lambda data: any(b"poison" in each for each in data), RuntimeError("a bug")
    )
    async with Producer(config, client=client) as producer:
        data = [b"%d" % number for number in range(20)]
        with anyio.fail_after(PATIENCE):
            good = [await producer.put(each) for each in data[:10]]
            bad = await producer.put(b"poison")
            good += [await producer.put(each) for each in data[10:]]
            results = [await outcome.wait() for outcome in good]
            result = await bad.wait()
    assert all(each.success for each in results)
    assert result.reason is DropReason.INTERNAL
    assert "RuntimeError('a bug')" in str(result.error)
    assert landed(fake) == sorted(data)
    assert "KinesinkInternalError" in told.kinds


async def test_a_call_that_fails_for_want_of_something_is_made_again(fake: FakeKinesis) -> None:
    """No record is to blame for a machine that has run out of file handles."""
    told = Told()
    config = make_config(on_error=told)
    left = [True]
    client = Buggy(config, transport=fake.transport()).raise_if(
        lambda _: bool(left and left.pop()), OSError(24, "Too many open files")
    )
    async with Producer(config, client=client) as producer:
        with anyio.fail_after(PATIENCE):
            assert (await (await producer.put(b"x")).wait()).success
    assert told.kinds == ["KinesinkInternalError"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "verb", ["add", "effects", "deadline", "request_done", "shards_listed", "stream_described"]
)
async def test_every_record_ends_when_a_stage_raises_once(
    fake: FakeKinesis,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    *,
    after: bool,
) -> None:
    """Before or after the stage has done its work: outcomes resolve, the account adds up."""
    left = failing(monkeypatch, verb, 1, after=after)
    told = Told()
    config = make_config(on_error=told)
    async with Producer(config, client=make_client(fake, config)) as producer:
        with anyio.fail_after(PATIENCE):
            outcomes = [await producer.put(b"%d" % number) for number in range(5)]
            results = [await outcome.wait() for outcome in outcomes]
            assert await producer.flush()
            late = await producer.put(b"late")
            assert (await late.wait()).success
    assert left() == 0
    assert "KinesinkInternalError" in told.kinds
    account = producer.statistics()
    assert adds_up(account)
    assert account.pending == 0
    lost = [result for result in results if not result.success]
    assert {result.reason for result in lost} <= {DropReason.INTERNAL}
    assert account.lost == len(lost)
    assert len(landed(fake)) >= account.delivered


async def test_events_nobody_waits_for_move_on_and_what_is_lost_is_told(
    fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flush that covers them ends with them."""
    told = Told()
    config = make_config(on_error=told, linger=0.2)
    async with Producer(config, client=make_client(fake, config)) as producer:
        await (await producer.put(b"first")).wait()
        failing(monkeypatch, "request_done", 1)
        for _ in range(10):
            producer._intake.put(b"x", 1)
        with anyio.fail_after(PATIENCE):
            assert await producer.flush()
        assert adds_up(producer._intake.statistics())
        assert producer._intake.statistics().pending == 0


async def test_a_stage_that_goes_on_raising_loses_everything_and_nobody_hangs(
    fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time within a minute nothing is moved any more."""
    told = Told()
    config = make_config(on_error=told)
    async with Producer(config, client=make_client(fake, config)) as producer:
        failing(monkeypatch, "effects", 1000)
        with anyio.fail_after(PATIENCE):
            outcome = await producer.put(b"x")
            producer._intake.put(b"y", 1)
            result = await outcome.wait()
            assert await producer.flush()
    assert result.reason is DropReason.INTERNAL
    assert result.error == "an error of kinesink's own, RuntimeError('a bug')"
    account = producer.statistics()
    assert account.pending == 0
    assert adds_up(account)


@pytest.mark.parametrize("ended", ["delivered", "expired"])
async def test_what_had_ended_before_the_error_is_told_as_it_ended(
    fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch, ended: str
) -> None:
    """A stage that raises between the end of a record and the telling of it."""
    told = Told()
    config = make_config(on_error=told, time_to_live=0.5 if ended == "expired" else 20)
    async with Producer(config, client=make_client(fake, config)) as producer:
        await (await producer.put(b"first")).wait()
        if ended == "expired":
            fake.faults.append(Hang(operation="PutRecords"))
        advance = Pipeline._advance

        def fail(self: Pipeline, now: float) -> object:
            if any(isinstance(effect, (Delivered, Dropped)) for effect in self._effects):
                monkeypatch.setattr(Pipeline, "_advance", advance)
                raise RuntimeError("a bug")
            return advance(self, now)

        monkeypatch.setattr(Pipeline, "_advance", fail)
        with anyio.fail_after(PATIENCE):
            result = await (await producer.put(b"x")).wait()
        fake.faults.clear()
        fake.release()
    assert result.success == (ended == "delivered")
    assert result.reason is (None if ended == "delivered" else DropReason.EXPIRED)
    assert "KinesinkInternalError" in told.kinds
    assert adds_up(producer.statistics())


@pytest.mark.parametrize("times", [1, 1000])
async def test_leaving_ends_every_record_even_if_giving_up_raises(
    fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """The last resort has one as well."""
    told = Told()
    config = make_config(on_error=told, linger=1.0, shutdown_timeout=0)
    async with Producer(config, client=make_client(fake, config)) as producer:
        outcome = await producer.put(b"x")
        failing(monkeypatch, "abandon", times)
    assert outcome.done
    account = producer.statistics()
    assert account.pending == 0
    assert adds_up(account)


async def test_the_task_survives_an_error_outside_of_every_pipeline(
    fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It rests for a moment and goes on."""
    told = Told()
    config = make_config(on_error=told)
    async with Producer(config, client=make_client(fake, config)) as producer:
        task = producer._task
        assert task is not None
        turns = iter([RuntimeError("a bug")])
        turn = task._turn

        def fail() -> float:
            for error in turns:
                raise error
            return turn()

        monkeypatch.setattr(task, "_turn", fail)
        with anyio.fail_after(PATIENCE):
            assert (await (await producer.put(b"x")).wait()).success
    assert told.kinds == ["KinesinkInternalError"]


@pytest.mark.parametrize("leaving", [False, True])
@pytest.mark.parametrize("times", [1, 100])
async def test_f9_a_flush_that_a_stage_fails_at_ends_and_raises_nothing(
    fake: FakeKinesis,
    monkeypatch: pytest.MonkeyPatch,
    times: int,
    *,
    leaving: bool,
) -> None:
    """What the stage was working on goes on elsewhere, or is lost and counted."""
    told = Told()
    config = make_config(on_error=told, linger=20.0)
    with anyio.fail_after(PATIENCE):
        async with Producer(config, client=make_client(fake, config)) as producer:
            outcome = await producer.put(b"x")
            failing(monkeypatch, "flush", times)
            if not leaving:
                assert await producer.flush()
                assert outcome.done
    assert outcome.done
    assert "KinesinkInternalError" in told.kinds
    account = producer.statistics()
    assert adds_up(account)
    assert account.pending == 0
    assert account.dropped == ({DropReason.INTERNAL: 1} if times > 1 else {})
    assert landed(fake) == ([b"x"] if times == 1 else [])

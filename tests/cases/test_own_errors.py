"""Errors of kinesink's own and of callbacks (cases F9 and F10): what they may cost."""

# ruff: noqa: N802 - the tests carry the names of the cases

from __future__ import annotations

import sys
import threading

import anyio
import pytest

from kinesink import DropReason
from kinesink.shell.reporter import Reporter
from kinesink.testing import (
    RequestError,
)
from tests.cases.scene import RTT, scene

LINGER = 0.1
CALL = LINGER + RTT

STAGES = [
    "core.aggregator.Aggregator.add_keyed",
    "core.router.Router.admit",
    "core.router.Router.take",
    "core.rate_limiter.RateLimiter.add",
    "core.collector.Collector.form",
    "core.pipeline.Pipeline.effects",
    "core.pipeline.Pipeline.add",
    "core.pipeline.Pipeline.request_done",
    "core.pipeline.Pipeline.deadline",
    "core.entry.Entry.encode",
    "core.verdict.judge",
    "shell.kinesis.KinesisClient.put_records",
    "shell.wire.encode_put_records",
    "shell.wire.decode_put_records",
]


def break_once(monkeypatch: pytest.MonkeyPatch, stage: str, calls: list[int]) -> None:
    """Have a function of kinesink raise at its next call, before it does anything."""
    owner_name, _, name = f"kinesink.{stage}".rpartition(".")
    owner = resolve(owner_name)
    original = getattr(owner, name)

    def broken(*arguments: object, **keywords: object) -> object:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError(stage)
        return original(*arguments, **keywords)

    modules = [module for key, module in sys.modules.items() if key.startswith("kinesink.")]
    for user in [owner, *modules]:
        if vars(user).get(name) is original:
            monkeypatch.setattr(user, name, broken)


def resolve(name: str) -> object:
    """Return what a dotted name stands for."""
    import importlib  # noqa: PLC0415 - for this alone

    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        return getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("stage", STAGES)
async def test_F9_an_error_in_a_stage_costs_what_it_was_working_on(
    stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything else goes on: other events, the producer, the tasks of the application."""
    ticks: list[float] = []

    async def application() -> None:
        while True:
            await anyio.sleep(0.1)
            ticks.append(anyio.current_time())

    calls: list[int] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(application)
        async with scene(shutdown_timeout=5.0) as s:
            before = [await s.put(b"before %d" % number, str(number)) for number in range(4)]
            assert all([(await outcome.wait()).success for outcome in before])
            break_once(monkeypatch, stage, calls)
            struck = [await s.put(b"struck %d" % number, str(number)) for number in range(4)]
            with anyio.fail_after(60):
                results = [await outcome.wait() for outcome in struck]
            after = [await s.put(b"after %d" % number, str(number)) for number in range(4)]
            assert all([(await outcome.wait()).success for outcome in after])
            # Of the application nothing was cancelled, and it was never held up.
            ticks.clear()
            await anyio.sleep(1.05)
            assert len(ticks) >= 10
        tasks.cancel_scope.cancel()
    assert calls
    assert s.account().lost == sum(not result.success for result in results)
    assert {result.reason for result in results} <= {None, DropReason.INTERNAL}
    told = [each for each in s.told if "ZeroDivisionError" in each.text]
    assert told


@pytest.mark.parametrize(
    "stage",
    [
        "core.pipeline.Pipeline.shards_listed",
        "core.pipeline.Pipeline.stream_described",
        "core.shard_map.ShardMap.listed",
        "shell.kinesis.KinesisClient.list_shards",
        "shell.kinesis.KinesisClient.describe_stream_summary",
        "shell.wire.decode_list_shards",
        "shell.wire.decode_describe_stream_summary",
    ],
)
async def test_F9_an_error_while_learning_about_the_stream_costs_time_at_most(
    stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question is asked again, and events go on as without its answer."""
    calls: list[int] = []
    break_once(monkeypatch, stage, calls)
    async with scene(warm=False) as s:
        outcomes = [await s.put(b"%d" % number, str(number)) for number in range(4)]
        with anyio.fail_after(60):
            results = [await outcome.wait() for outcome in outcomes]
        assert s.account().lost == sum(not result.success for result in results)
        await s.until(lambda: len(calls) > 1, 400, step=1)
        assert (await s.deliver(b"next", "k")).success
        assert s.account().refreshes >= 1


async def test_F9_an_error_while_taking_events_in_costs_those(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are counted, and the next ones are delivered."""
    calls: list[int] = []
    async with scene() as s:
        break_once(monkeypatch, "shell.arrivals.contents_of", calls)
        for number in range(3):
            s.emit(b"%d" % number)
        await anyio.sleep(1)
        for number in range(3, 6):
            s.emit(b"%d" % number)
        await s.settle()
        assert calls
    assert s.account().delivered == 3
    assert s.account().dropped == {DropReason.INTERNAL: 3}


async def test_F9_a_record_that_kinesink_fails_at_fails_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However often it is tried: its neighbours are delivered."""
    from kinesink.core.entry import Entry  # noqa: PLC0415 - what is broken here

    encode = Entry.encode

    def poisoned(entry: Entry, turn: int) -> object:
        if b"poison" in entry.data():
            raise ZeroDivisionError
        return encode(entry, turn)

    monkeypatch.setattr(Entry, "encode", poisoned)
    async with scene() as s:
        outcomes = {
            data: await s.put(data, str(number))
            for number, data in enumerate([*(b"%d" % n for n in range(20)), b"poison"])
        }
        with anyio.fail_after(120):
            results = {data: await outcome.wait() for data, outcome in outcomes.items()}
        assert (await s.deliver(b"next", "k")).success
    assert [data for data, result in results.items() if not result.success] == [b"poison"]
    assert results[b"poison"].reason is DropReason.INTERNAL


@pytest.mark.parametrize("way", ["raises", "hangs"])
async def test_F10_a_callback_that_fails_or_hangs_costs_no_delivery(
    way: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Events arrive as fast as ever, and the failure is told once."""
    go_on = threading.Event()
    called: list[str] = []

    def on_error(kind: str, text: str) -> None:
        del text
        called.append(kind)
        if way == "hangs":
            go_on.wait(20)
        else:
            raise ZeroDivisionError

    async with scene(reporter=Reporter(on_error, anyio.current_time)) as s:
        for round_ in range(3):
            s.fake.script(RequestError("AccessDeniedException", "no", times=1))
            assert not (await s.deliver(b"denied %d" % round_, "k")).success
            await anyio.sleep(90)
            began = s.now
            assert (await s.deliver(b"%d" % round_, "k")).success
            assert s.now - began <= CALL + 1e-6
        go_on.set()
    said = capfd.readouterr().err
    assert said.count("on_error raised ZeroDivisionError()") == (way == "raises")
    assert called == ["AccessDeniedException"] * 3

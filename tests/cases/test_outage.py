"""Kinesis out of reach for an hour (case B4): what it costs, and what is left of it after."""

# ruff: noqa: N802 - the tests carry the names of the cases

from __future__ import annotations

import socket
from collections import Counter
from typing import TYPE_CHECKING, Final

import anyio
import httpx
import pytest

from kinesink import DropReason
from kinesink.core.limits import MIB
from kinesink.core.records import ATTEMPTS_KEPT
from kinesink.shell.intake import EVENT_OVERHEAD_BYTES
from kinesink.shell.producer_task import ProducerTask
from kinesink.testing import AccessDenied, FakeKinesis, Hang, RawAnswer
from tests.cases.clock import EPOCH, wall_clock
from tests.cases.scene import APP, RTT, scene

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kinesink.testing.faults import Fault
    from tests.cases.scene import Scene

pytestmark = pytest.mark.slow

MINUTE: Final = 60.0
HOUR: Final = 60 * MINUTE
LIFE: Final = 10 * MINUTE
LINGER: Final = 0.1

LONGEST_BACKOFF: Final = 15.0
"""Of calls that find nobody, in seconds; twice as long where somebody has to grant something."""

LIMIT: Final = 3 * MIB
BURST: Final = 20
EVENT_BYTES: Final = 1000
EVERY: Final = 3.0
"""So many events of so many bytes each so many seconds: the limit is reached in seven minutes."""


class Line(httpx.AsyncBaseTransport):
    """The way to a fake, which can be cut; counts who sets out."""

    def __init__(self, carrier: httpx.AsyncBaseTransport) -> None:
        self._carrier = carrier
        self.cut: Callable[[httpx.Request], Awaitable[None]] | None = None
        self.attempts: Counter[str] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry a request, if it can be carried."""
        self.attempts[request.headers["x-amz-target"].partition(".")[2]] += 1
        if self.cut is not None:
            await self.cut(request)
        return await self._carrier.handle_async_request(request)


async def refuse(request: httpx.Request) -> None:
    """Nobody listens."""
    raise httpx.ConnectError("All connection attempts failed", request=request)


async def no_connection(request: httpx.Request) -> None:
    """Packets vanish."""
    await anyio.sleep(request.extensions["timeout"]["connect"])
    raise httpx.ConnectTimeout("", request=request)


async def no_such_name(request: httpx.Request) -> None:
    """Names cannot be looked up."""
    cause = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    raise httpx.ConnectError(str(cause), request=request) from cause


OUTAGES: Final[dict[str, Callable[[httpx.Request], Awaitable[None]] | Fault]] = {
    "connections are refused": refuse,
    "connecting hangs": no_connection,
    "answers hang": Hang(),
    "the name is not found": no_such_name,
    "it answers 503": RawAnswer(503),
    "access is denied": AccessDenied(),
}


class Outage:
    """Begins and ends, and counts what the producer does meanwhile."""

    def __init__(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kind = kind
        self.turns = 0
        self.fake = FakeKinesis(clock=wall_clock, keep_calls=0, limits=True)
        self.fake.create_stream(APP, shards=1)
        self.line = Line(self.fake.transport())
        monkeypatch.setattr(self.fake, "transport", lambda: self.line)
        turn = ProducerTask._turn

        def counted(task: ProducerTask) -> float:
            self.turns += 1
            return turn(task)

        monkeypatch.setattr(ProducerTask, "_turn", counted)

    @property
    def longest_backoff(self) -> float:
        """Seconds that pass at most until somebody looks whether it is over."""
        return LONGEST_BACKOFF * (2 if self.kind == "access is denied" else 1)

    def begin(self) -> None:
        """Cut the line, or let the service fail."""
        what = OUTAGES[self.kind]
        if callable(what):
            self.line.cut = what
        else:
            self.fake.script(what)

    def end(self) -> None:
        """Let everything be as before."""
        self.line.cut = None
        self.fake.faults.clear()
        self.fake.release()

    def count_anew(self) -> None:
        """Forget what was counted."""
        self.turns = 0
        self.line.attempts.clear()

    def check_idle(self, seconds: float, bursts: int) -> None:
        """Check what was done in so many seconds, in which events came in so many bursts."""
        minutes = seconds / MINUTE
        # A draw is seven and a half seconds at least, and eleven in the mean.
        assert minutes <= self.line.attempts["PutRecords"] <= 7 * minutes
        # The listing is half a minute apart in the end, the description five.
        assert self.line.attempts["ListShards"] <= 4 * minutes
        assert self.line.attempts["DescribeStreamSummary"] <= 4 * minutes
        # A burst is taken in, looked after and expires; a call begins, ends and is waited for.
        assert self.turns <= 5 * bursts + 3 * self.line.attempts.total() + 4 * minutes


every_outage = pytest.mark.parametrize("kind", OUTAGES)


class Load:
    """Events in bursts, and when each was emitted."""

    def __init__(self, played: Scene) -> None:
        self._scene = played
        self.emitted: dict[bytes, float] = {}

    async def go_on(self, seconds: float) -> int:
        """Emit as before, and look at what is held; return in how many bursts."""
        bursts = round(seconds / EVERY)
        for _ in range(bursts):
            for _ in range(BURST):
                data = b"%07d" % len(self.emitted)
                data += bytes(EVENT_BYTES - len(data))
                self.emitted[data] = self._scene.now
                self._scene.emit(data)
            await anyio.sleep(EVERY)
            account = self._scene.account()
            held = account.pending_bytes + EVENT_OVERHEAD_BYTES * account.pending
            assert held <= self._scene.config.max_pending_bytes
        return bursts


def arrivals(fake: FakeKinesis, since: float) -> dict[bytes, float]:
    """Return what has landed since, in the order in which it has, and when."""
    landed = {read.data: read.arrival - EPOCH for read in fake.user_records(APP)}
    return {data: at for data, at in landed.items() if at >= since}


@pytest.mark.slow
@every_outage
async def test_B4_an_hour_without_kinesis(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs bounded memory and a few calls; what is young enough arrives, the oldest first."""
    outage = Outage(kind, monkeypatch)
    async with scene(outage.fake, time_to_live=LIFE, max_pending_bytes=LIMIT) as s:
        load = Load(s)
        await load.go_on(MINUTE)
        outage.begin()
        waited = [await s.put(b"waited for %d" % number, "k") for number in range(3)]
        # Until the backoff has reached its longest.
        await load.go_on(2 * MINUTE)
        outage.count_anew()
        began = s.now
        bursts = await load.go_on(HOUR)
        outage.check_idle(s.now - began, bursts)
        assert {*s.account().dropped} >= {DropReason.EXPIRED}
        for outcome in waited:
            result = await outcome.wait()
            assert 0 < len(result.attempts) <= ATTEMPTS_KEPT

        delivered = s.account().delivered
        outage.end()
        back_at = s.now
        # A call that hangs when the service comes back has to end first.
        patience = outage.longest_backoff + s.config.request_timeout + RTT
        await s.until(lambda: s.account().delivered > delivered, patience)
        # A shard takes a mebibyte a second, and the pace grows to that in two seconds.
        await s.settle(LIMIT / MIB + 5)
        assert s.account().throttled == 0
        began = s.now
        assert (await s.deliver(b"as before", "k")).success
        assert s.now - began <= LINGER + RTT + 0.03

    landed = {data: at for data, at in arrivals(s.fake, back_at).items() if data in load.emitted}
    assert len(landed) > 1000
    # A call that hung may be taken while its oldest events expire.
    under_way = s.config.request_timeout if kind == "answers hang" else RTT
    assert max(at - load.emitted[data] for data, at in landed.items()) <= LIFE + under_way
    # Requests that are under way together arrive in any order.
    order = [age for _, age in sorted((at, load.emitted[data]) for data, at in landed.items())]
    assert order == sorted(order)
    for at in landed.values():
        within = sum(EVENT_BYTES for other in landed.values() if at <= other < at + 1)
        assert within <= 2 * MIB


@pytest.mark.parametrize("kind", ["connections are refused", "answers hang", "access is denied"])
async def test_B4_nothing_goes_on_while_nothing_comes_in(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that is silent during an outage is woken for a few calls a minute."""
    outage = Outage(kind, monkeypatch)
    async with scene(outage.fake, time_to_live=2 * HOUR) as s:
        outage.begin()
        await Load(s).go_on(2 * MINUTE)
        outage.count_anew()
        await anyio.sleep(HOUR)
        outage.check_idle(HOUR, bursts=0)
        outage.end()
        await s.settle(outage.longest_backoff + 5)
    assert s.account().lost == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["connections are refused", "access is denied"])
async def test_B4_once_it_is_back_the_stream_is_asked_about_at_once(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not when the backoff of the questions ends: without answers nothing is aggregated."""
    outage = Outage(kind, monkeypatch)
    outage.begin()
    async with scene(outage.fake, warm=False, time_to_live=2 * HOUR) as s:
        load = Load(s)
        # More than can be under way, as records of their own, before the answers are there.
        await load.go_on(15 * MINUTE)
        await anyio.sleep(HOUR)
        outage.end()
        outage.count_anew()
        await s.until(lambda: s.account().delivered, outage.longest_backoff + RTT)
        await anyio.sleep(RTT + 0.02)
        # They would be asked again by themselves after half a minute and after five.
        assert outage.line.attempts["ListShards"] == 1
        assert outage.line.attempts["DescribeStreamSummary"] == 1
        await s.settle()
    assert s.account().lost == 0
    # Aggregated, once it is known that they may be.
    assert len(s.records()) < len(load.emitted) - 1000

"""A producer, the real client and a fake of the service, on one virtual clock.

Law: what a test does goes in by the front door and comes back as a consumer built on the
KCL reads it. The two checks that close every case are made on the way out: the account
closes with nothing pending, and nothing counts as delivered that no consumer sees. That
the account adds up is checked at every call to the service besides.
"""

from __future__ import annotations

import gzip
import os
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import anyio
import httpx
import pytest

from kinesink import Config, Producer
from kinesink.core.aggregated_record import decode
from kinesink.core.pipeline import Pipeline
from kinesink.shell import credentials, exit_safe, stream
from kinesink.shell.intake import Intake, KeyedEvent
from kinesink.shell.kinesis import KinesisClient
from kinesink.shell.reporter import Reporter
from kinesink.statistics import Statistics
from kinesink.testing import FakeKinesis
from tests.cases.clock import HeldTimeExecutor, wall_clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from kinesink import Outcome
    from kinesink.core.records import RecordResult
    from kinesink.testing.exchange import Call

APP: Final = "app"
"""The configured stream."""

RTT: Final = 0.05
"""The round trip of every call, in seconds, half of it on the way there."""

HALF: Final = 2**127
"""Where the second of two equal shards begins."""

TOP: Final = 2**128 - 1
"""The last hash key."""

_DEFAULTS: Final = {
    "region_name": "eu-west-1",
    # Reading the certificates takes longer than everything else in a case.
    "endpoint_url": "http://kinesis.eu-west-1.invalid",
    "shutdown_timeout": 30.0,
}

_WARM_UP: Final = b"a record that makes the producer learn about its stream"


class Told(NamedTuple):
    """One report to the operator."""

    at: float
    kind: str
    text: str


class RecordingReporter(Reporter):
    """Keeps what is told, with the virtual time; when to tell is the real one's business."""

    def __init__(self) -> None:
        super().__init__(None, clock=anyio.current_time)
        self.told: list[Told] = []

    def say(self, kind: str, text: str) -> None:
        """Keep a report."""
        self.told.append(Told(anyio.current_time(), kind, text))


class _Wire(httpx.AsyncBaseTransport):
    """Carries calls to the fake with a fixed round trip, and looks at the account meanwhile."""

    def __init__(self, scene: Scene, carrier: httpx.AsyncBaseTransport) -> None:
        self._scene = scene
        self._carrier = carrier

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one call."""
        self._scene.look()
        await anyio.sleep(self._scene.rtt / 2)
        response = await self._carrier.handle_async_request(request)
        await anyio.sleep(self._scene.rtt / 2)
        self._scene.look()
        return response

    async def aclose(self) -> None:
        """Note when connections close."""
        self._scene.closed_at.append(anyio.current_time())


@dataclass(frozen=True)
class Sent:
    """A user record that somebody waits for."""

    data: bytes
    stream: str
    outcome: Outcome


class Scene:
    """Everything around one producer."""

    def __init__(
        self,
        fake: FakeKinesis,
        config: Config,
        *,
        rtt: float = RTT,
        reporter: Reporter | None = None,
        local_clock: Callable[[], float] = wall_clock,
    ) -> None:
        self.fake = fake
        self.config = config
        self.rtt = rtt
        self.sent: list[Sent] = []
        self.emitted: Counter[bytes] = Counter()
        self.closed_at: list[float] = []
        self.recorder = RecordingReporter()
        self.client = KinesisClient(
            config, transport=_Wire(self, fake.transport()), clock=local_clock
        )
        self.intake = Intake(config.max_pending_bytes, wake=_nobody)
        self.producer = Producer(
            config, intake=self.intake, client=self.client, reporter=reporter or self.recorder
        )
        self._calls_before = 0
        self._account_before = Statistics()

    # What goes in

    async def put(
        self,
        data: bytes,
        key: str | None = None,
        hash_key: int | None = None,
        *,
        to: str | None = None,
    ) -> Outcome:
        """Put a user record whose result is to be awaited."""
        outcome = await self.producer.put(data, key, hash_key, to)
        self.sent.append(Sent(data, to or self.config.stream_name, outcome))
        return outcome

    async def deliver(self, data: bytes, key: str | None = None, **how: Any) -> RecordResult:  # noqa: ANN401 - put checks
        """Put a user record and wait for its result."""
        return await (await self.put(data, key, **how)).wait()

    def emit(self, data: bytes, key: str | None = None, hash_key: int | None = None) -> bool:
        """Hand an event over as a log call does."""
        item = data if key is None and hash_key is None else KeyedEvent(data, key, hash_key)
        self.emitted[data] += 1
        return self.intake.put(item, len(data))

    async def warm_up(self) -> None:
        """Have the producer learn about the stream; what it took does not count."""
        assert (await (await self.producer.put(_WARM_UP)).wait()).success
        self._calls_before = len(self.fake.calls)
        self._account_before = self.producer.statistics()

    # Time

    @property
    def now(self) -> float:
        """The virtual time."""
        return anyio.current_time()

    async def until(
        self, condition: Callable[[], object], within: float = 60.0, *, step: float = 0.02
    ) -> None:
        """Let time pass until a condition holds, looking every ``step`` seconds."""
        with anyio.fail_after(within):
            while not condition():  # noqa: ASYNC110 - the fake knows no event loop to tell
                await anyio.sleep(step)

    async def settle(self, within: float = 60.0) -> None:
        """Let time pass until nothing is pending."""
        await self.until(lambda: not self.pending, within, step=0.05)

    @property
    def pending(self) -> int:
        """How many events are pending; what the producer has not taken in counts as one."""
        return self.intake.waiting + self.producer.statistics().pending

    # What came of it

    @property
    def told(self) -> list[Told]:
        """What the operator was told."""
        return self.recorder.told

    def kinds(self) -> Counter[str]:
        """Return how often the operator was told what."""
        return Counter(each.kind for each in self.told)

    def calls(self, operation: str = "PutRecords", of: str = APP) -> list[Call]:
        """Return the calls for a stream since the warm-up, refused ones included."""
        calls = self.fake.calls[self._calls_before :]
        return [call for call in calls if call.operation == operation and call.stream == of]

    def account(self) -> Statistics:
        """Return what has happened since the warm-up, and what is pending."""
        before, after = self._account_before, self.producer.statistics()
        totals: dict[str, Any] = {
            spec.name: getattr(after, spec.name) - getattr(before, spec.name)
            for spec in fields(Statistics)
            if spec.name != "dropped"
        }
        return Statistics(**totals, dropped=dict(after.dropped))

    def copies(self, of: str = APP) -> Counter[bytes]:
        """Return how often a consumer receives what."""
        if self.config.framing == "lines":
            found = Counter(self._lines(of))
        else:
            found = Counter(each.data for each in self.fake.user_records(of))
        found.pop(_WARM_UP, None)
        return found

    def landed(self, of: str = APP) -> Counter[bytes]:
        """Return how often user records landed, those included that no consumer sees."""
        found: Counter[bytes] = Counter()
        for data in self.records(of):
            subs = decode(data)
            found.update([data] if subs is None else [sub.data for sub in subs])
        return found

    def _lines(self, of: str) -> list[bytes]:
        texts = [record.data for record in self.fake.records(of)]
        if self.config.compression == "gzip":
            texts = [gzip.decompress(text) for text in texts]
        return [line for text in texts for line in text.split(b"\n") if line]

    def records(self, of: str = APP) -> list[bytes]:
        """Return the data of the Kinesis records as they landed."""
        return [each.data for each in self.fake.records(of) if each.data != _WARM_UP]

    # Checks

    def look(self) -> None:
        """Check that the account adds up, now."""
        account = self.producer.statistics()
        assert account.accepted == account.delivered + account.lost + account.pending
        assert account.pending >= 0

    def check(self) -> None:
        """Make the two checks that close every case, after the producer has closed."""
        self.look()
        account = self.account()
        assert account.pending == 0
        assert account.pending_bytes == 0
        assert account.accepted == len(self.sent) + self.emitted.total()
        assert all(each.outcome.done for each in self.sent)
        seen = {name: self.copies(name) for name in self.fake.streams()}
        succeeded = Counter(
            (each.stream, each.data) for each in self.sent if _result(each.outcome).success
        )
        for (name, data), times in succeeded.items():
            assert seen[name][data] >= times, (name, data)
        emitted = sum((self.emitted & seen.get(self.config.stream_name, Counter())).values())
        assert emitted >= account.delivered - succeeded.total()


def _nobody() -> None:
    """Wake nobody: the producer puts its own wake-up in this place."""


def _result(outcome: Outcome) -> RecordResult:
    result = outcome._result
    assert result is not None
    return result


def new_fake(shards: int = 2, **settings: Any) -> FakeKinesis:  # noqa: ANN401 - create_stream checks
    """Return a fake on virtual time, with the stream ``app``; in an event loop only."""
    fake = FakeKinesis(clock=wall_clock, keep_calls=None)
    fake.create_stream(APP, shards=shards, **settings)
    return fake


def new_config(**parameters: Any) -> Config:  # noqa: ANN401 - Config checks each
    """Return the configuration of a scene: the defaults but for where Kinesis is."""
    return Config(**{"stream_name": APP, **_DEFAULTS, **parameters})


@asynccontextmanager
async def scene(  # noqa: PLR0913 - what a case may say about its world
    fake: FakeKinesis | None = None,
    *,
    shards: int = 2,
    warm: bool = True,
    rtt: float = RTT,
    reporter: Reporter | None = None,
    local_clock: Callable[[], float] = wall_clock,
    **parameters: object,
) -> AsyncIterator[Scene]:
    """Play a case: enter the producer, leave it, and make the closing checks.

    :param warm: whether the producer knows the stream from the start.
    :param local_clock: what the client takes for the time since the epoch.
    """
    fake = fake or new_fake(shards)
    config = new_config(**parameters)
    played = Scene(fake, config, rtt=rtt, reporter=reporter, local_clock=local_clock)
    async with played.producer:
        if warm:
            await played.warm_up()
        yield played
    played.check()


@pytest.fixture
def virtual_world(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put what kinesink takes from outside the loop on the loop's clock."""
    monkeypatch.setattr(exit_safe, "_executor", HeldTimeExecutor())
    monkeypatch.setattr(stream, "time", SimpleNamespace(time=wall_clock))
    monkeypatch.setattr(credentials, "_look_up", _look_up_once)


_found: dict[object, Any] = {}
_look_up = credentials._look_up


def _look_up_once(config: Config, known: Any) -> Any:  # noqa: ANN401 - what a Signer knows of itself
    """Find first credentials once for all tests that have the same: it takes a while."""
    keys = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SESSION_TOKEN")
    where = config.region_name, config.endpoint_url, keys
    if known is not None:
        return _look_up(config, known)
    if where not in _found:
        _found[where] = _look_up(config, None)
    return _found[where]


@pytest.fixture
def pipelines(monkeypatch: pytest.MonkeyPatch) -> list[Pipeline]:
    """Return a list of all pipelines that a test makes, in order."""
    made: list[Pipeline] = []
    make = Pipeline.__init__

    def remember(pipeline: Pipeline, *arguments: Any, **keywords: Any) -> None:  # noqa: ANN401 - Pipeline checks
        made.append(pipeline)
        make(pipeline, *arguments, **keywords)

    monkeypatch.setattr(Pipeline, "__init__", remember)
    return made


def full_jitter(monkeypatch: pytest.MonkeyPatch, value: float = 1.0) -> None:
    """Have producers made from now on draw ``value`` each time, instead of at random."""
    monkeypatch.setattr(stream, "_draw", lambda: value)

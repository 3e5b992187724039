"""The streams' pipelines at work: what is asked of them, what they ask for, what comes of it.

Law: the core decides, this file does what it says. Whatever a pipeline, a call or a
receiver raises, the work goes on.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio

from kinesink.core.effects import Delivered, DescribeStream, Dropped, ListShards, SendRequest
from kinesink.core.pipeline import Pipeline
from kinesink.core.records import DropReason
from kinesink.core.retry_policy import OWN_ERROR
from kinesink.shell import origin
from kinesink.shell.caller import Caller
from kinesink.shell.exit_safe import run_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from anyio.abc import TaskGroup

    from kinesink.config import Config
    from kinesink.core.effects import Effect
    from kinesink.core.records import Content
    from kinesink.shell.caller import Call
    from kinesink.shell.flush import Flush
    from kinesink.shell.kinesis import KinesisClient
    from kinesink.shell.spool_job import Job
    from kinesink.shell.spooler import Spooler
    from kinesink.shell.spooling import Spooling
    from kinesink.shell.stream import Stream
    from kinesink.shell.teller import Teller

Result = TypeVar("Result")

#: Seconds a stream rests after an error of kinesink's own, so that nothing can spin.
REST_AFTER_ERROR: Final = 0.1


class StreamWork:
    """Belongs to the producer's task. Not thread-safe."""

    #: Where calls run, each in a task of its own.
    tasks: TaskGroup

    def __init__(
        self,
        config: Config,
        client: KinesisClient,
        teller: Teller,
        use: Callable[[float], Stream],
        wake: Callable[[], None],
    ) -> None:
        """Begin without any work.

        :param use: returns the configured stream, given the time.
        :param wake: has the task look again.
        """
        self._name = config.stream_name
        self._teller = teller
        self._caller = Caller(config, client, self.report_own)
        self._use = use
        self._wake = wake
        #: Where events go that memory is no place for.
        self.spooling: Spooling | None = None
        #: Outcomes of calls, to be taken in by the next turn.
        self._completions: deque[Callable[[], None]] = deque()
        self._flushes: list[Flush] = []

    def spool_by(self, spooler: Spooler) -> None:
        """Have events go to disk that memory is no place for."""
        # Imported here, because it needs sqlite3, and most do without.
        from kinesink.shell.spooling import Spooling  # noqa: PLC0415 - see above

        def start(job: Job[Any]) -> None:
            self.tasks.start_soon(self._do, job, spooling.finish)

        clock = anyio.current_time
        spooling = self.spooling = Spooling(
            spooler, self._teller, clock=clock, stream=self._use, start=start,
            add=lambda stream, contents: self.add(stream, contents, clock()),
            guarded=lambda stream, verb: self.guarded(stream, verb, clock()),
        )  # fmt: skip

    # -- what is asked of a pipeline ---------------------------------------------

    def advance(self, stream: Stream, now: float) -> float:
        """Do what one stream asks for; return when it asks again."""
        if now < stream.due_at:
            return stream.due_at
        effects = self.guarded(stream, partial(Pipeline.effects, now=now), now)
        for effect in effects or ():
            self.perform(stream, effect, now)
        deadline = self.guarded(stream, partial(Pipeline.deadline, now=now), now)
        if effects is None or deadline is None:
            deadline = now + REST_AFTER_ERROR
        stream.due_at = deadline
        return deadline

    def add(self, stream: Stream, contents: list[Content], now: float) -> None:
        """Take events in, and account for them whatever happens."""

        def add(pipeline: Pipeline) -> None:
            expected = pipeline.ledger.accepted + sum(map(len, contents))
            try:
                pipeline.add(contents, now)
            except Exception:
                for _ in range(expected - pipeline.ledger.accepted):
                    pipeline.ledger.refused(DropReason.INTERNAL)
                raise

        self.guarded(stream, add, now)

    def guarded(
        self, stream: Stream, verb: Callable[[Pipeline], Result], now: float
    ) -> Result | None:
        """Have the pipeline do something; if it fails at that go on with another."""
        stream.touch()
        try:
            return verb(stream.pipeline)
        except Exception as error:  # noqa: BLE001 - the task must survive any stage
            self.report_own(stream.name, error)
            self._restart(stream, error, now)
            return None

    def _restart(self, stream: Stream, error: Exception, now: float) -> None:
        lost, moved, ends = stream.restart(error, now)
        for effect in ends:
            self.perform(stream, effect, now)
        if lost:
            text = f"an error of kinesink's own, {error!r}"
            self._teller.lost(stream, DropReason.INTERNAL, {None: lost}, text, now)
        for flush in self._flushes:
            flush.uncover(stream)
        if moved:
            self.add(stream, moved, now)
            for flush in self._flushes:
                self.cover(stream, flush, now)
        self._wake()

    def perform(self, stream: Stream, effect: Effect, now: float) -> None:
        """Do what a pipeline asks for."""
        match effect:
            case SendRequest() | ListShards() | DescribeStream():
                stream.calls += 1
                self.tasks.start_soon(self._call, stream, stream.pipeline, effect)
            case Delivered():
                stream.resolve(effect.record, effect.result)
            case Dropped():
                self._dropped(stream, effect, now)
            case _:
                about = f"{stream.name} {effect.operation}"
                self._teller.reporter.report(effect.kind, effect.text, about=about)

    def _dropped(self, stream: Stream, drop: Dropped, now: float) -> None:
        if drop.result is None:
            if self.spooling is None or not self.spooling.rescues(stream, drop):
                self._teller.dropped(stream, drop, now)
            return
        for content in drop.contents:
            stream.resolve(content, drop.result)

    # -- flushes -----------------------------------------------------------------

    def begin_flush(self, flush: Flush, streams: Iterable[Stream], now: float) -> None:
        """Let nothing linger; ``flush.done`` is called when all of it has ended."""
        # Known before it covers anything: what a pipeline that fails at this leaves to its
        # successor is covered there.
        self._flushes.append(flush)
        for stream in streams:
            self.cover(stream, flush, now)

    def cover(self, stream: Stream, flush: Flush, now: float) -> None:
        """Have a flush wait for what a stream has taken in."""
        self.guarded(stream, lambda _: flush.cover(stream), now)

    def finish_flushes(self) -> None:
        """Tell those who wait for a flush that has ended."""
        flushes, self._flushes = self._flushes, []
        for flush in flushes:
            if flush.ended():
                flush.done()
            elif not flush.given_up:
                self._flushes.append(flush)

    # -- calls to Kinesis ------------------------------------------------------

    async def _call(self, stream: Stream, pipeline: Pipeline, call: Call) -> None:
        origin.suppress_spans()
        outcome = await self._caller.make(stream.name, call)
        self._completions.append(partial(self._take_outcome, stream, pipeline, outcome))
        self._wake()

    async def _do(self, job: Job[Any], finish: Callable[[], None]) -> None:
        """Have something done in a thread that touches the disk."""
        try:
            await run_in_thread(job.run)
        except Exception as error:  # noqa: BLE001 - the task must survive whatever it is
            self.report_own(self._name, error)
        self._completions.append(finish)
        self._wake()

    def take_outcomes(self) -> None:
        """Take what has come of calls into the pipelines."""
        while self._completions:
            self._completions.popleft()()

    def _take_outcome(
        self, stream: Stream, pipeline: Pipeline, outcome: Callable[[Pipeline], None]
    ) -> None:
        stream.calls -= 1
        # The outcome of a pipeline that has failed since says nothing to its successor.
        if stream.pipeline is pipeline:
            self.guarded(stream, outcome, anyio.current_time())

    def report_own(self, stream_name: str, error: Exception) -> None:
        """Tell of an error of kinesink's own."""
        text = f"stream {stream_name!r}: an error of kinesink's own, {error!r}"
        self._teller.reporter.report(OWN_ERROR, text, about=stream_name)

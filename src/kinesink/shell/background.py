"""The producer in a thread of its own: lazy start, clean end, fork.

Law: nothing here runs before the first event, and one thread at a time serves an
intake. What comes in while a thread ends is served by the next one.

The module imports neither anyio nor httpx nor botocore; the thread does. It does
import the thread pools of the standard library: they register with the interpreter when
they are imported, which fails once the exit has begun, and everything else needs them.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 - see above
import contextvars
import sys
import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING, Final

from kinesink.core.records import DropReason
from kinesink.core.retry_policy import OWN_ERROR
from kinesink.readiness import Vitals
from kinesink.shell import children, hosts, imports, lambda_runtime, origin, resting
from kinesink.shell.flush import Flush, Latch, begin_flush
from kinesink.shell.fork import in_each_child
from kinesink.shell.left import Left
from kinesink.shell.members import members
from kinesink.shell.process_exit import interpreter_exits, process_exit
from kinesink.shell.reporter import Reporter
from kinesink.shell.spool_start import spooler_of
from kinesink.shell.submission import Submissions
from kinesink.shell.teller import Teller
from kinesink.shell.threads import Token, start_daemon

if TYPE_CHECKING:
    from collections.abc import Callable

    import anyio

    from kinesink.config import Backend, Config
    from kinesink.shell.intake import Intake
    from kinesink.shell.kinesis import KinesisClient
    from kinesink.shell.producer import Producer
    from kinesink.shell.producer_task import ProducerTask

    ClientFactory = Callable[[Config], KinesisClient]

#: Seconds for telling of losses at exit, when the deadline has passed.
_TELLING_TIME: Final = 0.5

#: Seconds for saving what is left at exit, when the deadline has passed.
_SAVING_TIME: Final = 2.0

#: Seconds for the same where the process goes on, though it may be frozen next.
_MOMENT: Final = 0.05

#: What belonged to the parent of a forked process. Never freed: a finalizer could close
#: sockets that the parent goes on using.
_parked: list[object] = []


class Background:
    """Runs a producer over an intake, in a daemon thread, from the first event on.

    Every method is safe from any thread; :meth:`start` and :meth:`wake_at_exit`, which
    are the intake's wake-ups, from signal handlers and finalizers too.
    """

    def __init__(
        self, config: Config, intake: Intake, make_client: ClientFactory | None = None
    ) -> None:
        self.config = config
        self._intake = intake
        self._make_client = make_client
        #: Who tells of trouble and of losses.
        self.teller = Teller(config, Reporter(config.on_error))
        self._stopped: anyio.Event
        #: Returns the account of this process.
        self.statistics = intake.statistics
        #: Whether the sink is gone.
        self.forsaken = False
        hosts.watch(intake)
        self._reset()
        _everyone.add(self)

    def _reset(self) -> None:
        self._token = Token()
        self._reporter = self.teller.reporter
        self._spooler = spooler_of(self.config, self._intake)
        #: The futures of what was submitted.
        self.submissions = Submissions(self.report)
        self._producer: Producer | None = None
        self._survived = False
        self._left = Left(self.config, self._intake, self.teller, self._last_error)
        self._ended = threading.Event()
        self._ended.set()

    # -- from any thread -------------------------------------------------------

    def start(self) -> None:
        """Start the thread unless it runs; the intake's wake-up while there is none."""
        if not self._take_token():
            return
        # First: it may find that the process has come to its end.
        children.watch()
        process_exit.watch(self)
        hosts.settle_in()
        lambda_runtime.watch()
        if process_exit.over:
            self._serve_here()
            return
        if self._start_thread():
            hosts.let_fall_asleep()
        else:
            # Then the exit hook serves what waits; until then each event tries again.
            self._give_token_back()

    def _take_token(self) -> bool:
        if not self._token.take():
            return False
        # A new one, because clearing the old one takes a lock that the code which this
        # call interrupts may hold.
        self._ended = threading.Event()
        return True

    def _give_token_back(self) -> None:
        """Let the next event start a thread, the one included that comes right now."""
        self._intake.wake = self.start
        self._ended.set()
        # In this order: who sees that nobody is awake must find the token.
        self._token.give_back()
        self._intake.awake = False

    def request_flush(self, flush: Flush) -> None:
        """Ask for a flush of what is in the intake now."""
        self._intake.command(partial(_begin_flush, flush))
        if self._token and interpreter_exits() and self._take_token():
            # Nobody else will: once the exit has begun, Python 3.12 starts no more threads.
            self._serve_here()
        elif self.forsaken:
            # Nobody else will: this may have begun another thread, just as the last one ended.
            self.stop()

    def stop(self) -> None:
        """Ask the thread to deliver what is pending and to end."""
        if not self._token:
            self._intake.command(self._stop_now)

    def forsake(self) -> None:
        """Stop for good: the sink is gone."""
        self.forsaken = True
        self.stop()

    def wait_ended(self, timeout: float) -> bool:
        """Wait until the thread has ended; return whether it has."""
        return self._ended.wait(timeout)

    @property
    def shutdown_timeout(self) -> float:
        """Seconds to wait for what is pending at exit."""
        return self.config.shutdown_timeout

    @property
    def vitals(self) -> Vitals:
        """What the producer notes about itself."""
        producer = self._producer
        return Vitals() if producer is None else producer.vitals

    @property
    def is_running(self) -> bool:
        """Whether there is a thread."""
        return not self._token

    @property
    def idle(self) -> bool:
        """Whether there is no thread and nothing for one to do."""
        return bool(self._token) and not self._intake.waiting

    @property
    def record_max_bytes(self) -> int | None:
        """Largest record of the stream in bytes; None while no producer runs."""
        producer = self._producer
        return producer.record_max_bytes() if producer else None

    # -- the thread ------------------------------------------------------------

    def _start_thread(self) -> bool:
        life = self._ended

        def serve() -> None:
            if life is not self._ended:
                # A copy in a forked child, of a greenlet that had not begun yet.
                hosts.stand_still()
            contextvars.Context().run(self._serve)

        return start_daemon(serve, f"kinesink {self.config.stream_name}")

    def _serve_here(self) -> None:
        """Deliver what is pending in the calling thread, when nobody waits for another."""
        if sys.is_finalizing():
            # No module can be relied on any more. What came too late stays pending.
            self._give_token_back()
            self._give_up()
            return
        self._intake.enqueue(self._stop_now)
        with process_exit.delivering():
            contextvars.Context().run(self._serve)

    def _serve(self) -> None:
        self._survived = False
        try:
            self._run_loop()
        except Exception as error:  # noqa: BLE001 - a dead producer must be heard of
            # While the interpreter exits, Python 3.12 lets no loop end in peace, though the
            # producer has.
            if not self._survived:
                self._fail(error)
        finally:
            self._leave()

    def _run_loop(self) -> None:
        origin.mark_thread()
        try:
            hosts.wait_for_forks()
            backend, options = hosts.event_loop(self.config.backend, self.report)
            # Here, because importing kinesink is to stay cheap, and before there is a loop,
            # because imports wait for each other.
            imports.load(backend)
            if not hosts.has_greenlets():
                resting.begin()
            import anyio  # noqa: PLC0415 - not before the first event

            from kinesink.shell.producer import Producer  # noqa: PLC0415 - as anyio

            client = self._make_client(self.config) if self._make_client else None
            producer = Producer(
                self.config, intake=self._intake, client=client, teller=self.teller,
                spooler=self._spooler,
            )  # fmt: skip
            producer.shutdown_timeout = process_exit.within(self.config.shutdown_timeout)
            self._producer = producer
            anyio.run(self._produce, producer, backend, backend=backend, backend_options=options)
        finally:
            resting.end()
            origin.unmark_thread()

    async def _produce(self, producer: Producer, backend: Backend) -> None:
        import anyio  # noqa: PLC0415 - see above

        from kinesink.shell import exit_safe  # noqa: PLC0415 - it imports anyio

        exit_safe.install(backend)
        self._stopped = anyio.Event()
        async with producer:
            await self._stopped.wait()
        self._survived = True

    def _fail(self, error: Exception) -> None:
        """Tell of a producer that has ended by an error, also those who wait for a result."""
        text = f"the producer ended by {error!r}"
        self._intake.give_up_waited_for()
        self.submissions.end_all(DropReason.INTERNAL, text)
        name = self.config.stream_name
        self._reporter.say(OWN_ERROR, f"stream {name!r}: {text}; the next event starts another")

    def _leave(self) -> None:
        """Hand the intake back to :meth:`start`, and miss nothing that came meanwhile.

        After an error only the next event starts a thread: it could fail the same way. One
        that came meanwhile, and whose result somebody waits for, is such a next event.
        """
        self._producer = None
        process_exit.forget(self)
        self._give_token_back()
        if self._intake.waiting if self._survived else self._intake.is_waited_for:
            self.start()
        elif self._intake.waiting:
            # What is left then, though no other event comes, is the exit's.
            process_exit.watch(self)

    def _last_error(self) -> str | None:
        producer = self._producer
        return producer.last_error if producer else None

    def _stop_now(self, _: ProducerTask) -> None:
        self._stopped.set()

    # -- exit and fork ---------------------------------------------------------

    def begin_exit(self) -> Callable[[float], object]:
        """Begin to deliver what is pending; return what waits for that, given a timeout."""
        if self._intake.waiting and self._take_token():
            self._serve_here()
        return self.begin_flush()

    def begin_flush(self) -> Callable[[float], object]:
        """Begin to deliver what is pending; return what waits for that, given a timeout."""
        return begin_flush(self)

    def end_exit(self, timeout: float) -> None:
        """Say what was not delivered, and let no later event go unserved."""
        self._leave_behind()
        self.tell_left()
        self._fail_submissions()
        self.teller.readings.hand_over(self._intake.statistics)
        self.submissions.wait_called_back(timeout)
        self.teller.wait_told(max(process_exit.within(timeout), _TELLING_TIME))
        if self._intake.guard == self._guarded:
            return
        # Also for a producer that is only beginning: its thread may be slow to import.
        self._intake.guard = self._guarded
        if not self._token:
            self._intake.attach(self._intake.wake)
            self._intake.awake = False

    def _leave_behind(self) -> None:
        """Have what is left saved, or handed to whoever gets what is given up."""
        if self.idle or (self._spooler is None and not self.teller.dead_letters.wanted):
            return
        if self._spooler is None:
            # Afterwards nothing is left.
            self.tell_left()
        done = Latch()

        def leave(task: ProducerTask) -> None:
            task.leave_behind()
            done.open()

        self._intake.command(leave)
        done.wait(_SAVING_TIME)

    def tell_left(self) -> None:
        """Say what is not delivered, unless nothing has come since that was said."""
        self._left.say(_TELLING_TIME)

    def _guarded(self, wake: Callable[[], None]) -> Callable[[], None]:
        return partial(self._wake_at_exit, wake)

    def _wake_at_exit(self, wake: Callable[[], None]) -> None:
        """Wake the thread and wait for it: after the exit hook nobody else does."""
        if sys.is_finalizing():
            # Threads are frozen by now.
            self._give_up()
            self._intake.awake = False
            return
        done = Latch()
        self._intake.enqueue(partial(_begin_flush, Flush(done.open)))
        wake()
        timeout = process_exit.within(self.config.shutdown_timeout)
        if not origin.is_own() and not done.wait(timeout):
            self._left.report()
            self._reporter.wait_told(_TELLING_TIME)
        self._intake.awake = False

    def _give_up(self) -> None:
        """Tell of what is left, the operator and those who wait for a result."""
        self._left.report()
        self._fail_submissions()

    def _fail_submissions(self) -> None:
        self.submissions.end_all(DropReason.SHUTDOWN, "not delivered when the process ended")

    def report_late(self, timeout: float) -> None:
        """Tell of what a flush was too short for, and give that a moment to be told."""
        self._left.report_late(timeout, _MOMENT)

    def after_fork_in_child(self) -> None:
        """Begin anew: thread, loop, connections and what is pending are the parent's."""
        _parked.append((self._producer, self._intake.wake, self._reporter))
        submissions = self.submissions
        self.teller = self.teller.renewed()
        self._reset()
        self._intake.reset(self.start)
        submissions.fail_in_child()

    def report(self, kind: str, text: str) -> None:
        """Tell of trouble by ``on_error``, at most once a minute and kind; never wait."""
        self._reporter.report(kind, f"stream {self.config.stream_name!r}: {text}")


def _begin_flush(flush: Flush, task: ProducerTask) -> None:
    task.begin_flush(flush)


_everyone: weakref.WeakSet[Background] = weakref.WeakSet()


def every_background() -> list[Background]:
    """Return that of every sink, and of those that are gone while they have something to do."""
    return [each for each in members(_everyone) if not (each.forsaken and each.idle)]


def _after_fork_in_child() -> None:
    process_exit.reset()
    for background in members(_everyone):
        background.after_fork_in_child()


in_each_child(_after_fork_in_child)

"""Blocking work in threads, and what becomes of it while the interpreter exits."""

from __future__ import annotations

import asyncio
import contextvars
import socket
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING, NoReturn

import anyio
import anyio.lowlevel
import pytest

from kinesink.shell import exit_safe
from kinesink.testing import FakeKinesis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from outcome import Outcome

    from kinesink.config import Backend

colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


class NoMoreThreads:
    """Stands in for Thread as Python 3.12 has it after the main thread's end."""

    def __init__(self, **_: object) -> None:
        pass

    def start(self) -> NoReturn:
        """Refuse."""
        raise RuntimeError("can't create new thread at interpreter shutdown")


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no thread be started, as at interpreter exit."""
    monkeypatch.setattr(exit_safe, "Thread", NoMoreThreads)


class HeldThreads:
    """Stands in for Thread and runs nothing before :meth:`release`."""

    held: list[Callable[[], None]]

    def __init__(
        self, *, target: Callable[..., None], args: tuple[object, ...], **_: object
    ) -> None:
        self._call = lambda: target(*args)

    def start(self) -> None:
        """Hold the call."""
        self.held.append(self._call)

    @classmethod
    def release(cls) -> None:
        """Run everything that is held."""
        while cls.held:
            cls.held.pop(0)()


@pytest.fixture
def held_threads(monkeypatch: pytest.MonkeyPatch) -> type[HeldThreads]:
    """Let threads begin only when the test says so."""
    monkeypatch.setattr(exit_safe, "Thread", HeldThreads)
    HeldThreads.held = []
    return HeldThreads


def where_and_colour() -> tuple[threading.Thread, str]:
    """Return the current thread and the context variable."""
    return threading.current_thread(), colour.get()


async def test_work_runs_in_a_daemon_thread_with_the_callers_context() -> None:
    """What the work logs is recognised by its context, and exit waits for no daemon."""
    colour.set("green")
    thread, seen = await exit_safe.run_in_thread(where_and_colour)
    assert thread is not threading.current_thread()
    assert thread.daemon
    assert seen == "green"


@pytest.mark.usefixtures("no_threads")
async def test_work_runs_inline_when_no_thread_can_be_started() -> None:
    """At interpreter exit the work is still done, with the same context."""
    colour.set("green")
    thread, seen = await exit_safe.run_in_thread(where_and_colour)
    assert thread is threading.current_thread()
    assert seen == "green"


@pytest.mark.parametrize("threads", ["available", "unavailable"])
async def test_an_error_of_the_work_is_raised_and_the_work_not_repeated(
    threads: str, request: pytest.FixtureRequest
) -> None:
    """Work that raises RuntimeError itself is not taken for a thread that cannot start."""
    if threads == "unavailable":
        request.getfixturevalue("no_threads")
    calls = []

    def fail() -> NoReturn:
        calls.append(1)
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        await exit_safe.run_in_thread(fail)
    assert calls == [1]


async def test_work_goes_on_when_its_waiter_is_cancelled(held_threads: type[HeldThreads]) -> None:
    """A result that nobody waited for serves whoever comes next."""
    work = exit_safe.start_in_thread(str, 7)
    with anyio.move_on_after(0) as scope:
        await exit_safe.wait_finished(work)
    assert scope.cancelled_caught
    held_threads.release()
    assert await exit_safe.wait_finished(work) == "7"


async def test_several_tasks_can_wait_for_the_same_work(held_threads: type[HeldThreads]) -> None:
    """One look-up of credentials serves every request that needs it."""
    work = exit_safe.start_in_thread(str, 7)
    results: list[str] = []

    async def wait() -> None:
        results.append(await exit_safe.wait_finished(work))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert results == []
        held_threads.release()
    assert results == ["7", "7"]


def test_work_that_ends_after_the_loop_tells_nobody(
    anyio_backend: str, held_threads: type[HeldThreads], caplog: pytest.LogCaptureFixture
) -> None:
    """A closed loop cannot be woken, and that is no error worth a word."""
    work = exit_safe.start_in_thread(str, 7)

    async def give_up() -> None:
        with anyio.move_on_after(0):
            await exit_safe.wait_finished(work)

    anyio.run(give_up, backend=anyio_backend)
    held_threads.release()
    assert work.result() == "7"
    assert not caplog.records


def test_work_that_was_cancelled_in_time_is_not_begun(held_threads: type[HeldThreads]) -> None:
    """The loop cancels the look-up of a name when its connection is given up."""
    calls: list[int] = []
    work = exit_safe.InlineFallbackExecutor().submit(calls.append, 1)
    assert work.cancel()
    held_threads.release()
    assert calls == []


@pytest.mark.usefixtures("no_threads")
async def test_names_resolve_without_threads_once_installed(anyio_backend: Backend) -> None:
    """A new connection by name can be opened while the interpreter exits."""
    exit_safe.install(anyio_backend)
    found = await anyio.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
    assert {address[4][0] for address in found} <= {"127.0.0.1", "::1"}
    host, service = await anyio.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST)
    assert host == "127.0.0.1"
    assert service


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_a_resolver_of_the_application_stays(anyio_backend: Backend) -> None:
    """The producer may run in a loop that is not its own."""
    trio = pytest.importorskip("trio")

    class Theirs(trio.abc.HostnameResolver):  # type: ignore[misc, name-defined]  # an extra, hence a variable
        async def getaddrinfo(self, *_: object) -> str:
            return "theirs"

        async def getnameinfo(self, *_: object) -> NoReturn:
            # Nobody asks; trio wants it to be there.
            raise NotImplementedError

    trio.socket.set_custom_hostname_resolver(Theirs())
    exit_safe.install(anyio_backend)
    assert await trio.socket.getaddrinfo("example.com", 80) == "theirs"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_guest_of_asyncio_is_told_apart_from_its_host(anyio_backend: Backend) -> None:
    """Trio as a guest runs inside a running asyncio loop; its events are set its own way."""
    trio = pytest.importorskip("trio")
    del anyio_backend
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Outcome[str]] = loop.create_future()

    async def guest() -> str:
        return await exit_safe.run_in_thread(str, 7)

    trio.lowlevel.start_guest_run(
        guest,
        run_sync_soon_threadsafe=loop.call_soon_threadsafe,
        done_callback=ended.set_result,
    )
    assert (await ended).unwrap() == "7"


AT_EXIT = """
    import atexit, sys, threading
    from concurrent.futures import Future

    import anyio, httpx

    from kinesink.shell import exit_safe

    backend, url = sys.argv[1:]
    go, answered = Future(), threading.Event()

    async def main():
        exit_safe.install(backend)
        await exit_safe.wait_finished(go)
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(url)
        print("answered", answer.status_code, flush=True)
        answered.set()
        await anyio.sleep_forever()

    def at_exit():
        go.set_result(None)
        assert answered.wait(10), "no answer"

    atexit.register(at_exit)
    threading.Thread(target=lambda: anyio.run(main, backend=backend), daemon=True).start()
"""

CLIENT_AT_EXIT = """
    import atexit, os, sys, threading

    import anyio

    from kinesink.config import Config
    from kinesink.core.records import Answered, PutRecordsEntry
    from kinesink.shell import exit_safe
    from kinesink.shell.kinesis import KinesisClient

    backend, url = sys.argv[1:]

    async def main():
        exit_safe.install(backend)
        config = Config(stream_name="s", region_name="us-east-1", endpoint_url=url)
        client = KinesisClient(config)
        result = await client.put_records("s", [PutRecordsEntry(b"last words", "k")], timeout=10)
        print(result.results[0].shard_id if isinstance(result, Answered) else result, flush=True)
        await client.aclose()

    def at_exit():
        # On Python 3.12 asyncio raises while it tears down, when all work is done.
        try:
            anyio.run(main, backend=backend)
        except RuntimeError as error:
            assert "can't create new thread" in str(error), error

    atexit.register(at_exit)
"""


def run_child(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script in an interpreter of its own, with all warnings but those about exit."""
    return subprocess.run(  # noqa: S603 - our own script in our own interpreter
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture
def fake() -> FakeKinesis:
    """Return a fake with the stream ``s``."""
    fake = FakeKinesis()
    fake.create_stream("s")
    return fake


@pytest.fixture
def endpoint_by_name(fake: FakeKinesis) -> Iterator[str]:
    """Serve the fake on the loopback interface, under a name that must be resolved."""
    with fake.serve() as server:
        yield f"http://localhost:{server.port}"


@pytest.mark.slow
def test_a_new_connection_by_name_opens_in_an_exit_hook(
    anyio_backend: str, endpoint_by_name: str
) -> None:
    """A daemon thread's loop reaches a host by name after the main thread's end."""
    child = run_child(AT_EXIT, anyio_backend, endpoint_by_name)
    assert child.stderr == ""
    assert child.stdout.startswith("answered ")


@pytest.mark.slow
def test_the_whole_client_works_cold_in_an_exit_hook(
    anyio_backend: str,
    endpoint_by_name: str,
    fake: FakeKinesis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Credentials, names and the connection are all found where no thread can be started."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    child = run_child(CLIENT_AT_EXIT, anyio_backend, endpoint_by_name)
    assert child.stdout == "shardId-000000000000\n"
    assert [record.data for record in fake.records("s")] == [b"last words"]


def test_the_future_of_inline_work_is_already_done(no_threads: None) -> None:
    """Whoever looks at it sees the result at once."""
    del no_threads
    future: Future[str] = exit_safe.start_in_thread(str, 7)
    assert future.done()
    assert future.result() == "7"

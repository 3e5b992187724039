"""Blocking work in threads, which still gets done while the interpreter exits.

Law of this file: work that is handed over is done exactly once, in a thread if there
can be one and inline if not, with the caller's context variables, and whoever stops
waiting for it neither stops it nor loses its result.

Once the main thread has ended, ``concurrent.futures`` takes no more work and Python
3.12 starts no more threads. Event loops resolve host names in such threads, so without
this a *new* connection cannot be opened in an atexit hook, which is when the last
events of a process are sent. Blocking the loop is right then: nothing else runs.

The threads are daemons and in nobody's pool, because the interpreter joins the threads
of pools at exit: a name server or a metadata service that hangs would hang the process.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import anyio

from kinesink.shell.wakeup import thread_safe_scheduler

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.config import Backend

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class InlineFallbackExecutor(ThreadPoolExecutor):
    """Runs each call in a daemon thread of its own, or inline if no thread can be started.

    A pool by name only: :meth:`asyncio.loop.set_default_executor` insists on one. Made
    for work that is rare, such as resolving host names; nothing bounds the number of
    threads. Safe to use from any thread. Holds no lock and no thread between calls, so
    a forked child can go on using it.
    """

    def submit(
        self, fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """Start ``fn``, or finish it if there is no thread to be had; never raises itself."""
        future: Future[Result] = Future()
        call = partial(copy_context().run, fn, *args, **kwargs)
        try:
            Thread(target=_finish, args=(future, call), name="kinesink call", daemon=True).start()
        except RuntimeError:
            _finish(future, call)
        return future


def _finish(future: Future[Result], call: Callable[[], Result]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - whatever it is, the waiter must learn it
        future.set_exception(error)
    else:
        future.set_result(result)


_executor = InlineFallbackExecutor()


def start_in_thread(
    fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Future[Result]:
    """Start blocking work and return its future, for :func:`wait_finished`."""
    return _executor.submit(fn, *args, **kwargs)


async def wait_finished(future: Future[Result]) -> Result:
    """Wait for work in a thread, on asyncio and trio, and return its result.

    Any number of tasks may wait. Cancelling one of them leaves the work alone.

    :raises: what the work raised.
    """
    if not future.done():
        finished = anyio.Event()
        wake = thread_safe_scheduler()

        def tell(_: Future[Result]) -> None:
            # The loop may have ended before the work did; then nobody waits any more.
            with suppress(RuntimeError):
                wake(finished.set)

        future.add_done_callback(tell)
        await finished.wait()
    return future.result()


async def run_in_thread(
    fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """Run blocking work in a thread and return its result; inline at interpreter exit.

    Cancelling the wait abandons the work, which then ends by itself.

    :raises: what ``fn`` raises.
    """
    return await wait_finished(start_in_thread(fn, *args, **kwargs))


def install(backend: Backend) -> None:
    """Let the running event loop resolve host names even while the interpreter exits.

    To be called inside a loop that is ours: on asyncio it replaces the loop's default
    executor. On trio a hostname resolver that the application has set stays.
    """
    if backend == "trio":
        _install_in_trio()
    else:
        asyncio.get_running_loop().set_default_executor(InlineFallbackExecutor())


def _install_in_trio() -> None:
    import trio  # noqa: PLC0415 - an extra, and only here is it certain to be there

    class Resolver(trio.abc.HostnameResolver):
        """Resolves as trio does, in threads that can be inline."""

        async def getaddrinfo(  # noqa: PLR0913, PLR0917 - the signature is trio's
            self,
            host: bytes | None,
            port: bytes | str | int | None,
            family: int = 0,
            type: int = 0,  # noqa: A002 - the name is trio's
            proto: int = 0,
            flags: int = 0,
        ) -> Any:  # noqa: ANN401 - the socket module's own tuples
            return await run_in_thread(socket.getaddrinfo, host, port, family, type, proto, flags)

        async def getnameinfo(
            self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int
        ) -> tuple[str, str]:
            return await run_in_thread(socket.getnameinfo, sockaddr, flags)

    previous = trio.socket.set_custom_hostname_resolver(Resolver())
    if previous is not None:
        trio.socket.set_custom_hostname_resolver(previous)

"""Who logs: the application or the producer."""

from __future__ import annotations

import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest

from kinesink.shell import origin

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def loggers() -> Iterator[None]:
    """Take the filter off again."""
    yield
    for name in origin.STACK_LOGGERS:
        logging.getLogger(name).removeFilter(origin._FILTER)


def as_producer(call: origin.OriginFilter) -> bool:
    """Return what a filter says about a record of a producer's."""

    def ask() -> bool:
        origin.OWN.set(True)
        return call.filter(logging.makeLogRecord({}))

    return copy_context().run(ask)


class TestIsOwn:
    """Two marks tell the origin."""

    def test_application_code_is_not(self) -> None:
        """Nothing is held back without a mark."""
        assert not origin.is_own()

    def test_the_marked_context_is(self) -> None:
        """The mark ends with the context."""

        def ask() -> bool:
            origin.OWN.set(True)
            return origin.is_own()

        assert copy_context().run(ask)
        assert not origin.is_own()

    async def test_child_tasks_and_worker_threads_of_the_producer_are(self) -> None:
        """What the producer starts inherits its mark, on each backend."""
        found: list[bool] = []

        async def child() -> None:
            found.append(origin.is_own())
            found.append(await anyio.to_thread.run_sync(origin.is_own))

        token = origin.OWN.set(True)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(child)
        finally:
            origin.OWN.reset(token)
        assert found == [True, True]

    def test_the_marked_thread_is_and_no_other(self) -> None:
        """C2: a callback in the producer's thread runs in the context of whoever sent it."""
        with ThreadPoolExecutor(1) as thread:
            thread.submit(origin.mark_thread).result()
            assert thread.submit(origin.is_own).result()
            assert not origin.is_own()
            thread.submit(origin.unmark_thread).result()
            assert not thread.submit(origin.is_own).result()

    def test_a_mark_can_be_taken_back_twice(self) -> None:
        """Ending is harmless however often it is said."""
        origin.unmark_thread()
        origin.unmark_thread()
        assert not origin.is_own()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_a_forked_child_has_no_marked_threads(self) -> None:
        """The child's threads may get the identity that the parent's producer had."""
        marked, done = threading.Event(), threading.Event()

        def produce() -> None:
            origin.mark_thread()
            marked.set()
            done.wait(10)
            origin.unmark_thread()

        thread = threading.Thread(target=produce)
        thread.start()
        marked.wait(10)
        child = os.fork()
        if child == 0:
            os._exit(len(origin.OWN_THREADS))
        _, status = os.waitpid(child, 0)
        in_parent = len(origin.OWN_THREADS)
        done.set()
        thread.join()
        assert (status, in_parent) == (0, 1)

    def test_marks_can_be_forgotten(self) -> None:
        """For forks that run no hooks."""
        origin.mark_thread()
        origin.forget_threads()
        assert not origin.is_own()


@pytest.mark.usefixtures("loggers")
class TestFilter:
    """The producer's own traffic is silent at its source, the application's is not."""

    def test_rejects_by_origin_only(self) -> None:
        """The same logger, two origins."""
        assert origin.OriginFilter().filter(logging.makeLogRecord({}))
        assert not as_producer(origin.OriginFilter())

    def test_is_installed_once_on_each_logger_of_the_stack(self) -> None:
        """Several producers install one filter."""
        origin.install_filter()
        origin.install_filter()
        for name in origin.STACK_LOGGERS:
            assert logging.getLogger(name).filters.count(origin._FILTER) == 1

    def test_silences_httpx_of_the_producer_alone(self, caplog: pytest.LogCaptureFixture) -> None:
        """T2, T35: no other handler sees our requests, and all see the application's."""
        origin.install_filter()
        caplog.set_level("INFO", "httpx")
        httpx = logging.getLogger("httpx")

        def produce() -> None:
            origin.OWN.set(True)
            httpx.info("HTTP Request: POST https://kinesis")

        copy_context().run(produce)
        httpx.info("HTTP Request: GET https://example.org")
        assert caplog.messages == ["HTTP Request: GET https://example.org"]

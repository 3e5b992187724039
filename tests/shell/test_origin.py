"""Who logs: the application or the producer."""

from __future__ import annotations

import logging
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, ClassVar

import anyio
import anyio.to_thread
import httpx
import pytest

from kinesink import Producer
from kinesink.shell import origin
from kinesink.shell.kinesis import KinesisClient
from tests.shell.support import make_config, make_fake

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


CURRENT: ContextVar[dict[str, bool]] = ContextVar("current", default={})  # noqa: B039 - never changed


def a_context_module(**names: str) -> ModuleType:
    """Return what stands in for OpenTelemetry's module: immutable contexts, and private keys."""
    module = ModuleType("opentelemetry.context")
    vars(module).update(names)
    vars(module).update(
        attach=CURRENT.set,
        set_value=lambda key, value: {**CURRENT.get(), key: value},
    )
    return module


class TestSpans:
    """The producer's calls make no spans, and the application's do."""

    KEYS: ClassVar = {
        "_SUPPRESS_INSTRUMENTATION_KEY": "all",
        "_SUPPRESS_HTTP_INSTRUMENTATION_KEY": "http",
    }

    def suppressed(self) -> dict[str, bool]:
        """Return what is suppressed in a context in which it was asked for."""

        def ask() -> dict[str, bool]:
            origin.suppress_spans()
            return CURRENT.get()

        return copy_context().run(ask)

    def test_without_opentelemetry_there_is_nothing_to_do(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nor is it imported."""
        monkeypatch.delitem(sys.modules, "opentelemetry.context", raising=False)
        assert self.suppressed() == {}
        assert "opentelemetry.context" not in sys.modules

    def test_both_keys_are_set_in_this_context_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Instrumentations look at one or the other."""
        monkeypatch.setitem(sys.modules, "opentelemetry.context", a_context_module(**self.KEYS))
        assert self.suppressed() == {"all": True, "http": True}
        assert CURRENT.get() == {}

    @pytest.mark.parametrize(
        "module",
        [a_context_module(), ModuleType("half imported"), SimpleNamespace(attach=None)],
        ids=["other names", "half imported", "another make"],
    )
    def test_a_module_of_another_make_is_left_alone(
        self, monkeypatch: pytest.MonkeyPatch, module: ModuleType
    ) -> None:
        """Its names are private, and may go."""
        monkeypatch.setitem(sys.modules, "opentelemetry.context", module)
        assert self.suppressed() == {}

    async def test_each_call_to_kinesis_is_made_in_such_a_context(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also if OpenTelemetry is imported after the first of them."""
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.delitem(sys.modules, "opentelemetry.context", raising=False)
        found: list[dict[str, bool]] = []
        fake = make_fake()

        class Listening(httpx.AsyncBaseTransport):
            def __init__(self) -> None:
                self._inner = fake.transport()

            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                found.append(CURRENT.get())
                return await self._inner.handle_async_request(request)

        config = make_config()
        client = KinesisClient(config, transport=Listening())
        async with Producer(config, client=client) as producer:
            await (await producer.put(b"before")).wait()
            assert found
            assert all(each == {} for each in found)
            found.clear()
            module = a_context_module(**self.KEYS)
            monkeypatch.setitem(sys.modules, "opentelemetry.context", module)
            await (await producer.put(b"after")).wait()
        assert found
        assert all(each == {"all": True, "http": True} for each in found)
        assert CURRENT.get() == {}

"""What kinesink does about the server it is in, without the server."""

from __future__ import annotations

import asyncio
import sys
import threading
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from kinesink.shell import hosts
from kinesink.shell.process_exit import ProcessExit
from tests.shell.scripts import run_against
from tests.shell.support import landed, make_fake, make_sink

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.config import Backend

Reports = list[tuple[str, str]]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return what makes a module look as if the application had imported it."""

    def load(name: str, **contents: object) -> object:
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    return load


@pytest.fixture
def reports() -> Reports:
    """Return what was told."""
    return []


def tell_in(reports: Reports) -> Callable[[str, str], None]:
    """Return what keeps a report."""
    return lambda kind, text: reports.append((kind, text))


def test_without_a_server_nothing_is_different(anyio_backend: Backend, reports: Reports) -> None:
    """The event loop is the one that is configured, and there is nothing to tell."""
    assert hosts.event_loop(anyio_backend, tell_in(reports)) == (anyio_backend, {})
    assert reports == []
    hosts.wait_for_forks()


def test_uwsgi_without_threads_is_told(load: Callable[..., Any], reports: Reports) -> None:
    """Old versions run none unless they are told to."""
    load("uwsgi", has_threads=0)
    hosts.event_loop("asyncio", tell_in(reports))
    ((kind, text),) = reports
    assert kind == "uWSGI"
    assert "--enable-threads" in text


def test_uwsgi_with_threads_is_not(load: Callable[..., Any], reports: Reports) -> None:
    """Nor one that does not say whether it has them."""
    load("uwsgi", has_threads=1)
    hosts.event_loop("asyncio", tell_in(reports))
    load("uwsgi")
    hosts.event_loop("asyncio", tell_in(reports))
    assert reports == []


def test_a_producer_begins_when_the_master_has_forked_each_worker(
    load: Callable[..., Any],
) -> None:
    """A worker that is spared for later counts as forked."""
    looks = iter(
        [
            [{"pid": 0, "status": "idle"}, {"pid": 0, "status": "idle"}],
            [{"pid": 7, "status": "idle"}, {"pid": 0, "status": "idle"}],
            [{"pid": 7, "status": "idle"}, {"pid": 0, "status": "cheap"}],
        ]
    )
    load("uwsgi", worker_id=lambda: 0, workers=lambda: next(looks))
    hosts.wait_for_forks()
    assert next(looks, None) is None


def test_a_master_goes_on_when_its_thread_sleeps(load: Callable[..., Any]) -> None:
    """A thread that runs Python while uWSGI forks would leave the worker locked."""
    workers = [{"pid": 0, "status": "idle"}]
    load("uwsgi", worker_id=lambda: 0, workers=lambda: workers)
    thread = threading.Thread(target=hosts.wait_for_forks)
    starter = threading.Timer(0.01, thread.start)
    starter.start()
    hosts.let_fall_asleep()
    assert thread.is_alive()
    workers[0]["pid"] = 7
    starter.join()
    thread.join()


def test_a_producer_in_a_worker_begins_at_once(load: Callable[..., Any]) -> None:
    """Whatever has become of the others."""
    load("uwsgi", worker_id=lambda: 2)
    hosts.wait_for_forks()


def test_the_hook_of_uwsgi_that_was_there_is_called_too(load: Callable[..., Any]) -> None:
    """However often kinesink settles in."""
    calls: list[str] = []
    uwsgi = load("uwsgi", post_fork_hook=lambda: calls.append("theirs"))
    hosts.settle_in()
    hosts.settle_in()
    uwsgi.post_fork_hook()
    assert calls == ["theirs"]


def test_celery_is_left_alone_while_somebody_connects(load: Callable[..., Any]) -> None:
    """It could be the code that the log call has interrupted."""
    lock = threading.Lock()
    connected: list[dict[str, Any]] = []
    signal = SimpleNamespace(
        lock=lock, connect=lambda receiver, **named: connected.append({"call": receiver, **named})
    )
    load("celery.signals", worker_process_shutdown=signal)
    with lock:
        hosts.settle_in()
        assert connected == []
    hosts.settle_in()
    assert [each["weak"] for each in connected] == [False]


def test_the_end_of_a_child_of_celery_is_an_exit(
    load: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within one deadline, and what is logged after it is waited for."""
    leaving = ProcessExit()
    monkeypatch.setattr(hosts, "process_exit", leaving)
    receivers: list[Callable[..., None]] = []
    signal = SimpleNamespace(
        lock=threading.Lock(), connect=lambda receiver, **_: receivers.append(receiver)
    )
    load("celery.signals", worker_process_shutdown=signal)
    hosts.settle_in()
    (receiver,) = receivers
    receiver(signal=signal, sender="celery@host", pid=7, exitcode=0)
    assert leaving.over


def test_celery_in_the_middle_of_its_import_is_left_alone(load: Callable[..., Any]) -> None:
    """There is no signal yet."""
    module = load("celery.signals")
    hosts.settle_in()
    assert "worker_process_shutdown" not in vars(module)


@pytest.mark.parametrize("part", ["threading", "select"])
def test_a_patched_process_has_asyncio(
    part: str, load: Callable[..., Any], reports: Reports
) -> None:
    """Whatever is configured; where that was asyncio there is nothing to tell."""
    load("gevent.monkey", is_module_patched=lambda name: name == part)
    assert hosts.event_loop("asyncio", tell_in(reports)).backend == "asyncio"
    assert reports == []
    assert hosts.event_loop("trio", tell_in(reports)).backend == "asyncio"
    assert [kind for kind, _ in reports] == ["gevent"]


def test_while_its_loop_waits_others_may_run_their_own(
    load: Callable[..., Any], reports: Reports
) -> None:
    """All greenlets are one thread, and a thread has one running loop."""
    load("gevent.monkey", is_module_patched=lambda _: True)
    new_loop = hosts.event_loop("asyncio", tell_in(reports)).options["loop_factory"]
    loop = new_loop()
    seen: list[object] = []

    class Looks(type(loop._selector).__base__):  # type: ignore[misc]  # whatever this system has
        """Looks at the running loop where another greenlet would."""

        def select(self, timeout: float | None = None) -> object:
            seen.append(asyncio._get_running_loop())
            return super().select(timeout)

    kind = type(loop._selector)
    before = kind.__bases__
    kind.__bases__ = (Looks,)
    try:
        loop.run_until_complete(asyncio.sleep(0.001))
    finally:
        kind.__bases__ = before
        loop.close()
    assert seen
    assert set(seen) == {None}


def test_names_that_were_bound_before_the_patch_follow_it(
    load: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise all greenlets would be the producer's thread, and their events its own."""
    ours = load("kinesink.example", get_ident=threading.get_ident)
    others = load("example", get_ident=threading.get_ident)
    before = threading.get_ident

    def of_greenlets() -> int:
        return before()

    for name, module in list(sys.modules.items()):
        if name.startswith("kinesink.") and "get_ident" in vars(module):
            # Put back by the end of the test.
            monkeypatch.setattr(module, "get_ident", before)
    monkeypatch.setattr(threading, "get_ident", of_greenlets)
    load("gevent.monkey", is_module_patched=lambda _: True)
    hosts.settle_in()
    assert ours.get_ident is of_greenlets
    assert others.get_ident is before


def test_elsewhere_a_hand_over_looks_for_no_fork() -> None:
    """Its class is the plain one, as is its cost."""
    fake = make_fake()
    sink = make_sink(fake)
    try:
        assert type(sink._intake).__module__ == "kinesink.shell.intake"
    finally:
        sink.close()


@pytest.mark.slow
@pytest.mark.parametrize("use", ["sink.emit(b'child')", "assert sink.flush()"])
def test_a_fork_that_nobody_tells_of_is_noticed(use: str, anyio_backend: str) -> None:
    """By the first event or by a flush: what was pending is the parent's."""
    source = f"""
import sys
from types import ModuleType
uwsgi = sys.modules["uwsgi"] = ModuleType("uwsgi")
uwsgi.worker_id = lambda: 1

import kinesink
from kinesink.shell import fork
sink = kinesink.Sink(kinesink.Config.from_environment(stream_name="app"))
# As it is in a child whose fork has run no hook: nobody is awake, though it looks like it.
sink._intake.awake = True
sink.emit(b"pending")
assert sink.statistics().accepted == 1
fork._forks.process_id = -1
{use}
assert sink.statistics().accepted == {int("emit" in use)}
"""
    fake = make_fake()
    ran = run_against(
        fake, source, KINESINK_BACKEND=anyio_backend, KINESINK_SHUTDOWN_TIMEOUT="20",
        KINESINK_LINGER="60",
    )  # fmt: skip
    assert (ran.status, ran.err) == (0, "")
    assert landed(fake) == ([b"child"] if "emit" in use else [])


def test_outside_of_uwsgi_nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody forks behind our back there."""
    monkeypatch.setattr("kinesink.shell.hosts.time", SimpleNamespace(sleep=pytest.fail))
    hosts.let_fall_asleep()
    hosts.wait_for_forks()

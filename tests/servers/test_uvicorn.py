"""uvicorn: what it has logged is delivered although it ends without exit hooks."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.servers import applications
from tests.servers.support import once, processes, requests, serving

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.servers.support import Server

pytestmark = pytest.mark.slow


def uvicorn(
    folder: Path, application: str, *options: str, **variables: str
) -> AbstractContextManager[Server]:
    """Run uvicorn on a socket in ``folder``."""
    command = ("uvicorn", f"--uds={folder}/s", *options, "shop:application")
    return serving(folder, {"shop.py": application}, *command, **variables)


@pytest.mark.parametrize("application", ["ASGI_WITH_LIFESPAN", "ASGI_WITH_SIGNAL_HANDLERS"])
def test_one_process_delivers_when_it_is_told_to_end(
    application: str, anyio_backend: str, tmp_path: Path
) -> None:
    """By its lifespan, or by the handler that uvicorn hands the signal on to."""
    source = getattr(applications, application)
    with uvicorn(tmp_path, source, KINESINK_BACKEND=anyio_backend) as server:
        expected = requests(server, 3)
        # It ends by the signal, as it would without kinesink.
        assert server.end() == -signal.SIGTERM
        server.assert_silent()
        events = server.landed()
    byes = once(events, "bye")
    assert processes(byes) == {server.process_id}
    assert events == expected + byes


@pytest.mark.parametrize("application", ["ASGI_WITH_LIFESPAN", "ASGI"])
def test_one_process_delivers_when_it_is_interrupted(application: str, tmp_path: Path) -> None:
    """After a Ctrl-C the exit hooks run."""
    with uvicorn(tmp_path, getattr(applications, application)) as server:
        expected = requests(server, 3)
        status = server.end(signal.SIGINT)
        server.assert_silent()
        events = server.landed()
    assert status == 0, server.said
    byes = once(events, "bye")
    assert processes(byes) == {server.process_id}
    assert events == expected + byes


def test_without_either_only_what_was_sent_before_is_delivered(tmp_path: Path) -> None:
    """What is pending is lost: no code of Python's runs after the signal."""
    with uvicorn(tmp_path, applications.ASGI) as server:
        requests(server, 3)
        assert server.end() == -signal.SIGTERM
        assert not server.landed()


def test_several_workers_deliver_by_their_lifespans(tmp_path: Path) -> None:
    """Nothing else of Python's comes late enough in them."""
    with uvicorn(tmp_path, applications.ASGI_WITH_LIFESPAN, "--workers=2") as server:
        server.wait_said("started", times=2)
        expected = requests(server, 6)
        assert server.end() == 0
        server.assert_silent()
        events = server.landed()
    byes = once(events, "bye")
    assert len(byes) == 2
    assert server.process_id not in processes(byes)
    assert events == expected + byes

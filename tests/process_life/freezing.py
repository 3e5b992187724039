"""What happens to a process between two invocations, as far as signals can do it to one."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from subprocess import Popen

    from kinesink.testing.server import Server


def freeze(process: Popen[bytes] | Popen[str]) -> None:
    """Stop every thread of a process, and return when they stand still."""
    process.send_signal(signal.SIGSTOP)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), status


def thaw(process: Popen[bytes] | Popen[str]) -> None:
    """Let a process go on."""
    process.send_signal(signal.SIGCONT)


def connections(server: Server) -> int:
    """Return how many connections a server has open."""
    return len(server._connections)


def disconnect(server: Server) -> None:
    """Close every connection from the server's end, as gateways do with idle ones."""
    with server._lock:
        opened = list(server._connections.items())
    for connection, _ in opened:
        connection.abort()
    for _, thread in opened:
        thread.join()

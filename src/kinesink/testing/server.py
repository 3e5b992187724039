"""FakeKinesis over HTTP/1.1 on the loopback interface, for any client.

One thread accepts, and each connection has one of its own while it lasts, up to
:data:`MAX_CONNECTIONS`; further clients wait in the backlog. Connections are kept alive.
Closing the server breaks what is still open, ends every wait and joins every thread.
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, final

from kinesink.testing.connection import Connection
from kinesink.testing.exchange import Held, Reply, Request

__all__ = ["MAX_CONNECTIONS", "Server"]

MAX_CONNECTIONS: Final = 128
"""Connections served at once; well above what one SDK's pool opens."""

_HOST: Final = "127.0.0.1"


@final
class Server:
    """A running server, from entering its ``with`` block until leaving it."""

    def __init__(self, answer: Callable[[Request], Reply | Held], port: int = 0) -> None:
        """Prepare to serve ``answer`` on ``port`` of the loopback interface; 0: any free one."""
        self._answer = answer
        self._port = port
        self._slots = threading.Semaphore(MAX_CONNECTIONS)
        self._lock = threading.Lock()
        self._connections: dict[Connection, threading.Thread] = {}
        self._closed = threading.Event()
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port, known once the server runs."""
        return self._port

    @property
    def endpoint_url(self) -> str:
        """What to give a client as its endpoint, such as ``http://127.0.0.1:4568``."""
        return f"http://{_HOST}:{self._port}"

    def __enter__(self) -> "Server":
        """Listen; raises OSError if the port is taken."""
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def open(self) -> None:
        """Listen and accept, in a thread; raises OSError if the port is taken."""
        listener = socket.create_server((_HOST, self._port), backlog=MAX_CONNECTIONS)
        self._port = listener.getsockname()[1]
        self._listener = listener
        self._acceptor = threading.Thread(
            target=self._accept, args=(listener,), name="FakeKinesis", daemon=True
        )
        self._acceptor.start()

    def wait_closed(self) -> None:
        """Block until the server is closed, by another thread or by an interrupt."""
        self._closed.wait()

    def close(self) -> None:
        """Stop: break all connections and wait for all threads. A second time does nothing."""
        self._closed.set()
        if self._listener is None or self._acceptor is None:
            return
        self._slots.release()
        with contextlib.suppress(OSError):
            socket.create_connection((_HOST, self._port)).close()
        self._acceptor.join()
        self._listener.close()
        with self._lock:
            connections = dict(self._connections)
        for connection in connections:
            connection.abort()
        for thread in connections.values():
            thread.join()
        self._listener = self._acceptor = None

    def _accept(self, listener: socket.socket) -> None:
        """Accept until closed: ``close`` frees a slot and connects once, so neither wait stays."""
        while True:
            self._slots.acquire()
            client, _ = listener.accept()
            if self._closed.is_set():
                client.close()
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(client, self._answer)
            thread = threading.Thread(
                target=self._serve, args=(connection,), name="FakeKinesis client", daemon=True
            )
            with self._lock:
                self._connections[connection] = thread
            thread.start()

    def _serve(self, connection: Connection) -> None:
        try:
            connection.serve()
        finally:
            connection.close()
            with self._lock:
                del self._connections[connection]
            self._slots.release()

"""One HTTP/1.1 connection of the loopback server: as much of the protocol as SDKs speak.

Requests come with a ``Content-Length`` and one after another; keep-alive is the rule.
Everything else is refused with the status that says so, and the connection closed.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import responses
from typing import Final

from kinesink.core.limits import KIB, MIB
from kinesink.testing.exchange import Ending, Held, Pause, Reply, Request

__all__ = ["Connection"]

_MAX_HEAD: Final = 64 * KIB
_MAX_BODY: Final = 32 * MIB
"""Twice what a full PutRecords request of 10 MiB takes as base64, with room for its keys."""

_CHUNK: Final = 256 * KIB
_END_OF_HEAD: Final = b"\r\n\r\n"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: close sends RST instead of FIN."""


class _RefusedError(Exception):
    """What came in is no request that this server takes."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class _ClosedError(Exception):
    """The client is gone, or the server is closing."""


@dataclass(frozen=True)
class _Head:
    """Request line and headers."""

    method: str
    headers: Mapping[str, str]
    is_http_1_1: bool

    @property
    def length(self) -> int:
        """Bytes of the body; raises for a body without length, or with too much of it."""
        if "transfer-encoding" in self.headers:
            raise _RefusedError(HTTPStatus.LENGTH_REQUIRED)
        text = self.headers.get("content-length", "0")
        if not (text.isascii() and text.isdigit()):
            raise _RefusedError(HTTPStatus.BAD_REQUEST)
        if int(text) > _MAX_BODY:
            raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return int(text)

    @property
    def keep_alive(self) -> bool:
        """Tell whether the client wants to go on after this request."""
        return self.is_http_1_1 and self.headers.get("connection", "").lower() != "close"


class Connection:
    """One client's connection, served by one thread; :meth:`abort` is for another."""

    def __init__(self, client: socket.socket, answer: Callable[[Request], Reply | Held]) -> None:
        """Serve ``answer`` to ``client``."""
        self._socket = client
        self._answer = answer
        self._buffer = bytearray()
        self._wake = threading.Event()
        self._aborted = False

    def serve(self) -> None:
        """Answer requests until the client leaves, one is no request, or someone aborts."""
        with contextlib.suppress(OSError, _ClosedError):
            try:
                while self._exchange():
                    pass
            except _RefusedError as refused:
                self._send(Reply(refused.status), keep_alive=False)

    def abort(self) -> None:
        """End every wait of :meth:`serve`, from another thread."""
        self._aborted = True
        self._wake.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _exchange(self) -> bool:
        """Answer one request; tell whether there may be another."""
        head = self._read_head()
        length = head.length
        if head.headers.get("expect", "").lower() == "100-continue":
            self._socket.sendall(_CONTINUE)
        held = self._answer(Request(head.method, head.headers, self._read_body(length)))
        if isinstance(held, Held):
            self._pause(held.pause)
            held = held.arrive()
        self._pause(held.pause)
        if held.ending in (Ending.REFUSE, Ending.RESET):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            return False
        self._send(held, keep_alive=head.keep_alive)
        return head.keep_alive and held.ending is Ending.ANSWER

    def _pause(self, pause: Pause) -> None:
        """Wait as told; raise if the server closes meanwhile."""
        if pause.seconds > 0:
            self._wait(pause.seconds)
        if pause.gate is not None:
            pause.gate.on_open(self._wake.set)
            try:
                self._wait(None)
            finally:
                pause.gate.forget(self._wake.set)

    def _wait(self, seconds: float | None) -> None:
        """Wait for the time, or to be woken; the flag is cleared before the question why."""
        self._wake.wait(seconds)
        self._wake.clear()
        if self._aborted:
            raise _ClosedError

    def _receive(self) -> None:
        chunk = self._socket.recv(_CHUNK)
        if not chunk:
            raise _ClosedError
        self._buffer += chunk

    def _read_head(self) -> _Head:
        while (end := self._buffer.find(_END_OF_HEAD)) < 0:
            if len(self._buffer) > _MAX_HEAD:
                raise _RefusedError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            self._receive()
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + len(_END_OF_HEAD)]
        method, _, target = lines[0].partition(" ")
        version = target.rpartition(" ")[2]
        if not version.startswith("HTTP/1."):
            raise _RefusedError(HTTPStatus.BAD_REQUEST)
        fields = [line.partition(":") for line in lines[1:]]
        headers = {name.strip().lower(): value.strip() for name, _, value in fields}
        return _Head(method, headers, is_http_1_1=version != "HTTP/1.0")

    def _read_body(self, length: int) -> bytes:
        while len(self._buffer) < length:
            self._receive()
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    def _send(self, reply: Reply, *, keep_alive: bool) -> None:
        """Send a reply; a cut one announces its full length and stops in the middle."""
        reason = responses.get(reply.status, "Unknown")
        lines = [f"HTTP/1.1 {int(reply.status)} {reason}"]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        lines += [f"Content-Length: {len(reply.body)}"]
        lines += [] if keep_alive else ["Connection: close"]
        sent = len(reply.body) // 2 if reply.ending is Ending.CUT else len(reply.body)
        head = "\r\n".join(lines).encode("latin-1") + _END_OF_HEAD
        self._socket.sendall(head + reply.body[:sent])

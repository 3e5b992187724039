"""Servers on the loopback interface that stand for AWS's others: STS, metadata, a proxy."""

from __future__ import annotations

import json
import select
import socket
import socketserver
import threading
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

    from kinesink.testing import FakeKinesis

HOST = "127.0.0.1"


class Request(NamedTuple):
    """A request as it came in."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """What to answer."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"


@contextmanager
def serving(
    answer: Callable[[Request], Answer], tls: ssl.SSLContext | None = None
) -> Iterator[int]:
    """Answer requests in threads; yield the port."""

    class Handler(BaseHTTPRequestHandler):
        """One request of a connection, which then ends."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            # A proxy passes the whole URL on.
            path = urlsplit(self.path).path
            answered = answer(Request(self.command, path, headers, body))
            self.send_response(answered.status)
            self.send_header("Content-Type", answered.content_type)
            self.send_header("Content-Length", str(len(answered.body)))
            self.end_headers()
            self.wfile.write(answered.body)

        do_GET = do_PUT = do_POST  # noqa: N815 - the names are http.server's

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
            """Write nothing to standard error."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    port = server.server_port
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    with _running(server):
        yield port


@contextmanager
def _running(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def kinesis(fake: FakeKinesis) -> Callable[[Request], Answer]:
    """Return what answers as a fake does."""
    transport = fake.answer

    def answer(request: Request) -> Answer:
        from kinesink.testing.exchange import Reply  # noqa: PLC0415 - for type checkers mostly
        from kinesink.testing.exchange import Request as FakeRequest  # noqa: PLC0415 - as above

        reply = transport(FakeRequest(request.method, request.headers, request.body))
        assert isinstance(reply, Reply)
        return Answer(reply.body, reply.status, reply.headers["Content-Type"])

    return answer


class Authority:
    """STS, the container's and the instance's metadata services: whoever gives keys.

    All of them give what :meth:`give` says, once :attr:`gate` is open.
    """

    def __init__(self) -> None:
        self.url = ""
        self.gate = threading.Event()
        self.gate.set()
        self.given = 0
        """How often keys were given, whatever it took to ask for them."""
        self.asked: list[dict[str, str]] = []
        """The form of each request to STS, with its headers."""
        self.refusal: Answer | None = None
        self._keys = {"access_key": "", "token": "", "end": ""}
        self._lock = threading.Lock()

    def give(self, access_key: str, *, seconds_left: float = 3600) -> None:
        """Give these keys from now on."""
        end = datetime.now(tz=timezone.utc) + timedelta(seconds=seconds_left)
        with self._lock:
            self._keys = {
                "access_key": access_key,
                "token": f"token-of-{access_key}",
                "end": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }

    def refuse(self, text: str) -> None:
        """Refuse from now on, in STS's words."""
        error = f"<Error><Code>AccessDenied</Code><Message>{text}</Message></Error>"
        body = f"<ErrorResponse>{error}</ErrorResponse>"
        self.refusal = Answer(body.encode(), 403, "text/xml")

    @contextmanager
    def running(self) -> Iterator[Authority]:
        """Listen."""
        with serving(self._answer) as port:
            self.url = f"http://{HOST}:{port}"
            try:
                yield self
            finally:
                self.gate.set()

    def keys(self) -> dict[str, str]:
        """Give keys, as soon as the gate is open."""
        self.gate.wait()
        with self._lock:
            self.given += 1
            return self._keys

    def _answer(self, request: Request) -> Answer:
        if request.path == "/latest/api/token":
            return Answer(b"a-session-token", content_type="text/plain")
        if request.path == "/latest/meta-data/iam/security-credentials/":
            assert request.headers["x-aws-ec2-metadata-token"] == "a-session-token"
            return Answer(b"writer", content_type="text/plain")
        if request.path == "/":
            return self._sts(request)
        if request.path == "/container":
            assert request.headers["authorization"] == "a-container-token"
        return self._metadata()

    def _metadata(self) -> Answer:
        keys = self.keys()
        return Answer(
            json.dumps({
                "Version": 1,
                "Code": "Success",
                "AccessKeyId": keys["access_key"],
                "SecretAccessKey": "secret",
                "Token": keys["token"],
                "SessionToken": keys["token"],
                "Expiration": keys["end"],
            }).encode()
        )  # fmt: skip

    def _sts(self, request: Request) -> Answer:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        self.asked.append({**request.headers, **form})
        if self.refusal is not None:
            return self.refusal
        keys, action = self.keys(), form["Action"]
        return Answer(
            f"<{action}Response><{action}Result><Credentials>"
            f"<AccessKeyId>{keys['access_key']}</AccessKeyId>"
            "<SecretAccessKey>secret</SecretAccessKey>"
            f"<SessionToken>{keys['token']}</SessionToken>"
            f"<Expiration>{keys['end']}</Expiration>"
            "</Credentials><AssumedRoleUser><AssumedRoleId>AROA:me</AssumedRoleId>"
            "<Arn>arn:aws:sts::111122223333:assumed-role/writer/me</Arn></AssumedRoleUser>"
            f"</{action}Result></{action}Response>".encode(),
            content_type="text/xml",
        )


class Proxy:
    """A proxy that takes every host to a port of this machine.

    :param authorization: what it wants in ``Proxy-Authorization``; None for nothing.
    :param tls: for one that speaks TLS itself.
    """

    def __init__(
        self, *, authorization: str | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._authorization = authorization
        self._tls = tls
        self.port = 0
        self.target = 0
        """The port that requests are taken to."""
        self.heads: list[str] = []
        """Request line and headers of each request."""

    @property
    def requests(self) -> list[str]:
        """The request lines."""
        return [head.partition("\r\n")[0] for head in self.heads]

    @contextmanager
    def running(self, target: int) -> Iterator[Proxy]:
        """Listen, and take requests to this port."""
        serve = self._serve

        class Handler(socketserver.BaseRequestHandler):
            """One connection."""

            def handle(self) -> None:
                serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            """A thread for each connection."""

        server = Server((HOST, 0), Handler)
        self.port, self.target = server.server_address[1], target
        if self._tls is not None:
            server.socket = self._tls.wrap_socket(server.socket, server_side=True)
        with _running(server):
            yield self

    def _serve(self, client: socket.socket) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            chunk = client.recv(65536)
            if not chunk:
                return
            received += chunk
        head = received.decode("latin-1")
        self.heads.append(head)
        wanted = self._authorization
        if wanted is not None and f"proxy-authorization: {wanted}".lower() not in head.lower():
            client.sendall(
                b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
            )
            return
        with socket.create_connection((HOST, self.target)) as target:
            if head.startswith("CONNECT"):
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                target.sendall(received)
            _join(client, target)


def _join(first: socket.socket, second: socket.socket) -> None:
    """Carry bytes both ways until one end closes."""
    with suppress(OSError):
        while True:
            for source in select.select([first, second], [], [])[0]:
                chunk = source.recv(65536)
                if not chunk:
                    return
                (second if source is first else first).sendall(chunk)

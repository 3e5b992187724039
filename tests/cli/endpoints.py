"""Services on the loopback interface: Kinesis, STS, and whoever answers over TLS."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    import pytest

    from kinesink.testing import FakeKinesis

_WHO = """<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<GetCallerIdentityResult><Arn>arn:aws:sts::210987654321:assumed-role/writer/shop</Arn>
<UserId>A:shop</UserId><Account>210987654321</Account></GetCallerIdentityResult>
</GetCallerIdentityResponse>"""

_ROLE = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey>
<SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>
</AssumeRoleResult></AssumeRoleResponse>"""

REFUSED = (
    403,
    """<ErrorResponse><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code>
<Message>The security token included in the request is invalid.</Message></Error>
</ErrorResponse>""",
)


@contextmanager
def kinesis(fake: FakeKinesis, monkeypatch: pytest.MonkeyPatch, **variables: str) -> Iterator[str]:
    """Give the endpoint of a fake, which the environment tells as well.

    :param variables: others of the environment, or other values of those that it gets anyway.
    """
    with fake.serve() as server:
        usual = {
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_KINESIS": server.endpoint_url,
        }
        for name, value in {**usual, **variables}.items():
            monkeypatch.setenv(name, value)
        yield server.endpoint_url


@contextmanager
def serving(
    answer: tuple[int, str] | None = None, context: ssl.SSLContext | None = None
) -> Iterator[int]:
    """Give the port of a server that answers as STS does, or always the same.

    :param context: speaks TLS with it.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            usual = (200, _ROLE if b"AssumeRole" in body else _WHO)
            status, text = usual if answer is None else answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Say nothing of clients that do not trust it."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()

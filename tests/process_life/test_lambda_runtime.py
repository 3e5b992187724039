"""AWS's own runtime for Python, where it is installed, against a runtime API on loopback."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple

import pytest

from kinesink.testing import Hang
from tests.process_life.freezing import disconnect, freeze, thaw
from tests.shell.support import PATIENCE, landed, make_fake

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kinesink.testing import FakeKinesis
    from kinesink.testing.server import Server

pytest.importorskip("awslambdaric", reason="AWS's runtime is not installed")
pytestmark = pytest.mark.slow

FUNCTION = """
import logging
import kinesink

sink = kinesink.KinesisHandler("app")
sink.setFormatter(logging.Formatter("%(message)s"))
logging.getLogger("shop").addHandler(sink)
logging.getLogger("shop").setLevel("INFO")

def handler(event, context):
    logging.getLogger("shop").info(event["message"])
    if "fail" in event:
        raise ValueError(event["fail"])
    return event
"""


class HandedIn(NamedTuple):
    """What came of an invocation."""

    kind: str
    told: object
    landed: list[bytes]
    """What was in the stream when the runtime handed it in."""
    left: float
    """Seconds of the invocation's time that were left then."""


class RuntimeApi:
    """The service's side: gives out invocations and takes what comes of them."""

    def __init__(self, fake: FakeKinesis) -> None:
        self._fake = fake
        self._invocations: queue.Queue[tuple[dict[str, str], bytes] | None] = queue.Queue()
        self._handed_in: queue.Queue[HandedIn] = queue.Queue()
        self._count = 0
        self._deadline = 0.0

    def invoke(self, *, seconds: float = 60, **event: str) -> HandedIn:
        """Have the function called; return what it comes to."""
        self._count += 1
        self._deadline = time.time() + seconds
        headers = {
            "Lambda-Runtime-Aws-Request-Id": f"8476a536-e9f4-11e8-9739-{self._count:012}",
            "Lambda-Runtime-Deadline-Ms": str(int(self._deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:1:function:orders",
            "Content-Type": "application/json",
        }
        self._invocations.put((headers, json.dumps(event).encode()))
        return self._handed_in.get(timeout=2 * PATIENCE)

    def next(self) -> tuple[dict[str, str], bytes] | None:
        """Return an invocation when there is one; None when the service ends."""
        return self._invocations.get()

    def hand_in(self, kind: str, body: bytes) -> None:
        """Take what came of an invocation."""
        events = [line.rstrip() for line in landed(self._fake)]
        left = self._deadline - time.time()
        self._handed_in.put(HandedIn(kind, json.loads(body), events, left))

    def end(self) -> None:
        """Give out nothing more."""
        self._invocations.put(None)


@contextmanager
def serving(api: RuntimeApi) -> Iterator[str]:
    """Serve the runtime API; yield its address."""

    class Handler(BaseHTTPRequestHandler):
        """Two requests are known."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            invocation = api.next()
            if invocation is None:
                self.close_connection = True
                return
            headers, body = invocation
            self._answer(200, body, headers)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            api.hand_in(self.path.rpartition("/")[2], body)
            self._answer(202, b"{}", {})

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        api.end()
        server.shutdown()
        thread.join()
        server.server_close()


class Environment(NamedTuple):
    """A function that runs, and the service that invokes it."""

    api: RuntimeApi
    process: subprocess.Popen[bytes]
    server: Server
    """Where its events go."""


@contextmanager
def environment(fake: FakeKinesis, folder: Path, backend: str) -> Iterator[Environment]:
    """Start the runtime with a function."""
    (folder / "orders.py").write_text(FUNCTION)
    api = RuntimeApi(fake)
    with (
        serving(api) as address,
        fake.serve(port=0) as server,
        (folder / "told").open("wb") as told,
    ):
        process = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", "orders.handler"],
            env={
                **os.environ,
                "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
                "AWS_SECRET_ACCESS_KEY": "secret",
                "AWS_DEFAULT_REGION": "eu-west-1",
                "AWS_LAMBDA_FUNCTION_NAME": "orders",
                "AWS_LAMBDA_RUNTIME_API": address,
                "KINESINK_ENDPOINT_URL": server.endpoint_url,
                "KINESINK_BACKEND": backend,
                "KINESINK_LINGER": "60",
                "KINESINK_LAMBDA_FLUSH": "40s",
                "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)]),
            },
            stdout=told,
            stderr=subprocess.STDOUT,
        )
        try:
            yield Environment(api, process, server)
        finally:
            process.kill()
            process.wait()


def test_aws_s_runtime_hands_in_after_the_flush(anyio_backend: str, tmp_path: Path) -> None:
    """Results and errors, and after each freeze."""
    fake = make_fake()
    with environment(fake, tmp_path, anyio_backend) as (api, process, server):
        first = api.invoke(message="a")
        assert (first.kind, first.told) == ("response", {"message": "a"})
        assert first.landed == [b"a"]
        failed = api.invoke(message="b", fail="no such order")
        assert failed.kind == "error"
        assert isinstance(failed.told, dict)
        assert failed.told["errorType"] == "ValueError"
        assert failed.landed == [b"a", b"b"]
        freeze(process)
        disconnect(server)
        thaw(process)
        assert api.invoke(message="c").landed == [b"a", b"b", b"c"]


def test_aws_s_runtime_knows_when_the_invocation_ends(anyio_backend: str, tmp_path: Path) -> None:
    """So a service that hangs ends none late."""
    fake = make_fake()
    with environment(fake, tmp_path, anyio_backend) as (api, *_):
        api.invoke(message="a")
        fake.script(Hang(operation="PutRecords"))
        late = api.invoke(message="b", seconds=1.5)
        assert (late.kind, late.landed) == ("response", [b"a"])
        # A wide margin: a wait that did not know of the end would take forty seconds.
        assert late.left > -10
    assert "1 event (2 bytes) not delivered to 'app'" in (tmp_path / "told").read_text()

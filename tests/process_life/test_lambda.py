"""AWS Lambda: events are in the stream before the result is; a thaw after minutes loses none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from kinesink.testing import Hang
from tests.process_life.freezing import connections, disconnect, freeze, thaw
from tests.shell.support import landed, make_fake, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink.testing import FakeKinesis
    from kinesink.testing.server import Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="nothing can be frozen here"),
]

FUNCTION = """
import json, logging, os, time
import kinesink
from tests.process_life.lambda_runtime_client import run

{credentials}
sink = kinesink.KinesisHandler("app", credentials=credentials)
sink.setFormatter(logging.Formatter("%(message)s"))
logging.basicConfig(level="INFO", handlers=[sink])

def handler(event, context):
    for message in event["messages"]:
        logging.info(message)
    if "fail" in event:
        raise ValueError(event["fail"])
    return event

{decoration}
run(handler)
assert sink.flush()
account = sink.statistics()
print(json.dumps([account.accepted, account.delivered, account.lost, account.pending]))
"""
"""A function that logs the messages of its event; says in the end what became of them."""

LINGERING = {
    "KINESINK_LINGER": "60",
    "KINESINK_SHUTDOWN_TIMEOUT": "20",
    "KINESINK_LAMBDA_FLUSH": "40s",
}
"""Nothing leaves in time unless it is flushed, and a busy machine has time for that."""

WAYS = {
    "by itself": ("", {}),
    "decorated": ("handler = kinesink.lambda_handler(handler)", {}),
    "only decorated": (
        "handler = kinesink.lambda_handler(timeout='40s')(handler)",
        {"KINESINK_LAMBDA_FLUSH": "false"},
    ),
}
"""How a function comes to its flush: what stands in its module, and its variables."""


class Result(NamedTuple):
    """What the runtime has handed in."""

    told: dict[str, Any]
    landed: list[bytes]
    """What was in the stream by then."""
    left: float
    """Seconds of the invocation's time that were left."""


class Environment:
    """A process that runs a function, and is frozen between its invocations."""

    def __init__(self, fake: FakeKinesis, server: Server, source: str, variables: Any) -> None:  # noqa: ANN401 - str by str
        self._fake = fake
        self._server = server
        self._process = subprocess.Popen(  # noqa: S603 - our own words
            [sys.executable, "-W", "error::ResourceWarning", "-c", source],
            env={
                **os.environ,
                "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
                "AWS_SECRET_ACCESS_KEY": "secret",
                "AWS_DEFAULT_REGION": "eu-west-1",
                "AWS_LAMBDA_FUNCTION_NAME": "orders",
                "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
                "KINESINK_CONNECT_TIMEOUT": "60",
                "KINESINK_ENDPOINT_URL": server.endpoint_url.replace("127.0.0.1", "localhost"),
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                **variables,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._invocations = 0

    def invoke(self, *messages: str, seconds: float = 60, **event: object) -> Result:
        """Have the function called, and freeze the process when the result is handed in."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._invocations += 1
        invocation = {
            "id": str(self._invocations),
            "seconds": seconds,
            "event": {"messages": messages, **event},
        }
        self._process.stdin.write(json.dumps(invocation) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, self._process.communicate()
        freeze(self._process)
        told = json.loads(line)
        assert told.pop("id") == str(self._invocations)
        left = told.pop("left")
        told.pop("content_type", None)
        return Result(told, [line.rstrip() for line in landed(self._fake)], left)

    def disconnect(self) -> None:
        """Close every connection from the other end."""
        disconnect(self._server)

    @property
    def connections(self) -> int:
        """How many are open."""
        return connections(self._server)

    def thaw(self) -> None:
        """Let the process go on."""
        thaw(self._process)

    def end(self) -> tuple[list[int], str]:
        """Let the function end; return what became of its events, and what it has said."""
        self.thaw()
        out, err = self._process.communicate(timeout=50)
        assert self._process.returncode == 0, err
        account = json.loads(out)
        accepted, delivered, lost, pending = account
        assert accepted == delivered + lost + pending
        return account, err

    def kill(self) -> None:
        """Leave nothing behind; show what a process has said that did not end by itself."""
        if self._process.poll() is None:
            self._process.kill()
            sys.stderr.write(self._process.communicate()[1])


@contextmanager
def environment(
    fake: FakeKinesis,
    decoration: str = "",
    *,
    credentials: str = "credentials = None",
    **variables: str,
) -> Iterator[Environment]:
    """Start a process that waits for invocations."""
    source = FUNCTION.format(decoration=decoration, credentials=credentials)
    with fake.serve(port=0) as server:
        started = Environment(fake, server, source, variables)
        try:
            yield started
        finally:
            started.kill()


@pytest.mark.parametrize("way", WAYS)
def test_the_events_of_an_invocation_are_there_before_its_result(
    way: str, anyio_backend: str
) -> None:
    """Each time, the first one included, which has to find credentials and to connect."""
    decoration, variables = WAYS[way]
    fake = make_fake()
    with environment(
        fake, decoration, KINESINK_BACKEND=anyio_backend, **{**LINGERING, **variables}
    ) as function:
        first = function.invoke("a", "b")
        assert first.told == {"result": {"messages": ["a", "b"]}}
        assert first.landed == [b"a", b"b"]
        function.thaw()
        assert function.invoke("c").landed == [b"a", b"b", b"c"]
        assert function.end() == ([3, 3, 0, 0], "")


@pytest.mark.parametrize("way", WAYS)
def test_the_events_of_a_handler_that_raises_are_there_before_its_error(
    way: str, anyio_backend: str
) -> None:
    """And the error is the handler's own."""
    decoration, variables = WAYS[way]
    fake = make_fake()
    with environment(
        fake, decoration, KINESINK_BACKEND=anyio_backend, **{**LINGERING, **variables}
    ) as function:
        failed = function.invoke("a", fail="no such order")
        assert failed.told == {"error": "ValueError('no such order')"}
        assert failed.landed == [b"a"]
        assert function.end() == ([1, 1, 0, 0], "")


def test_after_a_thaw_the_first_events_go_over_a_new_connection(anyio_backend: str) -> None:
    """Those that were open have been closed at the other end meanwhile."""
    fake = make_fake()
    with environment(fake, KINESINK_BACKEND=anyio_backend, **LINGERING) as function:
        assert function.invoke("a").landed == [b"a"]
        assert function.connections > 0
        function.disconnect()
        assert function.connections == 0
        function.thaw()
        assert function.invoke("b", "c").landed == [b"a", b"b", b"c"]
        assert function.connections > 0
        assert function.end() == ([3, 3, 0, 0], "")


KNOWN_END = """
class Keys:
    access_key, secret_key = "AKIDEXAMPLE", "secret"
    def __init__(self):
        self.end = time.time() + 1
        self.token = f"until {self.end}".replace(" ", "-")

class Renewed:
    keys = Keys()
    def refresh_needed(self, within=None):
        return time.time() >= self.keys.end
    def get_frozen_credentials(self):
        if self.refresh_needed():
            self.keys = Keys()
        return self.keys

credentials = Renewed()
"""
UNKNOWN_END = """
def credentials():
    return "AKIDEXAMPLE", "secret", f"found-at-{time.time()}"
"""


@pytest.mark.parametrize(("credentials", "refused"), [(KNOWN_END, False), (UNKNOWN_END, True)])
def test_credentials_that_have_ended_meanwhile_are_replaced(
    credentials: str, anyio_backend: str, *, refused: bool
) -> None:
    """By the wall clock before the first request, or else when the first one is refused."""

    def tokens() -> list[str]:
        return [call.headers["x-amz-security-token"] for call in fake.calls]

    fake = make_fake()
    with environment(
        fake, credentials=credentials, KINESINK_BACKEND=anyio_backend, **LINGERING
    ) as function:
        assert function.invoke("a").landed == [b"a"]
        before = tokens()
        frozen_until = time.time() + 1
        wait_until(lambda: time.time() > frozen_until)
        fake.expired_tokens.update(before)
        function.thaw()
        assert function.invoke("b").landed == [b"a", b"b"]
        since = tokens()[len(before) :]
        assert since
        assert bool(set(since) & set(before)) is refused
        assert function.end() == ([2, 2, 0, 0], "")


def not_delivered(told: str) -> list[str]:
    """Return the lines that tell of events which were late."""
    return [line for line in told.splitlines() if "not delivered" in line]


@pytest.mark.parametrize("way", WAYS)
def test_an_endpoint_that_hangs_ends_no_invocation_late(way: str, anyio_backend: str) -> None:
    """One line tells of what was late, and it is there before the next result."""
    decoration, variables = WAYS[way]
    fake = make_fake()
    with environment(
        fake, decoration, KINESINK_BACKEND=anyio_backend, **{**LINGERING, **variables}
    ) as function:
        # Credentials and connections would use up the little time that is left later.
        function.invoke("a")
        fake.script(Hang(operation="PutRecords", times=1))
        function.thaw()
        late = function.invoke("b", "c", seconds=1.5)
        assert late.told == {"result": {"messages": ["b", "c"]}}
        assert late.landed == [b"a"]
        # A wide margin: a wait that did not know of the end would take forty seconds.
        assert late.left > -10
        # The call that hangs ends with its connection.
        function.disconnect()
        function.thaw()
        assert function.invoke("d").landed == [b"a", b"b", b"c", b"d"]
        account, told = function.end()
        assert account == [4, 4, 0, 0]
        (line,) = not_delivered(told)
        assert line.startswith("kinesink: 2 events (4 bytes) not delivered to 'app' within 1.")
        assert line.endswith("(kept for later)")


def test_a_decorator_s_own_timeout_is_kept_and_waited_for_once(anyio_backend: str) -> None:
    """The runtime's own flush, which comes right after it, does not wait all over again."""
    fake = make_fake()
    decoration = """
waits_short = kinesink.lambda_handler(timeout=0.5)(handler)
waits_long = kinesink.lambda_handler(handler)

def handler(event, context):
    return (waits_long if event["messages"] == ["a"] else waits_short)(event, context)
"""
    with environment(fake, decoration, KINESINK_BACKEND=anyio_backend, **LINGERING) as function:
        assert function.invoke("a").landed == [b"a"]
        fake.script(Hang(operation="PutRecords", times=1))
        function.thaw()
        late = function.invoke("b")
        assert late.landed == [b"a"]
        # A wide margin, as above.
        assert late.left > 30
        function.disconnect()
        account, told = function.end()
        assert account == [2, 2, 0, 0]
        assert "not delivered to 'app' within 0.5 s" in not_delivered(told)[0]


OUTSIDE = {
    "switched off": {"KINESINK_LAMBDA_FLUSH": "false"},
    "no runtime": {"AWS_LAMBDA_RUNTIME_API": ""},
    "no function": {"AWS_LAMBDA_FUNCTION_NAME": ""},
}


@pytest.mark.parametrize("where", OUTSIDE)
def test_nobody_waits_where_there_is_no_lambda_or_it_is_switched_off(where: str) -> None:
    """A name in the environment, as tests often set it, is not enough."""
    fake = make_fake()
    with environment(fake, **{**LINGERING, **OUTSIDE[where]}) as function:
        assert function.invoke("a").landed == []
        assert function.end() == ([1, 1, 0, 0], "")


def test_time_to_live_goes_on_while_frozen(anyio_backend: str) -> None:
    """What is pending is as old as it is; what comes after a thaw is new."""
    fake = make_fake()
    with environment(
        fake,
        KINESINK_BACKEND=anyio_backend,
        **{**LINGERING, "KINESINK_LINGER": "5", "KINESINK_TIME_TO_LIVE": "6"},
    ) as function:
        assert function.invoke("a").landed == [b"a"]
        fake.script(Hang(operation="PutRecords", times=1))
        function.thaw()
        assert function.invoke("b", seconds=1).landed == [b"a"]
        function.disconnect()
        expired = time.monotonic() + 6
        wait_until(lambda: time.monotonic() > expired)
        function.thaw()
        assert function.invoke("c").landed == [b"a", b"c"]
        account, told = function.end()
        assert account == [3, 2, 1, 0]
        assert "1 event dropped" in told

"""What is done to the server while others log, decided by a seed."""

from __future__ import annotations

import json
import random
import socket
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from kinesink.testing import (
    FailEntries,
    Hang,
    Latency,
    RawAnswer,
    RequestError,
    Reset,
    ThrottleEntries,
    Truncate,
    WrongResultCount,
)
from kinesink.testing.exchange import NO_PAUSE, Ending, Reply
from kinesink.testing.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kinesink.testing import FakeKinesis
    from kinesink.testing.exchange import Call, Held, Request
    from kinesink.testing.faults import Fault

STREAM: Final = "app"

FEWEST_SHARDS: Final = 3
MOST_SHARDS: Final = 8

TROUBLES: Final[dict[str, tuple[float, float]]] = {
    "outage": (0.5, 3.0),
    "freeze": (0.5, 6.0),
    "throttles": (0.5, 2.0),
    "errors": (0.5, 2.0),
    "resets": (0.5, 2.0),
    "nonsense": (0.3, 1.0),
    "slowness": (0.5, 1.5),
    "peace": (0.1, 1.0),
}
"""What there is, and how many seconds it lasts."""


def told_by(reply: Reply, request: Any) -> set[str]:  # noqa: ANN401 - as JSON has it
    """Return the sequence numbers that whoever gets a reply cannot misunderstand."""
    if reply.ending is not Ending.ANSWER or reply.pause != NO_PAUSE:
        return set()
    try:
        results = json.loads(reply.body).get("Records", ())
    except ValueError:
        return set()
    if len(results) != len(request["Records"]):
        return set()
    return {result["SequenceNumber"] for result in results if "ErrorCode" not in result}


class Endpoint:
    """A server that can be killed and started again at the same port."""

    def __init__(self, fake: FakeKinesis) -> None:
        self._fake = fake
        #: The sequence numbers of records whose writer was told at once, and whole.
        self.told: set[str] = set()
        #: When it was killed, in seconds since the epoch.
        self.kills: list[float] = []
        # Bound but not listening: nobody else gets the port while the server is down, and
        # whoever connects is refused.
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self._port: int = self._reserved.getsockname()[1]
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Where it is, by a host name, which has to be looked up."""
        return f"http://localhost:{self._port}"

    def start(self) -> None:
        """Listen."""
        self._server = Server(self._answer, self._port)
        self._server.open()

    def kill(self) -> None:
        """Cut every connection, and let none be made."""
        if self._server is not None:
            self.kills.append(time.time())
            self._server.close()
            self._server = None

    def _answer(self, request: Request) -> Reply | Held:
        reply = self._fake.answer(request)
        if isinstance(reply, Reply) and request.headers["x-amz-target"].endswith(".PutRecords"):
            self.told |= told_by(reply, json.loads(request.body))
        return reply

    @contextmanager
    def running(self) -> Iterator[Endpoint]:
        """Run, and be gone at the end."""
        try:
            self.start()
            yield self
        finally:
            self.kill()
            self._reserved.close()


class Chaos:
    """Makes trouble of every kind, in an order and for times that a seed decides."""

    def __init__(self, fake: FakeKinesis, endpoint: Endpoint, seed: int) -> None:
        self._fake = fake
        self._endpoint = endpoint
        self._dice = random.Random(seed)
        self._deck: list[str] = []
        self._trouble = "peace"
        self._pause = threading.Event()
        self._began = time.monotonic()
        fake.script(*self._faults())

    def _faults(self) -> list[Fault]:
        """Return all faults there are; each strikes while its trouble lasts."""
        during = self._during
        return [
            Hang(applied=True, share=0.5, when=during("freeze")),
            Hang(when=during("freeze")),
            ThrottleEntries(share=0.4, when=during("throttles")),
            RequestError("LimitExceededException", share=0.2, when=during("throttles")),
            RequestError("InternalFailure", status=500, share=0.3, when=during("errors")),
            RequestError(
                "InternalFailure", status=500, applied=True, share=0.2, when=during("errors")
            ),
            RawAnswer(503, share=0.2, when=during("errors")),
            FailEntries(share=0.1, when=during("errors")),
            FailEntries(share=0.1, applied=True, when=during("errors")),
            Reset(share=0.2, when=during("resets")),
            Reset(applied=True, share=0.3, when=during("resets")),
            Reset(ending=Ending.CUT, share=0.2, when=during("resets")),
            Reset(ending=Ending.REFUSE, share=0.1, when=during("resets")),
            Truncate(share=0.3, when=during("nonsense")),
            WrongResultCount(share=0.2, when=during("nonsense")),
            WrongResultCount(by=1, share=0.2, when=during("nonsense")),
            Latency(request=0.3, share=0.5, when=during("slowness")),
            Latency(answer=0.6, share=0.5, when=during("slowness")),
        ]

    def _during(self, trouble: str) -> Callable[[Call], bool]:
        return lambda _: self._trouble == trouble

    def run(self, seconds: float) -> None:
        """Make trouble for so long, each kind of it before any comes again."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self._deck = self._deck or self._dice.sample(sorted(TROUBLES), len(TROUBLES))
            self._have(self._deck.pop(), ends)
        self._note("all is well")

    def _have(self, trouble: str, ends: float) -> None:
        length = self._dice.uniform(*TROUBLES[trouble])
        self._note(f"{trouble} for {length:.1f} s")
        self._trouble = trouble
        if trouble == "outage":
            self._endpoint.kill()
        self._pass(min(time.monotonic() + length, ends))
        self._trouble = "peace"
        if trouble == "outage":
            self._endpoint.start()
        self._fake.release()

    def _pass(self, until: float) -> None:
        """Let time pass, and reshard now and then."""
        while (left := until - time.monotonic()) > 0:
            self._pause.wait(min(left, self._dice.uniform(0.2, 1.5)))
            if self._dice.random() < 0.5:
                self._reshard()

    def _reshard(self) -> None:
        shards = self._fake.open_shards(STREAM)
        place = self._dice.randrange(len(shards) - 1)
        one, next_one = shards[place : place + 2]
        splits = self._dice.random() < 0.5
        if len(shards) == FEWEST_SHARDS or (splits and len(shards) < MOST_SHARDS):
            self._note(f"split {one.shard_id}")
            self._fake.split_shard(STREAM, one.shard_id)
        else:
            self._note(f"merge {one.shard_id} and {next_one.shard_id}")
            self._fake.merge_shards(STREAM, one.shard_id, next_one.shard_id)

    def _note(self, what: str) -> None:
        """Print what is done, and when, for whoever has to find out what went wrong."""
        sys.stdout.write(f"{time.monotonic() - self._began:7.2f} {what}\n")

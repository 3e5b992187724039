"""One request and what becomes of it, as values: the border between the fake and its carriers.

:meth:`kinesink.testing.FakeKinesis.answer` decides at once and never waits. What has to
happen later it *returns*: a :class:`Held` request that arrives after a pause, or a
:class:`Reply` that leaves after one. The httpx transport and the loopback server carry
this out, each with its own means, and decide nothing.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus

__all__ = ["NO_PAUSE", "Call", "Ending", "Gate", "Held", "Pause", "Reply", "Request"]


@dataclass(frozen=True)
class Request:
    """One HTTP request as it came in."""

    method: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(frozen=True)
class Call:
    """One request as the fake understood it, kept in ``FakeKinesis.calls``."""

    operation: str
    """Such as ``PutRecords``."""
    stream: str | None
    """From the name, the ARN, the token or the iterator; None if none of them is there."""
    time: float
    """When it came in, in seconds on the fake's clock."""
    body: Mapping[str, object]
    """Known members: blobs as bytes, timestamps in seconds. Empty if they could not be read."""
    headers: Mapping[str, str]
    """Names in lower case: ``x-amz-date``, ``authorization``, …"""
    entries: int
    """Entries of PutRecords, 1 for PutRecord, otherwise 0."""


class Gate:
    """Closed until someone opens it, once, from any thread. Waiting is the listeners' business."""

    def __init__(self) -> None:
        """Start closed."""
        self._lock = threading.Lock()
        self._is_open = False
        self._listeners: list[Callable[[], None]] = []

    def on_open(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` when the gate opens, in the opener's thread; at once if it is open."""
        with self._lock:
            if not self._is_open:
                self._listeners.append(listener)
                return
        listener()

    def forget(self, listener: Callable[[], None]) -> None:
        """Do not call ``listener`` any more."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)

    @property
    def waiting(self) -> int:
        """How many wait at the gate."""
        with self._lock:
            return len(self._listeners)

    def open(self) -> None:
        """Let everyone through, now and later."""
        with self._lock:
            self._is_open = True
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()


@dataclass(frozen=True)
class Pause:
    """First ``seconds`` pass, then the ``gate``, if there is one, has to be open."""

    seconds: float = 0.0
    gate: Gate | None = None


NO_PAUSE = Pause()


class Ending(Enum):
    """How an exchange ends on the connection."""

    ANSWER = auto()
    """The whole reply is sent."""
    REFUSE = auto()
    """No connection comes about (over sockets: it is closed before a byte of an answer)."""
    RESET = auto()
    """The connection breaks before the first byte of the reply."""
    CUT = auto()
    """The connection breaks in the middle of the reply's body."""


@dataclass(frozen=True)
class Reply:
    """One HTTP answer, to be sent after ``pause``."""

    status: int = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)
    """Without ``Content-Length``, which the carrier adds."""
    body: bytes = b""
    pause: Pause = NO_PAUSE
    ending: Ending = Ending.ANSWER


@dataclass(frozen=True)
class Held:
    """A request still on its way: after ``pause``, ``arrive()`` gives the reply."""

    pause: Pause
    arrive: Callable[[], Reply]

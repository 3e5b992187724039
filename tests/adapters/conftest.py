"""What tests of adapters share."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from kinesink.adapters import door
from tests.adapters.recording_sink import RecordingSink
from tests.shell.support import make_fake, make_sink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink import Sink
    from kinesink.config import Config


class Registry:
    """Stands in for the process's sinks: hands out recording ones, and knows who holds them."""

    def __init__(self) -> None:
        self.holders: dict[RecordingSink, set[int]] = {}
        self.sinks: dict[Config, RecordingSink] = {}

    def acquire(self, config: Config, holder: object) -> RecordingSink:
        """Return the sink of a configuration."""
        sink = self.sinks.setdefault(config, RecordingSink(config))
        self.holders.setdefault(sink, set()).add(id(holder))
        return sink

    def release(self, sink: RecordingSink, holder: object) -> None:
        """Take it back."""
        self.holders.get(sink, set()).discard(id(holder))

    @property
    def held(self) -> list[RecordingSink]:
        """The sinks that somebody holds, once for each holder."""
        return [sink for sink, holders in self.holders.items() for _ in holders]

    @property
    def sink(self) -> RecordingSink:
        """The one sink there is."""
        (sink,) = self.sinks.values()
        return sink


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Let handlers take recording sinks."""
    registry = Registry()
    monkeypatch.setattr(door, "acquire", registry.acquire)
    monkeypatch.setattr(door, "release", registry.release)
    return registry


@pytest.fixture
def delivering_sink(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sink]:
    """Return a real sink, whose producer delivers to a fake."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    sink = make_sink(make_fake())
    yield sink
    sink.close()


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Put the root logger back as it was, whatever the test configures."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers = handlers
    root.setLevel(level)

"""What tests of adapters share."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from kinesink.adapters import stdlib
from tests.adapters.recording_sink import RecordingSink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink.config import Config


class Registry:
    """Stands in for the process's sinks: hands out recording ones, and knows who holds them."""

    def __init__(self) -> None:
        self.held: list[RecordingSink] = []
        self.sinks: dict[Config, RecordingSink] = {}

    def acquire(self, config: Config) -> RecordingSink:
        """Return the sink of a configuration."""
        sink = self.sinks.setdefault(config, RecordingSink(config))
        self.held.append(sink)
        return sink

    def release(self, sink: RecordingSink) -> None:
        """Take it back."""
        self.held.remove(sink)

    @property
    def sink(self) -> RecordingSink:
        """The one sink there is."""
        (sink,) = self.sinks.values()
        return sink


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Let handlers take recording sinks."""
    registry = Registry()
    monkeypatch.setattr(stdlib, "acquire", registry.acquire)
    monkeypatch.setattr(stdlib, "release", registry.release)
    return registry


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

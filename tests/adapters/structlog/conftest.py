"""What tests of the adapter for structlog share."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
import structlog

from kinesink.event.current_span import SPANS
from tests.adapters.recording_sink import RecordingSink

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def sink() -> RecordingSink:
    """Return where events end up."""
    return RecordingSink()


@pytest.fixture(autouse=True)
def no_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever other tests have imported, there is no OpenTelemetry here."""
    monkeypatch.delitem(sys.modules, SPANS, raising=False)


@pytest.fixture(autouse=True)
def restored_structlog() -> Iterator[None]:
    """Put structlog back as it was, whatever the test configures."""
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()

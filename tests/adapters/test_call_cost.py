"""What a log call costs its thread, in calls of Python functions beyond what it has to cost.

What fails here has become slower. Times are for the benchmarks, which nobody has to pass.
"""

from __future__ import annotations

import logging
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from kinesink import KinesisHandler
from tests.counting import usual_calls_in

if TYPE_CHECKING:
    from kinesink import Sink


@pytest.mark.parametrize(
    ("extra", "most"),
    [
        pytest.param(None, 6, id="plain"),
        pytest.param({"user_id": 17, "path": "/a/b", "took": 0.25}, 12, id="three extras"),
    ],
)
def test_a_log_call_through_the_handler(
    delivering_sink: Sink, extra: dict[str, Any] | None, most: int
) -> None:
    """The handler, the formatter, the encoder, the number, the sink, the intake: one call each."""
    logger = logging.Logger("app.orders")  # noqa: LOG001 - out of reach
    call = partial(logger.info, "user %s did %d", "bob", 7, extra=extra)
    costs = {}
    for handler in (logging.NullHandler(), KinesisHandler(sink=delivering_sink)):
        logger.handlers = [handler]
        costs[type(handler)] = usual_calls_in(call)
    # Where OpenTelemetry is around, it is asked for the span: by its own code.
    most += 7 * ("opentelemetry.trace" in sys.modules)
    assert 0 < costs[KinesisHandler] - costs[logging.NullHandler] <= most


@pytest.mark.parametrize(("key", "most"), [(None, 2), ("customer-1", 3)])
def test_ready_made_bytes(delivering_sink: Sink, key: str | None, most: int) -> None:
    """The sink and the intake; and what keeps the key."""
    assert 0 < usual_calls_in(partial(delivering_sink.emit, b"{}\n", key)) <= most

"""Kinesis away for ten seconds, in the middle of everything."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, get_args
from urllib.parse import urlsplit

import pytest

from kinesink import KinesisHandler
from kinesink.config import Backend
from tests.integration.relay import Relay
from tests.integration.support import CALL_TIMEOUT, consume, logger_of, new_stream, settings
from tests.integration.test_resharding import Load, wait_for_more

if TYPE_CHECKING:
    from tests.kinesis_mock import KinesisMock

OUTAGE_SECONDS = 10.0

RECOVERY_SECONDS = 60.0
"""More than the longest wait between two attempts, on a machine that has other things to do."""


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_b4_nothing_is_lost_when_kinesis_is_away_for_ten_seconds(
    own_kinesis_mock: KinesisMock,
) -> None:
    """Events go on being logged; all are there afterwards, few more than once.

    One mock for handlers on both event loops, because an outage takes its time.
    """
    tls_port = urlsplit(own_kinesis_mock.endpoint_url).port
    assert tls_port is not None
    with ExitStack() as resources:
        relay = resources.enter_context(Relay(tls_port))
        mock = replace(own_kinesis_mock, endpoint_url=f"https://127.0.0.1:{relay.port}")
        names = [new_stream(mock, 2) for _ in range(2)]
        told: list[str] = []
        handlers = [
            KinesisHandler(
                name,
                backend=backend,
                on_error=lambda _, text: told.append(text),
                **settings(mock),
            )
            for name, backend in zip(names, get_args(Backend), strict=True)
        ]
        loggers = [resources.enter_context(logger_of(each, each.name or str(n)))
                   for n, each in enumerate(handlers)]  # fmt: skip
        with Load(loggers[0]) as first, Load(loggers[1]) as second:
            for handler in handlers:
                wait_for_more(handler)
            relay.cut()
            cut_at = time.monotonic()
            mock.stop()
            before = [handler.statistics().delivered for handler in handlers]
            threading.Event().wait(cut_at + OUTAGE_SECONDS - time.monotonic())
            assert [handler.statistics().delivered for handler in handlers] == before
            mock.start()
            relay.mend()
            for handler in handlers:
                wait_for_more(handler, within=RECOVERY_SECONDS)
        for handler, load, name in zip(handlers, (first, second), names, strict=True):
            assert handler.flush(CALL_TIMEOUT)
            account = handler.statistics()
            assert account.accepted == account.delivered == len(load.numbers)
            assert account.pending == account.lost == 0
            seen = consume(mock.client(), name)
            assert seen.keys() == load.numbers
            # What was under way when the wire was cut may have arrived, and was sent again.
            assert max(seen.values()) <= 2
    assert any("ConnectError" in text for text in told)

"""More events than a sink has room for, and what its stream tells of them afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinesink.shell import losses
from kinesink.testing import Hang, check_completeness
from tests.shell.support import PATIENCE, adds_up, landed, make_sink, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from kinesink import Sink
    from kinesink.testing import Completeness, FakeKinesis

SOON = 0.1
"""Seconds."""

EVENTS = 400
"""How many are logged, where there is room for some hundred."""


def tell_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test wait for the end of a pressure any longer than it must."""
    monkeypatch.setattr(losses, "QUIET", SOON)
    monkeypatch.setattr(losses, "INTERVAL", SOON)


def small_sink(fake: FakeKinesis, **parameters: object) -> Sink:
    """Return a sink with little room, whose stream hangs at first."""
    fake.faults.append(Hang(operation="PutRecords"))
    return make_sink(fake, max_pending_bytes=65_536, **parameters)


def overload(fake: FakeKinesis, sink: Sink, log: Callable[[int], object]) -> Completeness:
    """Log more than there is room for, then end the pressure; return what the stream says.

    Which is when it has told of all losses, by itself.
    """
    for number in range(EVENTS):
        log(number)
    fake.faults.clear()
    fake.release()
    assert sink.flush(PATIENCE)
    wait_until(lambda: check_completeness(landed(fake)).lost.events == sink.statistics().lost)
    # What has arrived may not be acknowledged yet.
    assert sink.flush(PATIENCE)
    account = sink.statistics()
    assert adds_up(account)
    report = check_completeness(landed(fake))
    assert (account.delivered, account.pending) == (report.events, 0)
    return report

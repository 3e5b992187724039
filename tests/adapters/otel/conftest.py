"""What tests of the doors for OpenTelemetry get."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.shell.support import make_fake, make_sink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink import Sink
    from kinesink.testing import FakeKinesis


@pytest.fixture(autouse=True)
def keys_to_sign_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give whoever asks credentials and a region, and no proxy on the way."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture
def fake() -> Iterator[FakeKinesis]:
    """Return a service with the stream ``app``, which holds nothing back at the end."""
    fake = make_fake()
    yield fake
    fake.faults.clear()
    fake.release()


@pytest.fixture
def sink(fake: FakeKinesis) -> Iterator[Sink]:
    """Return a sink that delivers to it."""
    # What is lost is told by the account here, and not by an event more.
    sink = make_sink(fake, on_error=lambda *_: None, loss_records=False)
    yield sink
    fake.faults.clear()
    fake.release()
    sink.close()

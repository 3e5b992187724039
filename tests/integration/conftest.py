"""What every integration test has: credentials that nobody checks, and streams of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.support import new_stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kinesis_mock import KinesisMock


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch, no_aws_account_in_reach: None) -> None:  # noqa: ARG001 - comes first
    """Give kinesink something to sign with; the mock does not look at it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mock")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "mock")


@pytest.fixture
def make_stream(kinesis_mock: KinesisMock) -> Callable[[int], str]:
    """Return what creates a stream with so many shards and waits until it is active."""
    return lambda shards: new_stream(kinesis_mock, shards)

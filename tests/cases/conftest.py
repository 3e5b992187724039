"""Tests of whole cases: virtual time on both event loops, and credentials that need no account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cases import clock
from tests.cases.scene import pipelines, virtual_world
from tests.shell.conftest import aws

if TYPE_CHECKING:
    from tests.shell.conftest import AwsEnvironment

__all__ = ["aws", "pipelines", "virtual_world"]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Run the test once on each event loop that anyio knows, both on virtual time."""
    return clock.backend(request.param)


@pytest.fixture(autouse=True)
def in_the_virtual_world(aws: AwsEnvironment, virtual_world: None) -> None:
    """Let requests be signed, and let time be virtual."""
    del virtual_world
    aws.set_keys()

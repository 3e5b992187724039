"""The fixture ``kinesis_sink`` for those who have kinesink installed and test with pytest.

Law: pytest imports this module for everybody; so it imports nothing but pytest, and what the
fixture needs when the fixture is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink.testing.capture import KinesisCapture

__all__ = ["kinesis_sink"]


@pytest.fixture
def kinesis_sink() -> Iterator[KinesisCapture]:
    """Have what the application sends by kinesink delivered into memory, and look at it.

    See :func:`kinesink.testing.capture_events`.
    """
    from kinesink.testing.capture import capture_events  # noqa: PLC0415 - see the law

    with capture_events() as captured:
        yield captured

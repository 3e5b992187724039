"""What the page about servers says is shown, is shown: every test it names exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tests.test_guarantees import FUNCTIONS

PAGE: Final = Path(__file__).parent.parent / "docs" / "servers.md"
NAMED: Final = sorted(set(re.findall(r"`(test_[a-z0-9_]+)`", PAGE.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("name", NAMED)
def test_a_test_that_the_page_names_exists(name: str) -> None:
    """A promise without its test is a claim."""
    assert name in FUNCTIONS


def test_the_page_names_tests() -> None:
    """Another markup would leave the test above with nothing to look for."""
    assert len(NAMED) > 15

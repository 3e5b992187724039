"""Each example runs as a reader would run it, and what it asserts holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import WITHOUT_EXTRAS

FOLDER: Final = Path(__file__).parents[1] / "examples"
EXAMPLES: Final = sorted(FOLDER.glob("*.py"))
NEEDS_TRIO: Final = "producer_trio"


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(example: Path) -> None:
    """It ends with status 0, and nothing is left to warn of."""
    if WITHOUT_EXTRAS and example.stem == NEEDS_TRIO:
        pytest.skip("trio is left out on purpose")
    ran = subprocess.run(  # noqa: S603 - our own examples
        [sys.executable, "-W", "error", str(example)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""


def test_every_way_of_using_it_has_an_example() -> None:
    """A folder that moved would otherwise leave the test above with nothing to run."""
    names = {example.stem for example in EXAMPLES}
    assert {"logging_basic", "sink_direct", "producer_asyncio", NEEDS_TRIO} <= names


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_says_what_to_change_for_aws(example: Path) -> None:
    """It runs against the fake, which is what nobody wants in the end."""
    assert "On AWS" in example.read_text(encoding="utf-8")

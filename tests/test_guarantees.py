"""What the guarantees say is shown, is shown: every test they name exists."""

from __future__ import annotations

import ast
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parent
GUARANTEES: Final = TESTS.parent / "docs" / "guarantees.md"
CASES: Final = {
    "R": 19, "L": 7, "F": 10, "T": 4, "A": 3, "S": 7, "B": 4, "E": 6, "C": 3, "N": 4, "P": 5,
}  # fmt: skip
"""How many cases there are of routing, limits, failures, time to live, admission, shutdown,
backpressure, encoding, concurrency, accounting and performance shape."""


def names_of_functions() -> set[str]:
    """Return the name of every function under tests/."""
    return {
        node.name
        for path in TESTS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }


FUNCTIONS: Final = names_of_functions()
NAMED: Final = sorted(
    set(re.findall(r"`((?:test|the)_[A-Za-z0-9_*]+)`", GUARANTEES.read_text(encoding="utf-8")))
)


@pytest.mark.parametrize("pattern", NAMED)
def test_a_test_that_is_named_exists(pattern: str) -> None:
    """A promise without its test is a claim."""
    assert any(fnmatchcase(name.lower(), pattern.lower()) for name in FUNCTIONS)


@pytest.mark.parametrize(
    "case", [f"{group}{number + 1}" for group, count in CASES.items() for number in range(count)]
)
def test_every_case_has_a_test_of_its_name(case: str) -> None:
    """Behaviour that must hold is named, so that nobody loses it by accident."""
    assert any(name.lower().startswith(f"test_{case.lower()}_") for name in FUNCTIONS)


def test_the_guarantees_name_tests() -> None:
    """Another markup would leave the tests above with nothing to look for."""
    assert len(NAMED) > 20

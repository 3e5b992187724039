"""Every case has a test named after it: the account of cases."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]

#: How many cases there are of each group.
CASES = {
    "R": 19,  # routing and resharding
    "L": 7,  # batching and limits
    "F": 10,  # retry and failure
    "T": 4,  # time to live
    "A": 3,  # admission
    "S": 7,  # shutdown and cancellation
    "B": 4,  # backpressure and overflow
    "E": 6,  # encoding and codec
    "C": 3,  # concurrency
    "N": 4,  # accounting
    "P": 5,  # performance shape
}

#: What only a process of its own or the core alone can show; all others are played whole.
ELSEWHERE = {"L2", "S6", "S7", "P2", "P3", "P4"}

#: A test is named after one case or several: ``test_R1_…``, ``test_T3_T4_…``.
_NAMED = re.compile(r"test((?:_[RLFTASBECNP][0-9]+)+)_", re.IGNORECASE)


def cases_named_in(folder: Path) -> dict[str, set[str]]:
    """Return the tests of each case, by what their names say."""
    found: dict[str, set[str]] = {}
    for path in folder.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                named = _NAMED.match(node.name)
                for case in named[1][1:].upper().split("_") if named else ():
                    found.setdefault(case, set()).add(f"{path.stem}::{node.name}")
    return found


def all_cases() -> set[str]:
    """Return the names of all cases."""
    return {f"{group}{number + 1}" for group, count in CASES.items() for number in range(count)}


def test_every_case_has_a_test_named_after_it() -> None:
    """Somewhere among the tests, and no test is named after a case that does not exist."""
    found = cases_named_in(TESTS)
    assert all_cases() - found.keys() == set()
    assert found.keys() - all_cases() == set()


def test_every_case_is_played_whole_but_for_those_that_cannot() -> None:
    """From put to consumer, in this folder."""
    assert all_cases() - cases_named_in(Path(__file__).parent).keys() == ELSEWHERE

"""The simulator notices a core that is broken: without this its silence would prove nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kinesink.testing.simulation.run import run_seed
from tests.simulation.mutants import MUTANTS

if TYPE_CHECKING:
    from tests.simulation.mutants import Mutant

#: Seeds within which each must be found.
ENOUGH = 150


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [pytest.param(m, id=m.mutate.__name__) for m in MUTANTS])
def test_a_broken_core_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every lie is found by one of the first seeds, and by a check that it violates."""
    mutant.mutate(monkeypatch)
    failures = (run_seed(seed).failure for seed in range(ENOUGH))
    failure = next(failure for failure in failures if failure is not None)
    what = failure.splitlines()[0].split(" s: ", 1)[1]
    assert what.startswith(mutant.invariants), failure

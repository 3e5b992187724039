"""A sample of seeds holds; thousands more are for the command."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

import pytest

from kinesink.testing.simulation.run import run_seed

AT_ONCE: Final = 25


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 250, AT_ONCE))
def test_everything_holds(first: int) -> None:
    """Whatever a seed brings, no event is lost, copied without cause, late or forgotten."""
    failures = [run_seed(seed).failure for seed in range(first, first + AT_ONCE)]
    assert not any(failures), "\n".join(filter(None, failures))


def test_a_seed_is_the_same_run_each_time() -> None:
    """Two runs of a seed tell the same story, word for word."""
    stories: list[list[str]] = [[], []]
    outcomes = [run_seed(12, story.append) for story in stories]
    assert stories[0] == stories[1]
    assert outcomes[0] == outcomes[1]
    assert len(stories[0]) > 50


@pytest.mark.slow
def test_a_seed_is_the_same_run_in_every_process() -> None:
    """The order of sets, which differs from process to process, decides nothing."""
    command = [sys.executable, "-m", "kinesink.testing.simulate", "--seed", "94", "--trace"]
    stories = [
        subprocess.run(  # noqa: S603 - our own words
            command,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for hash_seed in ("1", "2")
    ]
    # The last line tells how long it took.
    assert stories[0][:-1] == stories[1][:-1]
    assert len(stories[0]) > 50

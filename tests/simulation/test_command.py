"""The command: its options, what it prints, and the exit status."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

from kinesink.testing import simulate
from kinesink.testing.simulation.run import run_seed

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.testing.simulation.run import Outcome


def fail_seed_4(seed: int, say: Callable[[str], None] | None = None) -> Outcome:
    """Run a seed, and let one fail."""
    outcome = run_seed(seed, say)
    return outcome._replace(failure="seed 4 fails: a check") if seed == 4 else outcome


def test_runs_the_seeds_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """It counts what it ran, and succeeds when all held."""
    assert simulate.main(["--seeds", "3", "--first", "1"]) == 0
    said = capsys.readouterr().out
    assert re.fullmatch(
        r"3 seeds, 0 failed: [\d,]+ events in [\d,]+ requests, [\d.]+ hours of stream time "
        r"in [\d.]+ s\n",
        said,
    )


def test_fails_when_a_seed_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every failure is shown, the other seeds run all the same, and the status is 1."""
    monkeypatch.setattr(simulate, "run_seed", fail_seed_4)
    assert simulate.main(["--seeds", "3", "--first", "3"]) == 1
    said = capsys.readouterr().out
    assert said.startswith("seed 4 fails: a check\n3 seeds, 1 failed: ")


def test_tells_everything_about_one_seed(capsys: pytest.CaptureFixture[str]) -> None:
    """A replay says what happens, in order."""
    assert simulate.main(["--seed", "4", "--trace"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "seed 4: " in lines[0]
    assert "ListShards" in lines[1]
    assert lines[-1].startswith("1 seeds, 0 failed")


def test_one_seed_is_silent_without_a_trace(capsys: pytest.CaptureFixture[str]) -> None:
    """Only the summary is printed."""
    assert simulate.main(["--seed", "4"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_shows_its_progress_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits sees how far it is, on one line."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert simulate.main(["--seeds", "2"]) == 0
    assert capsys.readouterr().err == "\r1 of 2 seeds, 0 failed \r2 of 2 seeds, 0 failed "


@pytest.mark.slow
def test_shares_the_work_among_processes(capsys: pytest.CaptureFixture[str]) -> None:
    """What comes out is the same as from one."""
    said = []
    for jobs in ("1", "2"):
        assert simulate.main(["--seeds", "12", "--jobs", jobs]) == 0
        said.append(capsys.readouterr().out.partition(" in ")[0])
    assert said[0] == said[1]


def test_simulates_a_fleet(capsys: pytest.CaptureFixture[str]) -> None:
    """The report says what the shards were used for."""
    options = "--fleet --producers 2 --shards 2 --warm-up 1 --seconds 1"
    assert simulate.main(options.split()) == 0
    assert capsys.readouterr().out.startswith("2 producers, 2 shards: utilisation ")

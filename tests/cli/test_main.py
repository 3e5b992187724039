"""The console script: what it says, and what it says without the extra."""

from __future__ import annotations

import builtins
import os
import re
import subprocess
import sys
from typing import Any

import pytest
from typer.testing import CliRunner

import kinesink
from kinesink import cli
from kinesink.cli import app, demo
from kinesink.cli.plan import Plan

WORDS = re.compile(r"\x1b\[[0-9;]*m")


def said(*arguments: str) -> tuple[int, str]:
    """Return the exit status and the words of a command, without colours, frames and breaks."""
    result = CliRunner().invoke(app.app, arguments)
    plain = WORDS.sub("", result.output).replace("│", " ")
    return result.exit_code, " ".join(plain.split())


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """Collect what the demonstration is asked to do, and do nothing."""
    collected: list[Plan] = []

    def run(self: demo.Demo) -> int:
        collected.append(self._plan)
        return 0

    monkeypatch.setattr(demo.Demo, "run", run)
    return collected


def test_it_tells_its_version() -> None:
    """As the package does."""
    assert said("--version") == (0, f"kinesink {kinesink.__version__}")


def test_help_lists_the_commands() -> None:
    """One line for each."""
    status, words = said("--help")
    assert status == 0
    assert "demo" in words
    assert "read it back" in words


def test_help_of_the_demo_teaches() -> None:
    """What runs, what is seen, what the exit status means, what else to try."""
    status, words = said("demo", "--help")
    assert status == 0
    for taught in ("no AWS account", "an aggregate", "exit status is 0 only if", "--faults"):
        assert taught in words


def test_options_become_the_plan(plans: list[Plan]) -> None:
    """Each is passed on."""
    options = "--seconds 1.5 --rate 10 --shards 2 --threads 3 --backend trio --faults"
    status, _ = said("demo", *options.split())
    assert status == 0
    assert plans == [Plan(seconds=1.5, rate=10, shards=2, threads=3, backend="trio", faults=True)]


def test_the_defaults_are_those_of_the_plan(plans: list[Plan]) -> None:
    """They stand in two places, for typer and for callers."""
    assert said("demo")[0] == 0
    assert plans == [Plan()]


@pytest.mark.parametrize("option", ["--seconds=0", "--rate=0", "--shards=33", "--backend=curio"])
def test_an_option_out_of_bounds_is_refused(option: str) -> None:
    """With the name of the option."""
    status, words = said("demo", option)
    assert status == 2
    assert option.partition("=")[0] in words


def test_a_backend_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes with an extra, which the message names."""
    monkeypatch.setitem(sys.modules, "trio", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    status, words = said("demo", "--backend=trio")
    assert status == 2
    assert "kinesink[trio]" in words


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "offered"), [("kinesink ta", {"tail"}), ("kinesink tail --s", {"--since", "--shard"})]
)
def test_the_shell_completes_what_is_typed(typed: str, offered: set[str]) -> None:
    """As bash asks for it once completion is installed: commands, and their options."""
    ran = subprocess.run(
        [
            sys.executable, "-c",
            "import sys; sys.argv[0] = 'kinesink'; from kinesink import cli; cli.main()",
        ],
        env=os.environ | {
            "_KINESINK_COMPLETE": "complete_bash", "COMP_WORDS": typed,
            "COMP_CWORD": str(typed.count(" ")),
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )  # fmt: skip
    assert set(ran.stdout.split()) == offered


def test_a_door_whose_library_is_missing_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before anything begins."""
    monkeypatch.setattr("kinesink.cli.shop_doors.find_spec", lambda _: None)
    status, words = said("demo", "--door=otel")
    assert status == 2
    assert "OpenTelemetry is not installed" in words
    assert "kinesink[otel]" in words


@pytest.mark.parametrize(("missing", "module"), [("typer", "typer"), ("rich", "rich.console")])
def test_without_the_extra_one_sentence_says_how_to_install_it(
    missing: str, module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback, and the exit status of a command that cannot be used."""
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "kinesink.cli.console")
    monkeypatch.delitem(sys.modules, "kinesink.cli.app")
    monkeypatch.delattr(cli, "app")
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        f"kinesink: the command line needs {missing}, which comes with the extra 'cli': "
        "python -m pip install 'kinesink[cli]'\n"
    )


def test_ctrl_c_while_it_is_being_imported_shows_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Importing takes a moment, and people change their minds."""
    importing = builtins.__import__

    def interrupted(name: str, *rest: Any, **more: Any) -> Any:  # noqa: ANN401 - as it is there
        if name == "kinesink.cli.app":
            raise KeyboardInterrupt
        return importing(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", interrupted)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    assert capsys.readouterr() == ("", "")


def test_another_missing_module_is_no_matter_of_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a broken installation, and its traceback says where."""
    monkeypatch.setitem(sys.modules, "kinesink.cli.demo", None)
    monkeypatch.delitem(sys.modules, "kinesink.cli.app")
    monkeypatch.delattr(cli, "app")
    with pytest.raises(ModuleNotFoundError, match=r"kinesink\.cli\.demo"):
        cli.main()


@pytest.mark.slow
def test_it_runs_as_a_module() -> None:
    """For those whose PATH lacks the folder of the scripts."""
    ran = subprocess.run(
        [sys.executable, "-m", "kinesink.cli", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == f"kinesink {kinesink.__version__}\n"

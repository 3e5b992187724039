"""How commands end: a status for each end, and never a traceback."""

from __future__ import annotations

import os
import sys

import pytest
import typer

from kinesink.cli.exits import CommandError, plainly


def status_of(error: BaseException) -> int:
    """Return the status of a command that ends by an exception."""
    with pytest.raises(typer.Exit) as ended, plainly():
        raise error
    return ended.value.exit_code


def test_a_command_that_is_done_goes_on() -> None:
    """Its status is that of whoever called it."""
    with plainly():
        pass


def test_a_failure_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, with the name of the program, as it is told by others."""
    assert status_of(CommandError("the stream is gone.")) == 1
    assert capsys.readouterr() == ("", "kinesink: the stream is gone.\n")


def test_an_interrupt_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever pressed Ctrl-C knows."""
    assert status_of(KeyboardInterrupt()) == 130
    assert capsys.readouterr() == ("", "")


def test_a_reader_that_has_gone_ends_it_quietly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also when the last lines are still in the buffer, which the interpreter writes at exit."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        with pytest.raises(typer.Exit) as ended, plainly():
            out.write("nobody reads this")
        # Goes nowhere now.
        out.flush()
        monkeypatch.undo()
    assert ended.value.exit_code == 141
    assert capsys.readouterr() == ("", "")


def test_other_errors_are_ours_and_show_where() -> None:
    """A bug is no sentence for a user."""
    with pytest.raises(ZeroDivisionError), plainly():
        raise ZeroDivisionError

"""How commands end: a status for each end, and never a traceback."""

from __future__ import annotations

import os
import re
import signal
import sys
from typing import TYPE_CHECKING

import pytest
import typer

from kinesink.cli.exits import CommandError, Stopped, plainly, stopped_by
from kinesink.testing import FakeKinesis
from tests.cli.commands import PATIENCE, Terminal, start
from tests.cli.endpoints import kinesis

if TYPE_CHECKING:
    from collections.abc import Iterator


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


def test_a_signal_ends_it_with_its_status() -> None:
    """Where it is waited for."""
    with pytest.raises(typer.Exit) as ended, plainly(), stopped_by("SIGTERM", "SIGNOTHING"):
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.exit_code == 143


def test_what_nohup_has_ignored_ends_nothing() -> None:
    """Ctrl-C does, though a shell has what it runs in the background ignore it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGINT)}
    try:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        with stopped_by("SIGHUP", "SIGINT"):
            signal.raise_signal(signal.SIGHUP)
            with pytest.raises(Stopped):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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


@pytest.fixture
def _account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give a service with a stream that has an event."""
    fake = FakeKinesis()
    fake.create_stream("s")
    fake.put("s", b'{"level":"ERROR","message":"m"}')
    with kinesis(fake, monkeypatch):
        yield


LOAD = ("load", "s", "--rate", "20", "--size", "200", "--duration")


@pytest.mark.slow
@pytest.mark.usefixtures("_account")
@pytest.mark.parametrize(
    ("command", "lines"),
    [
        (("demo", "--seconds", "60", "--rate", "50"), 1),
        (("local", "--port", "0"), 0),
        (("tail", "s", "--pretty"), 0),
        (("doctor", "s", "--no-probe"), 0),
        (("doctor", "s", "--no-probe", "--json"), 0),
        ((*LOAD, "100"), 1),
    ],
)
def test_every_command_ends_so_when_its_reader_has_gone(
    command: tuple[str, ...], lines: int
) -> None:
    """Before the first line, or after some, whoever writes them."""
    reading, writing = os.pipe()
    with start(*command, stdout=writing) as program:
        os.close(writing)
        with os.fdopen(reading) as out:
            for _ in range(lines):
                assert out.readline()
        _, err = program.communicate(timeout=PATIENCE)
    assert program.returncode == 141
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.usefixtures("_account")
@pytest.mark.parametrize(
    "command", [("tail", "s"), ("doctor", "s", "--no-probe"), ("demo", "--seconds", "0.2")]
)
def test_no_command_colours_what_is_not_to_be(command: tuple[str, ...]) -> None:
    """By the variable that many programs know; neither is anything bold or dim."""
    terminal = Terminal(*command, NO_COLOR="1")
    assert terminal.end() == 0
    assert terminal.screen
    assert not re.search(r"\x1b\[[0-9;]*m", terminal.screen)

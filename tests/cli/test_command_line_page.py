"""What docs/command-line.md shows is what the commands do."""

from __future__ import annotations

import json
import re
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import typer.main

from kinesink.cli import app
from kinesink.cli.exits import Exit
from kinesink.cli.spool import listing
from kinesink.spool import lock
from kinesink.spool.directory import SpoolDirectory
from kinesink.spool.event import SpooledEvent
from kinesink.spool.names import lock_of
from kinesink.testing import FakeKinesis
from tests.cli.commands import PATIENCE, Terminal, run, start
from tests.cli.endpoints import kinesis

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
SHOWN: Final[list[tuple[str, str]]] = [
    (command, output)
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for command, output in re.findall(r"^\$ (kinesink .*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
]
"""Each command of the page, with what it says."""
ARRIVED: Final = 1_795_415_320.0
WRITER: Final = "6f1ba3c0de5c9d27"


def output_of(command: str) -> str:
    """Return what the page says that a command says."""
    return dict(SHOWN)[command]


def event(number: int, time: str, level: str, logger: str, message: str, **rest: object) -> bytes:
    """Return a line of the shop."""
    fields = {
        "timestamp": f"2026-11-23T06:28:{time}000Z", "level": level, "logger": logger,
        "message": message, **rest, "boot_id": WRITER, "seq": number,
    }  # fmt: skip
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


EVENTS: Final = (
    event(1, "37.024", "INFO", "shop", "order 17 paid", attributes={"amount": 12.5})
    + event(2, "37.131", "WARNING", "shop", "order 18 is late", attributes={"days": 3})
    + event(
        3, "38.900", "ERROR", "shop.bank", "order 19 refused", attributes={"order": 19},
        exception={
            "type": "OSError",
            "message": "no answer",
            "stacktrace": "Traceback (most recent call last):\n"
            '  File "shop.py", line 12, in pay\nOSError: no answer',
        },
    )
    + event(
        4, "39.000", "WARNING", "kinesink", "kinesink lost 3 events",
        attributes={
            "lost_events": 3,
            "dropped": {"buffer_full": 3},
            "levels": {"INFO": 3},
            "from": "2026-11-23T06:28:30.000000Z",
            "to": "2026-11-23T06:28:31.000000Z",
        },
    )
)  # fmt: skip


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKinesis]:
    """Give the page its stream, two minutes after the events in it came."""
    now = [ARRIVED]
    fake = FakeKinesis(clock=lambda: now[0])
    fake.create_stream("app-logs", shards=4)
    fake.put("app-logs", EVENTS)
    fake.put(
        "app-logs", event(7, "40.001", "INFO", "shop", "order 21 paid", attributes={"amount": 3})
    )
    now[0] += 120
    with kinesis(fake, monkeypatch):
        yield fake


def test_the_page_shows_commands() -> None:
    """Another markup would leave the tests below with nothing to look for."""
    assert len(SHOWN) >= 3


@pytest.mark.slow
def test_the_server_says_what_the_page_says() -> None:
    """But for the port, which is any free one here."""
    command = "kinesink local --stream app-logs:4"
    expected = output_of(command)
    program = start(*shlex.split(command)[1:], "--port", "0")
    assert program.stdout is not None
    said = "".join(program.stdout.readline() for _ in expected.splitlines())
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=PATIENCE)
    assert re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:4567", said) == expected


@pytest.mark.slow
@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("command", [shown for shown, _ in SHOWN if " tail " in shown])
def test_a_tail_says_what_the_page_says(command: str) -> None:
    """On a terminal, without colours."""
    terminal = Terminal(*shlex.split(command)[1:], NO_COLOR="1")
    assert terminal.end() == 0
    assert terminal.screen == output_of(command)


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the page its spool: a file that is left, and one in use."""
    left, held = re.findall(r"^  (\d{19}-\d+-[0-9a-f]{8}\.db)  ", PAGE, re.MULTILINE)
    file = SpoolDirectory(tmp_path, "app-logs", 2**30).open()
    file.append([
        SpooledEvent(b'{"message":"order %04d paid"}\n' % number, None, None, 20, ARRIVED + number)
        for number in range(1200)
    ])  # fmt: skip
    file.close()
    file.path.rename(file.path.with_name(left))
    in_use = file.path.with_name(held)
    in_use.write_bytes(bytes(2048))
    held_lock = lock.take(lock_of(in_use))
    monkeypatch.setattr(listing, "holder_of", lambda _: 4712)
    yield tmp_path
    lock.release(held_lock, lock_of(in_use))


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("command", [shown for shown, _ in SHOWN if " spool " in shown])
def test_a_spool_is_dealt_with_as_the_page_says(command: str, spool: Path) -> None:
    """On the path of the page, which is another one here."""
    command_line, pipe, _ = command.partition(" | head -1")
    ran = run(*shlex.split(command_line.replace("/var/spool/app", str(spool)))[1:])
    assert ran.status == 0
    said = f"{ran.out.splitlines()[0]}\n" if pipe else ran.err + ran.out
    assert said.replace(str(spool), "/var/spool/app") == output_of(command)


def test_every_option_is_on_the_page() -> None:
    """And no other. The demonstration explains itself; --probe is the default."""
    group: Any = typer.main.get_command(app.app)
    commands = dict(group.commands)
    commands |= commands.pop("spool").commands
    found = set(re.findall(r"`(?:kinesink )?(--[a-z-]+)", PAGE))
    others = {"--help"} | _options(commands.pop("demo")) | _options(group)
    described = set().union(*map(_options, commands.values()))
    assert described - {"--help", "--probe"} <= found <= described | others


def test_every_exit_status_is_on_the_page() -> None:
    """As the commands have them."""
    assert [int(status) for status in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)][:6] == list(
        Exit
    )


def _options(command: Any) -> set[str]:  # noqa: ANN401 - typer's versions differ in whose it is
    return {
        option
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    }

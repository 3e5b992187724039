"""What the documentation shows of ``kinesink doctor`` and ``kinesink load`` is what they do."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from kinesink.testing import FakeKinesis
from tests.cli.commands import PATIENCE, run
from tests.cli.endpoints import kinesis

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS: Final = Path(__file__).parents[2] / "docs"
SHOWN: Final[list[tuple[str, str]]] = [
    shown
    for page in sorted(DOCS.glob("command-line*.md"))
    for block in re.findall(
        r"^```console\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    for shown in re.findall(
        r"^\$ (kinesink (?:doctor|load) .*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE
    )
]
"""Each command of the pages, with what it says."""

VARYING: Final = (
    (r"127\.0\.0\.1:\d+", "ENDPOINT"),
    (r"shardId-\d+", "SHARD"),
    (r"\d[\d.]* m?s\b", "TIME"),
)
"""What differs from run to run."""


@pytest.fixture(autouse=True)
def _account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    fake = FakeKinesis()
    fake.create_stream("app-logs", shards=4)
    with kinesis(
        fake,
        monkeypatch,
        # However busy the machine is.
        KINESINK_SHUTDOWN_TIMEOUT=f"{PATIENCE:g}",
        KINESINK_REQUEST_TIMEOUT=f"{PATIENCE:g}",
        KINESINK_TIME_TO_LIVE=f"{PATIENCE:g}",
        # Two events that are written right after each other are one record.
        KINESINK_LINGER="1",
    ):
        yield


def alike(text: str) -> str:
    """Return a text without what differs from run to run."""
    for pattern, word in VARYING:
        text = re.sub(pattern, word, text)
    return text


@pytest.mark.parametrize(("command", "output"), [each for each in SHOWN if " doctor " in each[0]])
def test_a_check_up_says_what_the_page_says(command: str, output: str) -> None:
    """But for times, ports and shards."""
    ran = run(*shlex.split(command)[1:])
    assert alike(ran.out + ran.err) == alike(output)


@pytest.mark.slow
@pytest.mark.parametrize(("command", "output"), [each for each in SHOWN if " load " in each[0]])
def test_a_load_says_what_the_page_says(command: str, output: str) -> None:
    """The plan and the account, which do not depend on how fast the machine is."""
    ran = run(*shlex.split(command)[1:])
    steady = [
        line
        for line in alike(output).splitlines()
        if " events of " in line or " accepted = " in line or line.startswith(("The ", "From "))
    ]
    assert len(steady) == 4
    lines = iter(alike(ran.out).splitlines())
    assert all(line in lines for line in steady), ran.out


def test_the_pages_show_commands() -> None:
    """Another markup would leave the tests above with nothing to look for."""
    assert len(SHOWN) >= 3

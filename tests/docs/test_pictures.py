"""Pictures are shown somewhere, fetch nothing, and are those of the commands as they are."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Final

import pytest

from tests.cli.commands import PATIENCE
from tests.docs import pictures
from tests.docs.blocks import DOCUMENTS, ROOT

if TYPE_CHECKING:
    from pathlib import Path

DRAWN: Final = sorted((ROOT / "docs").glob("p*/*.svg"))
"""Pictures of terminals, and plots."""

VARYING: Final = (
    (r"\d[\d.]* m?s\b", "TIME"),
    (r"\d[\d.:,]*", "NUMBER"),
    (r"NUMBER records?\b", "RECORDS"),
    (r"[━╸╺]+", "BAR"),
    (r"shardId-NUMBER BAR NUMBER NUMBER%", "SHARD"),
)
"""What differs from run to run."""


def words_of(picture: str) -> str:
    """Return the text in a picture without what differs from run to run."""
    text = re.sub(r"<style.*?</style>|<[^>]*>", "", picture, flags=re.DOTALL)
    text = " ".join(html.unescape(text).split())
    for pattern, word in VARYING:
        text = re.sub(pattern, word, text)
    return text


def test_every_picture_is_shown_somewhere() -> None:
    """One that nobody sees is one that nobody mends."""
    shown = {
        (document.parent / link).resolve()
        for document in DOCUMENTS
        for link in re.findall(r"\]\(([\w/-]+\.svg)\)", document.read_text(encoding="utf-8"))
    }
    assert len(DRAWN) > 5
    assert shown == set(DRAWN)


@pytest.mark.parametrize("picture", DRAWN, ids=lambda path: path.stem)
def test_a_picture_fetches_nothing_and_tells_of_no_machine(picture: Path) -> None:
    """No address that a browser would open, and no folder of whoever has drawn it."""
    text = picture.read_text(encoding="utf-8")
    fetched = r"""\b(?:href|src)\s*=\s*["'](?!\#)|url\(["']?(?!\#)|@import|<script"""
    folders = r"/(?:home|root|tmp|Users)/\w+"
    assert re.findall(f"{fetched}|{folders}", text) == []


@pytest.mark.slow
def test_the_pictures_are_those_of_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """To mend: python tests/docs/pictures.py."""
    # However busy the machine is.
    for name in ("SHUTDOWN_TIMEOUT", "REQUEST_TIMEOUT", "TIME_TO_LIVE"):
        monkeypatch.setenv(f"KINESINK_{name}", f"{PATIENCE:g}")
    drawn = {name: words_of(picture) for name, picture in pictures.drawings().items()}
    kept = {path.stem: words_of(path.read_text("utf-8")) for path in pictures.PICTURES.glob("*")}
    assert kept == drawn
    assert "order NUMBER paid" in kept["tail"]
    assert "every event logged arrived exactly once" in kept["demo"]

"""The code blocks of the documents, with what a comment above one says about how to try it.

Four comments are known, each right above its block; neither a code host nor the site shows them:

    <!-- with: CODE -->     what the text takes for granted; it runs before the block
    <!-- then: CODE -->     what a reader would do next; it runs after the block
    <!-- not run: WHY -->   it cannot be run where the tests run; it is only looked at
    <!-- printed by the block before -->
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCUMENTS: Final = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]

_BLOCK: Final = re.compile(
    r"^(?P<comments>(?: *<!--(?:(?!-->).)*-->\n)*)"
    r"^(?P<indent> *)(?P<fence>```+)(?P<language>[^\n]*)\n(?P<text>.*?)^ *(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
_COMMENT: Final = re.compile(r"<!-- ?(with|then|not run):[ \n](.*?)\s*-->\n", re.DOTALL)

_PRINTED: Final = "<!-- printed by the block before -->"


@dataclass(frozen=True)
class Block:
    """One code block of a document."""

    document: str
    """The path from the root of the repository."""
    line: int
    """Where its text begins."""
    language: str
    """What stands behind its fence; empty for plain text."""
    text: str
    given: str = ""
    """What runs before it."""
    then: str = ""
    """What runs after it."""
    not_run: str | None = None
    """Why it is not run; None if it is."""
    printed: str | None = None
    """What it prints, if the document says so."""

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks_of(document: Path) -> list[Block]:
    """Return the code blocks of a document, in order."""
    text = document.read_text(encoding="utf-8")
    name = document.relative_to(ROOT).as_posix()
    blocks: list[Block] = []
    for match in _BLOCK.finditer(text):
        block = _block(name, text, match)
        if _PRINTED in match["comments"]:
            blocks[-1] = replace(blocks[-1], printed=block.text)
        blocks.append(block)
    return blocks


def _block(name: str, text: str, match: re.Match[str]) -> Block:
    comments = _COMMENT.findall(match["comments"])
    said = {what: textwrap.dedent(code).strip("\n") for what, code in comments}
    return Block(
        document=name,
        line=text.count("\n", 0, match.start("text")) + 1,
        language=match["language"],
        text=textwrap.dedent(match["text"]) if match["indent"] else match["text"],
        given=said.get("with", ""),
        then=said.get("then", ""),
        not_run=said.get("not run"),
    )


BLOCKS: Final = [block for document in DOCUMENTS for block in blocks_of(document)]


def in_language(*languages: str) -> list[Block]:
    """Return all blocks of all documents in one of some languages."""
    return [block for block in BLOCKS if block.language in languages]

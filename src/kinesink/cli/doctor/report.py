"""What a check-up has found, as lines for people or as one JSON object."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Final

from rich.text import Text

from kinesink.cli.doctor.policy import READING, WRITING, policy
from kinesink.cli.doctor.results import Verdict
from kinesink.cli.tail.show import safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.console import Console

    from kinesink.cli.doctor.results import Result

_STYLES: Final = {
    Verdict.OK: "green",
    Verdict.WARNING: "yellow",
    Verdict.FAILED: "bold red",
    Verdict.SKIPPED: "dim",
}

_WIDTH: Final = 23
"""Columns for the name of a check."""


class Lines:
    """Shows each check when it is made. What others say gives no orders to the terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def tell(self, name: str, result: Result) -> None:
        """Show one check."""
        verdict = result.verdict
        self._say(Text.assemble(
            (f"{verdict.value:<9}", _STYLES[verdict]), f"{name:<{_WIDTH}}", safe(result.text)
        ))  # fmt: skip
        if result.step:
            self._say(Text(f"{'':9}→ {safe(result.step)}", "bold"))

    def end(self, found: Mapping[str, Result], stream_arn: str) -> None:
        """Show the policies that are wanting, and how many checks ended how."""
        denied = {result.facts["action"] for result in found.values() if "action" in result.facts}
        # To list shards is part of both, and writing comes first.
        for title, actions, wanted in (
            ("write", WRITING, denied.intersection(WRITING)),
            ("read", READING, denied.difference(WRITING)),
        ):
            if wanted:
                self._say(Text(f"\nThe permissions to {title}, as a policy of IAM:\n"))
                self._say(Text(json.dumps(policy(actions, stream_arn), indent=2)))
        counts = Counter(result.verdict for result in found.values())
        parts = (f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict])
        self._say(Text(f"\n{', '.join(parts)}."))

    def _say(self, text: Text) -> None:
        # Only a terminal has a width; a pipe gets each line whole.
        self._console.print(text, soft_wrap=not self._console.is_terminal)


def as_json(found: Mapping[str, Result], stream_arn: str) -> str:
    """Return the whole as one JSON object in one line."""
    checks = [
        {
            "check": name,
            "verdict": result.verdict.value,
            "text": result.text,
            "next_step": result.step or None,
            **result.facts,
        }
        for name, result in found.items()
    ]
    return json.dumps({
        "stream": stream_arn,
        "verdict": _worst(found.values()).value,
        "checks": checks,
        "policies": {
            "write": policy(WRITING, stream_arn), "read": policy(READING, stream_arn),
        },
    })  # fmt: skip


def failures(found: Mapping[str, Result]) -> list[str]:
    """Return the names of the checks that have failed."""
    return [name for name, result in found.items() if result.verdict is Verdict.FAILED]


def _worst(results: Iterable[Result]) -> Verdict:
    verdicts = {result.verdict for result in results}
    return next(
        (verdict for verdict in (Verdict.FAILED, Verdict.WARNING) if verdict in verdicts),
        Verdict.OK,
    )

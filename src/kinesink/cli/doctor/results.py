"""What a check has found."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Verdict(str, Enum):
    """What follows from a check."""

    OK = "ok"
    WARNING = "warning"
    """Events arrive, but not as they might, or something could not be looked at."""
    FAILED = "failed"
    """Somebody must repair it."""
    SKIPPED = "skipped"
    """Not looked at: something it needs has failed, or it makes no sense here."""


@dataclass(frozen=True)
class Result:
    """A verdict, the reason in words, and what to do."""

    verdict: Verdict
    text: str
    step: str = ""
    """What to do next; empty if nothing."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """What programs may want to know."""


def ok(text: str, **facts: object) -> Result:
    """Return that all is well."""
    return Result(Verdict.OK, text, facts=facts)


def warning(text: str, step: str, **facts: object) -> Result:
    """Return that something is not as it might be."""
    return Result(Verdict.WARNING, text, step, facts)


def failed(text: str, step: str, **facts: object) -> Result:
    """Return that something must be repaired."""
    return Result(Verdict.FAILED, text, step, facts)


def skipped(text: str) -> Result:
    """Return that nothing was looked at."""
    return Result(Verdict.SKIPPED, text)

"""Why an event that a test expects is not there, as far as this process knows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from kinesink.adapters.stdlib import KinesisHandler
from kinesink.shell.background import every_background
from kinesink.testing.logging_settings import loggers
from kinesink.testing.trouble import describe_fault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinesink.testing.faults import Fault

__all__ = ["what_is_pending", "why_silent"]

_NAMED: Final = 5
"""So many loggers are named in a sentence."""


def what_is_pending(faults: Iterable[Fault]) -> str:
    """Say what has not arrived, and what may hold it up, a line each; empty if nothing is due."""
    waiting = [
        f"pending for stream {each.config.stream_name!r}: {pending}"
        for each in every_background()
        if (pending := each.statistics().pending)
    ]
    striking = [f"may still strike: {describe_fault(fault)}" for fault in faults]
    return "".join(f"\n{line}" for line in (waiting + striking if waiting else []))


def why_silent() -> str:
    """Say what may be wrong with a configuration by which no event has arrived."""
    handlers = [
        f"{handler!r} of logger {logger.name!r}"
        for logger in loggers()
        for handler in logger.handlers
        if isinstance(handler, KinesisHandler)
    ]
    told = [
        f"The level of the root logger is {logging.getLevelName(logging.root.level)}.",
        f"Handlers of kinesink in logging: {', '.join(handlers) or 'none'}.",
    ]
    disabled = [logger.name for logger in loggers() if logger.disabled]
    if disabled:
        some = ", ".join([*disabled[:_NAMED], *["..."][: len(disabled) > _NAMED]])
        told.append(f"Loggers that a configuration has disabled: {some}.")
    return " ".join(told)

"""Chains of structlog to test with."""

from __future__ import annotations

from typing import Any

import structlog


def a_logger(*processors: Any, logger: object = None, wrapper: Any = None) -> Any:  # noqa: ANN401 - structlog has no narrower types
    """Return a bound logger with these processors, by default in front of a ReturnLogger."""
    return structlog.wrap_logger(
        structlog.testing.ReturnLogger() if logger is None else logger,
        processors=list(processors),
        wrapper_class=wrapper or structlog.BoundLogger,
        context_class=dict,
    )

"""What a test leaves of the configuration of logging and structlog: what was there before.

Law: every logger has again the handlers, the level and the switches that it had, and every
handler that came since is closed. What belongs to pytest is left to pytest.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Settings", "loggers"]


class _OfLogger(NamedTuple):
    """How one logger is set."""

    handlers: tuple[logging.Handler, ...] = ()
    level: int = logging.NOTSET
    propagate: bool = True
    disabled: bool = False


class Settings:
    """How logging and structlog are configured at the moment this is made."""

    def __init__(self) -> None:
        """Take note of it."""
        self._loggers = {
            logger: _OfLogger(
                tuple(logger.handlers), logger.level, logger.propagate, logger.disabled
            )
            for logger in loggers()
        }
        self._disabled_below = logging.root.manager.disable
        self._structlog = _structlog_configuration()

    def restore(self) -> None:
        """Configure both as they were."""
        known = {handler for before in self._loggers.values() for handler in before.handlers}
        new: list[logging.Handler] = []
        for logger in loggers():
            before = self._loggers.get(logger, _OfLogger())
            kept = [
                handler
                for handler in logger.handlers
                if _is_foreign(handler) and handler not in before.handlers
            ]
            new += [each for each in logger.handlers if each not in known and each not in kept]
            logger.handlers[:] = [*before.handlers, *kept]
            logger.propagate, logger.disabled = before.propagate, before.disabled
            # Also has loggers forget what they know about what is enabled.
            logger.setLevel(before.level)
        logging.disable(self._disabled_below)
        for handler in new:
            handler.close()
        self._restore_structlog()

    def _restore_structlog(self) -> None:
        now = _structlog_configuration()
        if now == self._structlog:
            return
        structlog: Any = sys.modules["structlog"]
        if self._structlog is None:
            structlog.reset_defaults()
        else:
            structlog.configure(**self._structlog)


def loggers() -> Iterator[logging.Logger]:
    """Yield every logger that there is."""
    yield logging.root
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            yield logger


def _is_foreign(handler: logging.Handler) -> bool:
    """Tell whether somebody else looks after a handler: pytest, or a library for its import."""
    module = type(handler).__module__
    return module.startswith("_pytest.") or type(handler) is logging.NullHandler


def _structlog_configuration() -> dict[str, Any] | None:
    """Return structlog's configuration; None while it has its defaults, or is not loaded."""
    structlog: Any = sys.modules.get("structlog")
    if structlog is None or not structlog.is_configured():
        return None
    configuration: dict[str, Any] = structlog.get_config()
    return configuration

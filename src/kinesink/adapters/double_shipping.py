"""Two doors to one stream on the same way: every event would arrive twice, so say it once.

Law: this is part of a log call, so it takes no lock and raises nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kinesink.adapters.stdlib import KinesisHandler

if TYPE_CHECKING:
    from kinesink.adapters.door import Door


def warn_of_handlers(door: Door, logger: object, event: object) -> None:
    """Tell if a chain of structlog's ships what a handler behind it ships as well.

    :param logger: what the chain ends in; only a logger of :mod:`logging` leads on.
    :param event: what is in the chain; inside a ``ProcessorFormatter`` it has the record.
    """
    try:
        record = event.get("_record") if isinstance(event, dict) else None
        behind = _known(record.name) if isinstance(record, logging.LogRecord) else logger
        if isinstance(behind, logging.Logger) and _has_handler(_handlers(behind), door):
            _tell(door, "KinesisProcessor", behind)
    except Exception as error:  # noqa: BLE001 - a logger of the application's own make
        door.trouble("double shipping", error)


def warn_of_bridge(door: Door, logger_name: str) -> bool:
    """Tell if OpenTelemetry gets from a logger what a handler there ships as well.

    :param logger_name: the instrumentation scope, which is the name of the logger where
        OpenTelemetry's own handler has made the record.
    :return: whether it was so.
    """
    logger = _known(logger_name)
    handlers = _handlers(logger)
    found = any(map(_is_bridge, handlers)) and _has_handler(handlers, door)
    if found:
        _tell(door, "OpenTelemetry's LoggingHandler", logger)
    return found


def _known(name: str) -> logging.Logger:
    """Return the logger of a name; not by ``getLogger``, which makes one and takes a lock."""
    known = logging.root.manager.loggerDict.get(name)
    return known if isinstance(known, logging.Logger) else logging.root


def _handlers(logger: logging.Logger) -> list[logging.Handler]:
    """Return the handlers that get the records of a logger."""
    found: list[logging.Handler] = []
    above: logging.Logger | None = logger
    while above is not None:
        found += above.handlers
        above = above.parent if above.propagate else None
    return found


def _is_bridge(handler: logging.Handler) -> bool:
    kind = type(handler)
    return kind.__name__ == "LoggingHandler" and kind.__module__.startswith("opentelemetry.")


def _has_handler(handlers: list[logging.Handler], door: Door) -> bool:
    return any(
        isinstance(handler, KinesisHandler) and handler.ships_to(door.config)
        for handler in handlers
    )


def _tell(door: Door, other: str, logger: logging.Logger) -> None:
    door.take().report(
        "DoubleShipping",
        f"events reach stream {door.config.stream_name!r} twice: by {other}, and by a "
        f"KinesisHandler behind logger {logger.name!r}; keep one of the two",
    )

"""OpenTelemetry behind :mod:`logging`: whether a handler there ships the same records."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kinesink.adapters.stdlib import KinesisHandler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink.adapters.door import Door


def warn_of_bridge(door: Door, logger_name: str) -> bool:
    """Tell if OpenTelemetry gets from a logger what a handler there ships as well.

    :param logger_name: the instrumentation scope, which is the name of the logger where
        OpenTelemetry's own handler has made the record.
    :return: whether it was so.
    """
    known = logging.root.manager.loggerDict.get(logger_name)
    logger = known if isinstance(known, logging.Logger) else logging.root
    handlers = list(_handlers(logger))
    found = any(map(_is_bridge, handlers)) and any(
        isinstance(handler, KinesisHandler) and handler.ships_to(door.config)
        for handler in handlers
    )
    if found:
        door.take().report(
            "DoubleShipping",
            f"events reach stream {door.config.stream_name!r} twice: by OpenTelemetry's "
            f"LoggingHandler, and by a KinesisHandler, both behind logger {logger.name!r}; "
            "keep one of the two",
        )
    return found


def _is_bridge(handler: logging.Handler) -> bool:
    kind = type(handler)
    return kind.__name__ == "LoggingHandler" and kind.__module__.startswith("opentelemetry.")


def _handlers(logger: logging.Logger) -> Iterator[logging.Handler]:
    """Yield the handlers that get the records of a logger."""
    above: logging.Logger | None = logger
    while above is not None:
        yield from above.handlers
        above = above.parent if above.propagate else None

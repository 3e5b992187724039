"""Two doors to one stream on the same way: every event would arrive twice, so say it once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kinesink.adapters.stdlib import KinesisHandler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink.adapters.door import Door


def warn_of_handlers(door: Door, logger: object, event: object) -> None:
    """Tell if a chain ships what a handler of :mod:`logging` behind it ships as well.

    :param logger: what the chain ends in; only a logger of :mod:`logging` leads on.
    :param event: what is in the chain; inside a ``ProcessorFormatter`` it has the record.
    """
    if isinstance(event, dict) and isinstance(event.get("_record"), logging.LogRecord):
        logger = logging.getLogger(event["_record"].name)
    if isinstance(logger, logging.Logger):
        for handler in _handlers(logger):
            if isinstance(handler, KinesisHandler) and handler.ships_to(door.config):
                door.take().report(
                    "DoubleShipping",
                    f"events of structlog reach stream {door.config.stream_name!r} twice: by "
                    f"KinesisProcessor, and by a KinesisHandler behind logger {logger.name!r}; "
                    "keep one of the two",
                )
                return


def _handlers(logger: logging.Logger) -> Iterator[logging.Handler]:
    """Yield the handlers that get the records of a logger."""
    above: logging.Logger | None = logger
    while above is not None:
        yield from above.handlers
        above = above.parent if above.propagate else None

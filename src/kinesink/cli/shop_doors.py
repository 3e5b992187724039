"""The doors of a demonstration: by which library the shop logs, and what ships it.

Law: each brings the same events to the stream; only the library in between is another.
"""

import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kinesink import KinesisHandler, Statistics
from kinesink.cli.workload import LOGGER, Said

if TYPE_CHECKING:
    from opentelemetry._logs import Logger as OpenTelemetryLogger

    from kinesink.cli.plan import Door

Parameters = Mapping[str, Any]
"""What every door takes: the stream and where it is."""


class OpenDoor(NamedTuple):
    """A way into the stream."""

    log: Callable[[Said], object]
    """Logs an event; from any thread."""
    flush: Callable[[float], bool]
    """Waits so many seconds for what was logged; tells whether all of it is accounted for."""
    statistics: Callable[[], Statistics]
    """The account, also when it is closed."""


class Kind(NamedTuple):
    """What is known of a door before it is opened."""

    library: str
    """What the shop logs with."""
    ships: str
    """The class of kinesink that ships it."""
    needs: str
    """The module that has to be there."""
    open: Callable[[Parameters], AbstractContextManager[OpenDoor]]

    @property
    def is_installed(self) -> bool:
        """Whether the library is there."""
        try:
            return find_spec(self.needs) is not None
        except ModuleNotFoundError:
            return False


@contextmanager
def _by_logging(parameters: Parameters) -> Iterator[OpenDoor]:
    """Attach a handler to the shop's loggers, and nothing else."""
    handler = KinesisHandler(**parameters)
    logger = logging.getLogger(LOGGER)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield OpenDoor(_log, handler.flush, handler.statistics)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
        handler.close()


def _log(said: Said) -> None:
    logging.getLogger(said.logger).log(
        said.level, said.template, *said.arguments, extra=said.fields, exc_info=said.error
    )


@contextmanager
def _by_structlog(parameters: Parameters) -> Iterator[OpenDoor]:
    """Make a chain of its own; structlog's configuration stays as it is."""
    import structlog  # noqa: PLC0415 - of an extra

    from kinesink import KinesisProcessor  # noqa: PLC0415 - as above

    processor = KinesisProcessor(drop=True, **parameters)
    logger = structlog.wrap_logger(
        structlog.ReturnLogger(),
        processors=[structlog.processors.add_log_level, processor],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
    )

    def log(said: Said) -> None:
        write = getattr(logger, logging.getLevelName(said.level).lower())
        write(said.text, logger=said.logger, exc_info=said.error, **said.fields)

    try:
        yield OpenDoor(log, processor.flush, processor.statistics)
    finally:
        processor.close()


@contextmanager
def _by_opentelemetry(parameters: Parameters) -> Iterator[OpenDoor]:
    """Make a provider of its own; the global one stays as it is."""
    from opentelemetry._logs import LogRecord, SeverityNumber  # noqa: PLC0415 - of an extra
    from opentelemetry.sdk._logs import LoggerProvider  # noqa: PLC0415 - as above

    from kinesink import KinesisLogRecordProcessor  # noqa: PLC0415 - as above

    severities = {
        logging.DEBUG: SeverityNumber.DEBUG, logging.INFO: SeverityNumber.INFO,
        logging.WARNING: SeverityNumber.WARN, logging.ERROR: SeverityNumber.ERROR,
    }  # fmt: skip
    processor = KinesisLogRecordProcessor(**parameters)
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(processor)

    @cache
    def logger(name: str) -> "OpenTelemetryLogger":
        return provider.get_logger(name)

    def log(said: Said) -> None:
        attributes = dict(said.fields)
        if said.error is not None:
            attributes["exception.type"] = type(said.error).__name__
            attributes["exception.message"] = str(said.error)
            attributes["exception.stacktrace"] = "".join(traceback.format_exception(said.error))
        logger(said.logger).emit(LogRecord(
            timestamp=time.time_ns(), severity_number=severities[said.level],
            severity_text=logging.getLevelName(said.level), body=said.text, attributes=attributes,
        ))  # fmt: skip

    def flush(timeout: float) -> bool:
        return processor.force_flush(int(timeout * 1000))

    try:
        yield OpenDoor(log, flush, processor.statistics)
    finally:
        provider.shutdown()


KINDS: Final[Mapping["Door", Kind]] = {
    "logging": Kind("logging", "KinesisHandler", "logging", _by_logging),
    "structlog": Kind("structlog", "KinesisProcessor", "structlog", _by_structlog),
    "otel": Kind(
        "OpenTelemetry", "KinesisLogRecordProcessor", "opentelemetry.sdk", _by_opentelemetry
    ),
}
"""Each door by the name of its extra."""

"""Log events of a Python process, in Amazon Kinesis Data Streams.

Names are resolved at first use, so that ``import kinesink`` costs next to nothing and
needs neither an event loop nor an HTTP client nor an AWS library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from kinesink._version import __version__

if TYPE_CHECKING:
    # As themselves, for they are public though `*` leaves them out: they need an extra.
    from kinesink.adapters.opentelemetry import (
        KinesisLogRecordExporter as KinesisLogRecordExporter,
    )
    from kinesink.adapters.opentelemetry import (
        KinesisLogRecordProcessor as KinesisLogRecordProcessor,
    )
    from kinesink.adapters.otel_metrics import instrument as instrument
    from kinesink.adapters.stdlib import KinesisFormatter, KinesisHandler
    from kinesink.adapters.structlog import KinesisLogger as KinesisLogger
    from kinesink.adapters.structlog import KinesisLoggerFactory as KinesisLoggerFactory
    from kinesink.adapters.structlog import KinesisProcessor as KinesisProcessor
    from kinesink.config import Config
    from kinesink.core.records import Attempt, DropReason, RecordResult
    from kinesink.dead_letter import DeadLetter
    from kinesink.decode import DeaggregatedRecord, deaggregate
    from kinesink.errors import (
        ClosedError,
        ConfigurationError,
        InvalidRecordError,
        KinesinkError,
        MalformedRecordError,
    )
    from kinesink.event.options import EventOptions
    from kinesink.readiness import Health
    from kinesink.shell.lambda_runtime import lambda_handler
    from kinesink.shell.lifespan import lifespan
    from kinesink.shell.outcome import Outcome
    from kinesink.shell.process import aflush, flush, health, total_statistics
    from kinesink.shell.producer import Producer
    from kinesink.shell.signals import install_signal_handlers
    from kinesink.shell.sink import Sink
    from kinesink.statistics import Statistics
else:
    # Not for type checkers, which would take every name for one that is there.
    def __getattr__(name: str) -> object:
        """Return a public name."""
        return _resolve(name)


_HOMES = {
    "Attempt": "kinesink.core.records",
    "ClosedError": "kinesink.errors",
    "Config": "kinesink.config",
    "ConfigurationError": "kinesink.errors",
    "DeadLetter": "kinesink.dead_letter",
    "DeaggregatedRecord": "kinesink.decode",
    "DropReason": "kinesink.core.records",
    "EventOptions": "kinesink.event.options",
    "Health": "kinesink.readiness",
    "InvalidRecordError": "kinesink.errors",
    "KinesinkError": "kinesink.errors",
    "KinesisFormatter": "kinesink.adapters.stdlib",
    "KinesisHandler": "kinesink.adapters.stdlib",
    "MalformedRecordError": "kinesink.errors",
    "Outcome": "kinesink.shell.outcome",
    "Producer": "kinesink.shell.producer",
    "RecordResult": "kinesink.core.records",
    "Sink": "kinesink.shell.sink",
    "Statistics": "kinesink.statistics",
    "aflush": "kinesink.shell.process",
    "deaggregate": "kinesink.decode",
    "flush": "kinesink.shell.process",
    "health": "kinesink.shell.process",
    "install_signal_handlers": "kinesink.shell.signals",
    "lambda_handler": "kinesink.shell.lambda_runtime",
    "lifespan": "kinesink.shell.lifespan",
    "total_statistics": "kinesink.shell.process",
}

#: Names that need an extra: where each is at home, and the extra. Not in ``__all__``, so that
#: ``from kinesink import *`` works without.
_EXTRAS = {
    "KinesisLogRecordExporter": ("kinesink.adapters.opentelemetry", "otel"),
    "KinesisLogRecordProcessor": ("kinesink.adapters.opentelemetry", "otel"),
    "KinesisLogger": ("kinesink.adapters.structlog", "structlog"),
    "KinesisLoggerFactory": ("kinesink.adapters.structlog", "structlog"),
    "KinesisProcessor": ("kinesink.adapters.structlog", "structlog"),
    "instrument": ("kinesink.adapters.otel_metrics", "otel"),
}

__all__ = [
    "Attempt",
    "ClosedError",
    "Config",
    "ConfigurationError",
    "DeadLetter",
    "DeaggregatedRecord",
    "DropReason",
    "EventOptions",
    "Health",
    "InvalidRecordError",
    "KinesinkError",
    "KinesisFormatter",
    "KinesisHandler",
    "MalformedRecordError",
    "Outcome",
    "Producer",
    "RecordResult",
    "Sink",
    "Statistics",
    "__version__",
    "aflush",
    "deaggregate",
    "flush",
    "health",
    "install_signal_handlers",
    "lambda_handler",
    "lifespan",
    "total_statistics",
]


def _resolve(name: str) -> object:
    """Import a public name from its home.

    :raises ImportError: if it needs an extra that is not installed; names it.
    """
    if name in _EXTRAS:
        value = globals()[name] = _from_extra(name, *_EXTRAS[name])
        return value
    if name not in _HOMES:
        msg = f"module 'kinesink' has no attribute {name!r}"
        raise AttributeError(msg)
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def _from_extra(name: str, home: str, extra: str) -> object:
    try:
        return getattr(import_module(home), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("kinesink"):
            raise
        msg = (
            f"kinesink.{name} needs {error.name!r}, which is not installed: "
            f"pip install 'kinesink[{extra}]'"
        )
        raise ImportError(msg, name=error.name) from error


def __dir__() -> list[str]:
    """Return the public names, whether they were used yet or not."""
    return sorted([*__all__, *_EXTRAS])

"""A LogRecord as one line of JSON, in kinesink's default schema."""

from __future__ import annotations

import logging
import math
import sys
from typing import Final, Literal

from kinesink.adapters import log_record
from kinesink.adapters.log_record import BLANK_SIZE, HAS_TASKS
from kinesink.config import UNITS_OF_BYTES, quantity
from kinesink.current_span import SPANS, current_span
from kinesink.encode import MAX_EVENT_BYTES, Encoder
from kinesink.errors import ConfigurationError
from kinesink.shorten import MIN_EVENT_BYTES

_modules: Final = sys.modules


class KinesisFormatter(logging.Formatter):
    """Renders a record in kinesink's default schema: one line of JSON, all fields kept.

    The formatter that :class:`KinesisHandler` has from the start. Another handler can
    have one, too, to print what would be shipped. Takes the arguments with which
    ``dictConfig`` and ``fileConfig`` call any formatter, but no format: the schema is it.

    Safe from any thread, signal handler and finalizer, and across forks.

    :param max_event_bytes: longest line in bytes, newline included; longer texts in an
        event are cut and the event says so. 2 KiB or more, also as text (``"256KiB"``).
    :raises ConfigurationError: if a format is given or the size cannot be used.
    """

    def __init__(
        self,
        fmt: None = None,
        datefmt: None = None,
        style: Literal["%", "{", "$"] = "%",
        validate: bool = True,  # noqa: FBT001, FBT002 - logging.config passes it by position
        *,
        max_event_bytes: int | str = MAX_EVENT_BYTES,
    ) -> None:
        for parameter, value in (("format", fmt), ("datefmt", datefmt)):
            if value is not None:
                raise ConfigurationError(
                    parameter, value, "KinesisFormatter writes JSON; for a format of your own, "
                    "give the handler a logging.Formatter",
                )  # fmt: skip
        super().__init__(style=style, validate=validate)
        self._encoder = Encoder(event_size(max_event_bytes))

    def format(self, record: logging.LogRecord) -> str:
        """Return the event as one line of JSON, without a newline.

        Raises what ``record.getMessage()`` raises.
        """
        return self.encode(record)[:-1].decode()

    def encode(self, record: logging.LogRecord) -> bytes:
        """Return the event as one line of JSON in UTF-8 that ends in a newline.

        Raises what ``record.getMessage()`` raises: a template and arguments that do not
        match, a message that has no text. See :meth:`encode_unformatted`.
        """
        # Read first, because once a record has shown its __dict__, each attribute takes
        # CPython longer.
        created, msg, args = record.created, record.msg, record.args
        call_site = (
            record.levelname, record.levelno, record.name, record.pathname,
            record.lineno, record.funcName, record.threadName, record.process,
        )  # fmt: skip
        special = record.exc_info or record.exc_text or record.stack_info
        if HAS_TASKS:
            special = special or record.taskName  # type: ignore[attr-defined]  # since Python 3.12
        attributes = None
        if type(msg) is str and type(record) is logging.LogRecord:
            message = msg % args if args else msg  # getMessage, without the call
        else:
            message, attributes = log_record.message(record)
        span = current_span() if SPANS in _modules else None
        details = None
        if (
            special
            or len(record.__dict__) != BLANK_SIZE
            or attributes is not None
            or span is not None
        ):
            details = log_record.details(record, attributes, span)
        return self._encoder.encode(created, call_site, message, details)

    def encode_unformatted(self, record: logging.LogRecord) -> bytes:
        """Return the event with its template as the message and its arguments beside it.

        For a record that cannot be formatted: the line that shows the bug must not be
        the line that is lost. Never raises.
        """
        message, attributes = log_record.unformatted(record)
        details = log_record.details(record, attributes, current_span())
        return self._encoder.encode(record.created, log_record.call_site(record), message, details)

    def encode_template(self, record: logging.LogRecord) -> bytes:
        """Return the event with its template as the message and nothing else.

        Runs no code of the application's. Never raises.
        """
        return self._encoder.encode(
            record.created, log_record.call_site(record), log_record.template(record)
        )


def event_size(max_event_bytes: int | str) -> int:
    """Return the longest event in bytes that ``max_event_bytes`` stands for.

    :raises ConfigurationError: if it is no size or less than 2 KiB.
    """
    size: object = max_event_bytes
    if isinstance(size, str):
        size = quantity(size, UNITS_OF_BYTES)
    if isinstance(size, (int, float)) and MIN_EVENT_BYTES <= size < math.inf and size % 1 == 0:
        return int(size)
    raise ConfigurationError(
        "max_event_bytes", max_event_bytes, "bytes, 2 KiB or more (262144, '256KiB')"
    )

"""A LogRecord as one line of JSON."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Final, Literal

from kinesink.adapters import log_record
from kinesink.adapters.event_dict import HAS_TASKS
from kinesink.adapters.log_record import BLANK_SIZE
from kinesink.errors import ConfigurationError
from kinesink.event.current_span import SPANS, current_span
from kinesink.event.options import EventOptions
from kinesink.event.shaped import new_encoder

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from kinesink.adapters.parameters import EventParameters
    from kinesink.event.encoder import Encoder
    from kinesink.event.parts import Lines
    from kinesink.event.shaped import ShapedEncoder

_modules: Final = sys.modules


class KinesisFormatter(logging.Formatter):
    """Renders a record as one line of JSON, all fields kept.

    The formatter that :class:`KinesisHandler` has from the start. Another handler can
    have one, too, to print what would be shipped. Takes the arguments with which
    ``dictConfig`` and ``fileConfig`` call any formatter, but no format: the schema is it.

    Safe from any thread, signal handler and finalizer, and across forks.

    :param options: those of :class:`kinesink.EventOptions` but ``partition_key``.
    :raises ConfigurationError: if a format is given or an option cannot work.
    """

    def __init__(
        self,
        fmt: None = None,
        datefmt: None = None,
        style: Literal["%", "{", "$"] = "%",
        validate: bool = True,  # noqa: FBT001, FBT002 - logging.config passes it by position
        **options: Unpack[EventParameters],
    ) -> None:
        for parameter, value in (("format", fmt), ("datefmt", datefmt)):
            if value is not None:
                raise ConfigurationError(
                    parameter, value, "KinesisFormatter writes JSON; for a format of your own, "
                    "give the handler a logging.Formatter",
                )  # fmt: skip
        super().__init__(style=style, validate=validate)
        self._encoder = new_encoder(EventOptions.from_environment(**options))

    @classmethod
    def of(cls, encoder: Encoder | ShapedEncoder) -> KinesisFormatter:
        """Return a formatter that writes as an encoder does."""
        formatter = cls.__new__(cls)
        logging.Formatter.__init__(formatter)
        formatter._encoder = encoder  # noqa: SLF001 - its own
        return formatter

    def format(self, record: logging.LogRecord) -> str:
        """Return the event as one line of JSON, without a newline.

        Several lines if it was split, none if it was dropped. Raises what
        ``record.getMessage()`` raises.
        """
        lines = self.encode(record)
        return (lines if isinstance(lines, bytes) else b"".join(lines))[:-1].decode()

    def encode(self, record: logging.LogRecord) -> Lines:
        """Return the event as one line of JSON in UTF-8 that ends in a newline.

        Several lines, or none, if it is too large for one and the options say so.

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
            fields = record.__dict__
            if "level" in fields or "_logger" in fields:
                parts = log_record.event_dict_of(record, message)
                if parts is not None:
                    return self._encoder.encode(*parts)
            details = log_record.details(record, attributes, span)
        return self._encoder.encode(created, call_site, message, details)

    def encode_unformatted(self, record: logging.LogRecord) -> Lines:
        """Return the event with its template as the message and its arguments beside it.

        For a record that cannot be formatted: the line that shows the bug must not be
        the line that is lost. Never raises.
        """
        message, attributes = log_record.unformatted(record)
        details = log_record.details(record, attributes, current_span())
        return self._encoder.encode(record.created, log_record.call_site(record), message, details)

    def encode_template(self, record: logging.LogRecord) -> Lines:
        """Return the event with its template as the message and nothing else.

        Runs no code of the application's. Never raises.
        """
        return self._encoder.encode(
            record.created, log_record.call_site(record), log_record.template(record)
        )

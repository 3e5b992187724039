"""LogRecord to the parts of an event; the record is read, never written.

Other handlers get the same record. So nothing is cached on it, and what another
formatter has cached there counts only where the original is gone.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from kinesink.encode import Details
from kinesink.plain_values import ExceptionFields, exception_fields, text

if TYPE_CHECKING:
    from kinesink.encode import CallSite, TraceIds

Attributes = dict[Any, Any]

_BLANK: Final = vars(logging.LogRecord("", 0, "", 0, "", None, None))
BLANK_SIZE: Final = len(_BLANK)
"""A record with as many fields has no extras."""

#: What formatters leave on a record is no extra.
_NO_EXTRAS: Final = frozenset(_BLANK) | {"message", "asctime"}

HAS_TASKS: Final = "taskName" in _BLANK
"""From Python 3.12 on; before, ``taskName`` is a legal name for an extra."""


def call_site(record: logging.LogRecord) -> CallSite:
    """Return what repeats from one record to the next."""
    return (
        record.levelname, record.levelno, record.name, record.pathname, record.lineno,
        record.funcName, record.threadName, record.process,
    )  # fmt: skip


def template(record: logging.LogRecord) -> str:
    """Return the message before its arguments are filled in; runs next to no foreign code."""
    msg = record.msg
    return msg if isinstance(msg, str) else f"<{type(msg).__name__}>"


def message(record: logging.LogRecord) -> tuple[str, Attributes | None]:
    """Return the message of a record whose message is no plain text, and its attributes.

    A mapping's items are attributes, and its ``message`` or ``event`` is the message.
    Anything else is its ``str()``, with whatever that raises.
    """
    if isinstance(record.msg, Mapping) and not record.args:
        return _mapping(record, record.msg)
    return record.getMessage(), None


def unformatted(record: logging.LogRecord) -> tuple[str, Attributes]:
    """Return the template as the message, and the arguments that do not fit it.

    The line that shows the bug must not be the line that is lost.
    """
    attributes: Attributes = {"args": text(record.args)} if record.args else {}
    return text(record.msg, None), attributes


def details(
    record: logging.LogRecord, attributes: Attributes | None, span: TraceIds | None
) -> Details:
    """Return what the record has beyond its message, with the message's own attributes."""
    # A copy, as a handler in another thread may be formatting the same record.
    fields = dict(record.__dict__)
    extras: Attributes = {}
    if len(fields) != BLANK_SIZE:
        extras = {
            name: value
            for name, value in fields.items()
            if name not in _NO_EXTRAS and (type(name) is not str or name[:1] != "_")
        }
    exception = None
    if record.exc_info or record.exc_text:
        exception = _exception(record.exc_info) or _cached_exception(record.exc_text)
    stack_info = record.stack_info
    if attributes:
        if _from_structlog(record):
            exc_info = attributes.pop("exc_info", None)  # often True, where the record has it
            exception = exception or _exception(exc_info)
            if exception is None and isinstance(attributes.get("exception"), str):
                exception = _cached_exception(attributes.pop("exception"))
            if stack_info is None and isinstance(attributes.get("stack"), str):
                stack_info = attributes.pop("stack")
        extras.update(attributes)
    task = fields.get("taskName") if HAS_TASKS else None
    return Details(task, span, exception, stack_info, extras)


def _mapping(record: logging.LogRecord, msg: Mapping[Any, object]) -> tuple[str, Attributes]:
    attributes = dict(msg)
    if _from_structlog(record):
        for name, same in (("level", record.levelname.lower()), ("logger", record.name)):
            if attributes.get(name) == same:
                del attributes[name]
    for name in ("message", "event"):
        if name in attributes:
            return text(attributes.pop(name), None), attributes
    return "", attributes


def _from_structlog(record: logging.LogRecord) -> bool:
    """Return whether the message is an event dict, from ``wrap_for_formatter``."""
    return "_logger" in vars(record) and "_name" in vars(record)


def _exception(exc_info: object) -> ExceptionFields | None:
    """Return the exception of whatever ``exc_info`` may be: a triple, an exception, True."""
    if isinstance(exc_info, BaseException):
        return exception_fields(exc_info, exc_info.__traceback__)
    if exc_info is True:
        exc_info = sys.exc_info()
    match exc_info:
        case (_, BaseException() as error, TracebackType() | None as trace):
            return exception_fields(error, trace)
        case _:
            return None


def _cached_exception(stacktrace: str | None) -> ExceptionFields | None:
    return ExceptionFields(None, None, stacktrace) if stacktrace else None

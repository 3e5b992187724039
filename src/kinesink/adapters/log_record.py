"""LogRecord to the parts of an event; the record is read, never written.

Other handlers get the same record. So nothing is cached on it, and what another
formatter has cached there counts only where the original is gone.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from kinesink.current_span import SPANS, current_span
from kinesink.encode import CallSite, Details
from kinesink.plain_values import ExceptionFields, exception_fields, text

OnBug = Callable[[logging.LogRecord], None]
"""Told of a log call that is wrong in itself, from within the ``except`` block."""

Attributes = dict[Any, object]

_BLANK: Final = vars(logging.LogRecord("", 0, "", 0, "", None, None))
BLANK_SIZE: Final = len(_BLANK)
"""A record with as many fields has no extras."""

#: What formatters leave on a record is no extra.
_NO_EXTRAS: Final = frozenset(_BLANK) | {"message", "asctime"}

#: From Python 3.12 on a field of each record, before a legal name for an extra.
TASK_NAME: Final[Any] = "taskName" if "taskName" in _BLANK else None


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


def content(record: logging.LogRecord, on_bug: OnBug) -> tuple[str, Details | None]:
    """Return the message, and the details of a record that has any.

    If a template and its arguments do not match, the template is the message: the line
    that shows the bug must not be the line that is lost.
    """
    attributes = None
    try:
        if isinstance(record.msg, str) or not _is_mapping(record):
            message = record.getMessage()
        else:
            message, attributes = _mapping(record, record.msg)
    except Exception:  # noqa: BLE001 - the application's template, arguments and __str__
        on_bug(record)
        message = text(record.msg, None)
        attributes = {"args": text(record.args)} if record.args else {}
    fields = record.__dict__
    if (
        len(fields) == BLANK_SIZE
        and attributes is None
        and not (record.exc_info or record.exc_text or record.stack_info)
        and fields.get(TASK_NAME) is None
        and SPANS not in sys.modules
    ):
        return message, None
    return message, _details(record, attributes)


def _details(record: logging.LogRecord, attributes: Attributes | None) -> Details:
    """Return what the record has beyond its message, with the message's own attributes."""
    # A copy, as a handler in another thread may be formatting the same record.
    fields = dict(vars(record))
    extras: Attributes = {
        name: value
        for name, value in fields.items()
        if name not in _NO_EXTRAS and not str(name).startswith("_")
    }
    exception = _exception(record.exc_info) or _cached_exception(record.exc_text)
    stack_info = record.stack_info
    if attributes:
        if _from_structlog(record):
            exception = exception or _exception(attributes.pop("exc_info", None))
            if exception is None and isinstance(attributes.get("exception"), str):
                exception = _cached_exception(attributes.pop("exception"))
            if stack_info is None and isinstance(attributes.get("stack"), str):
                stack_info = attributes.pop("stack")
        extras.update(attributes)
    return Details(fields.get(TASK_NAME), current_span(), exception, stack_info, extras)


def _is_mapping(record: logging.LogRecord) -> bool:
    return isinstance(record.msg, Mapping) and not record.args


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
    if isinstance(exc_info, tuple) and len(exc_info) == 3 and exc_info[1] is not None:
        return exception_fields(exc_info[1], exc_info[2])
    return None


def _cached_exception(stacktrace: str | None) -> ExceptionFields | None:
    return ExceptionFields(None, None, stacktrace) if stacktrace else None

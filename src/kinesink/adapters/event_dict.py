"""An event dict of structlog to the parts of an event; the dict is read, never written.

Law: what a processor of structlog's has put there is taken for what it is (level, logger,
time, exception, stack, call site), and everything else is an attribute. Nothing here
imports structlog: a dict comes from its chain or by way of :mod:`logging`.
"""

from __future__ import annotations

import logging
import sys
import time
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kinesink.event.current_span import SPANS, current_span
from kinesink.event.parts import Details
from kinesink.event.plain_values import ExceptionFields, exception_fields, plain_value, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinesink.event.parts import CallSite

_modules: Final = sys.modules

Level = tuple[str, int]
"""The name and the number that :mod:`logging` has for a level."""

_INFO: Final = ("INFO", logging.INFO)

_LEVELS: Final[dict[str, Level]] = {
    "notset": ("NOTSET", logging.NOTSET),
    "debug": ("DEBUG", logging.DEBUG),
    "info": _INFO,
    "msg": _INFO,
    "log": _INFO,
    "warn": ("WARNING", logging.WARNING),
    "warning": ("WARNING", logging.WARNING),
    "error": ("ERROR", logging.ERROR),
    "err": ("ERROR", logging.ERROR),
    "failure": ("ERROR", logging.ERROR),
    "exception": ("ERROR", logging.ERROR),
    "critical": ("CRITICAL", logging.CRITICAL),
    "fatal": ("CRITICAL", logging.CRITICAL),
}
"""Levels by what structlog calls them, and by the methods that log at them."""

_USUAL: Final = frozenset({"event", "level", "logger", "timestamp"})

_SPECIAL: Final = _USUAL | {
    "exc_info", "exception", "stack", "stack_info", "pathname", "filename", "lineno", "func_name",
    "thread_name", "process", "level_number", "_record", "_from_structlog",
}  # fmt: skip
"""What processors of structlog's put into an event dict."""


class Parts(NamedTuple):
    """What :meth:`kinesink.event.encoder.Encoder.encode` takes."""

    created: float
    call_site: CallSite
    message: str
    details: Details | None


class _Rare(NamedTuple):
    """What few events have."""

    exception: ExceptionFields | None = None
    stack_info: str | None = None
    path: str | None = None
    line: int | None = None
    function: str | None = None
    thread: str | None = None
    pid: int | None = None
    level_number: int | None = None
    record: logging.LogRecord | None = None


_NOTHING: Final = _Rare()


def level_of(name: object) -> Level:
    """Return a level by the name that structlog or a method has for it."""
    try:
        return _LEVELS[name]  # type: ignore[index]  # whatever it is, it is one or not
    except (KeyError, TypeError):
        upper = text(name).upper()
        # A level of the application's own has a number if logging knows it.
        return upper, getattr(logging, "_nameToLevel", {}).get(upper, logging.NOTSET)


def translate(
    event_dict: Mapping[Any, Any], method_name: str, logger_name: str | None, pid: int | None
) -> Parts:
    """Return the parts of an event dict.

    :param method_name: the level, if the dict does not say.
    :param logger_name: the logger, if the dict does not say.
    :param pid: the process, if the dict does not say.
    """
    attributes = {name: value for name, value in event_dict.items() if name not in _SPECIAL}
    rare = _NOTHING
    if len(event_dict) - len(attributes) > len(_USUAL) or not _USUAL.issuperset(
        event_dict.keys() - attributes.keys()
    ):
        rare = _rare(event_dict, attributes)
    message = event_dict.get("event", "")
    if type(message) is not str:
        message = text(message, None)
    record = rare.record
    name = event_dict.get("level")
    level, number = level_of(method_name if name is None else name)
    if not number:
        # A level of the application's own.
        number = rare.level_number or (record.levelno if record is not None else number)
    logger = event_dict.get("logger", logger_name)
    created = event_dict.get("timestamp")
    if type(created) is not float:
        created = _created(created, attributes, record)
    if record is None:
        site: CallSite = (
            level, number, logger if type(logger) is str else "", rare.path, rare.line,
            rare.function, rare.thread, rare.pid or pid,
        )  # fmt: skip
    else:
        site = (
            level, number, logger if type(logger) is str else record.name,
            rare.path or record.pathname, rare.line or record.lineno,
            rare.function or record.funcName, rare.thread or record.threadName,
            rare.pid or record.process,
        )  # fmt: skip
    span = current_span() if SPANS in _modules else None
    if not attributes and span is None and rare is _NOTHING:
        return Parts(created, site, message, None)
    details = Details(None, span, rare.exception, rare.stack_info, attributes)
    return Parts(created, site, message, details)


def _rare(event_dict: Mapping[Any, Any], attributes: dict[Any, Any]) -> _Rare:
    """Return what few events have; what is not of its type goes to the attributes."""

    def take(name: str, kind: type) -> Any:  # noqa: ANN401 - a value of that type
        value = event_dict.get(name)
        if type(value) is kind:
            return value
        if value is not None:
            attributes[name] = value
        return None

    record = event_dict.get("_record")
    if not isinstance(record, logging.LogRecord):
        record = None
    exception = exception_of(event_dict.get("exc_info"))
    rendered = event_dict.get("exception")
    if exception is None and isinstance(rendered, str):
        exception = ExceptionFields(None, None, rendered)
    elif isinstance(rendered, list):
        # Kept as it is, too: it may hold the variables of each frame.
        attributes["exception"] = rendered
        exception = exception or _of_dictionaries(rendered)
    elif rendered is not None and not isinstance(rendered, str):
        attributes["exception"] = rendered
    stack = event_dict.get("stack")
    # True asks StackInfoRenderer for a stack; without that it says nothing.
    stack_info = stack if isinstance(stack, str) else event_dict.get("stack_info")
    return _Rare(
        exception=exception,
        stack_info=stack_info if isinstance(stack_info, str) else None,
        path=take("pathname", str) or take("filename", str),
        line=take("lineno", int),
        function=take("func_name", str),
        thread=take("thread_name", str),
        pid=take("process", int),
        level_number=take("level_number", int),
        record=record,
    )


def exception_of(exc_info: object) -> ExceptionFields | None:
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


def _of_dictionaries(stacks: list[Any]) -> ExceptionFields | None:
    """Return the exception that ``dict_tracebacks`` has made dictionaries of."""
    plain: Any = plain_value(stacks)
    told = [stack for stack in plain if isinstance(stack, dict)]
    if not told:
        return None
    lines: list[str] = []
    # structlog has the last one first, the interpreter prints it last.
    for number, stack in enumerate(reversed(told)):
        if number:
            cause = told[len(told) - number].get("is_cause")
            lines.append(_BECAUSE if cause else _DURING)
        lines.append("Traceback (most recent call last):")
        lines += [
            f'  File "{frame.get("filename")}", line {frame.get("lineno")}, in {frame.get("name")}'
            for frame in stack.get("frames") or ()
            if isinstance(frame, dict)
        ]
        lines.append(f"{stack.get('exc_type')}: {stack.get('exc_value')}")
        lines += map(str, stack.get("exc_notes") or ())
    outermost = told[0]
    return ExceptionFields(
        text(outermost.get("exc_type")), text(outermost.get("exc_value"), None), "\n".join(lines)
    )


_BECAUSE: Final = "\nThe above exception was the direct cause of the following exception:\n"
_DURING: Final = "\nDuring handling of the above exception, another exception occurred:\n"
"""As the interpreter says it."""


def _created(
    timestamp: object, attributes: dict[Any, Any], record: logging.LogRecord | None
) -> float:
    """Return the time of an event in seconds; one that cannot be read goes to the attributes."""
    if type(timestamp) is str:
        try:
            # Before Python 3.11 no Z; without a zone it is local time, as TimeStamper has it.
            return datetime.fromisoformat(
                f"{timestamp[:-1]}+00:00" if timestamp[-1:] == "Z" else timestamp
            ).timestamp()
        except (ValueError, OverflowError, OSError):
            pass
    elif type(timestamp) is int:
        return float(timestamp)
    if timestamp is not None:
        attributes["timestamp"] = timestamp
    return time.time() if record is None else record.created

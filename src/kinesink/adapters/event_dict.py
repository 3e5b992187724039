"""An event dict of structlog to the parts of an event; the dict is read, never written.

Law: what a processor of structlog's has put there is taken for what it is (level, logger,
time, exception, stack, call site), and everything else is an attribute. Nothing here
imports structlog: a dict comes from its chain or by way of :mod:`logging`.
"""

from __future__ import annotations

import logging
import math
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

    from kinesink.event.parts import CallSite, DetailsTuple, TraceIds

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


Parts = tuple[float, "CallSite", str, "DetailsTuple | None"]
"""What :meth:`kinesink.event.encoder.Encoder.encode` takes."""


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
    message, level_name = event_dict.get("event"), event_dict.get("level")
    logger, timestamp = event_dict.get("logger"), event_dict.get("timestamp")
    usual = (
        (message is not None) + (level_name is not None) + (logger is not None)
        + (timestamp is not None)
    )  # fmt: skip
    span = current_span() if SPANS in _modules else None
    created = timestamp if type(timestamp) is float else _created(timestamp, attributes)
    if type(message) is not str:
        message = "" if message is None else text(message, None)
    if type(logger) is not str:
        logger = logger_name or ""
    level = _LEVELS.get(level_name) if type(level_name) is str else None
    if level is None:
        level = level_of(method_name if level_name is None else level_name)
    if len(attributes) + usual < len(event_dict):
        return _unusual(
            event_dict, attributes, created=created, level=level, logger=logger,
            message=message, span=span, pid=pid,
        )  # fmt: skip
    site: CallSite = (*level, logger, None, None, None, None, pid)
    if not attributes and span is None:
        return created, site, message, None
    return created, site, message, (None, span, None, None, attributes, None, None, 0)


def _unusual(  # noqa: PLR0913 - what translate knows by then
    event_dict: Mapping[Any, Any],
    attributes: dict[Any, Any],
    *,
    created: float,
    level: Level,
    logger: str,
    message: str,
    span: TraceIds | None,
    pid: int | None,
) -> Parts:
    """Return the parts of an event dict that holds what few do."""
    rare = _rare(event_dict, attributes)
    record = rare.record
    name, number = level
    if not number:
        # A level of the application's own.
        number = rare.level_number or (record.levelno if record is not None else number)
    path, line, function, thread = rare.path, rare.line, rare.function, rare.thread
    if record is not None:
        path, line = path or record.pathname, line or record.lineno
        function, thread = function or record.funcName, thread or record.threadName
        logger, pid = logger or record.name, record.process
        if "timestamp" not in event_dict:
            created = record.created
    site: CallSite = (name, number, logger, path, line, function, thread, rare.pid or pid)
    details = Details(None, span, rare.exception, rare.stack_info, attributes)
    return created, site, message, details


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


def _created(timestamp: object, attributes: dict[Any, Any]) -> float:
    """Return the time of an event in seconds; one that cannot be read goes to the attributes."""
    if type(timestamp) is str:
        try:
            known, second = _clock[0]
            if timestamp[:20] == known and timestamp[26:] == "Z":
                return second + int(timestamp[20:26]) * 1e-6
            return _read(timestamp)
        except (ValueError, OverflowError, OSError):
            pass
    elif type(timestamp) is int:
        return float(timestamp)
    if timestamp is not None:
        attributes["timestamp"] = timestamp
    return time.time()


#: A second as TimeStamper writes it, up to the point, and its start in seconds since 1970.
_clock: Final[list[tuple[str, float]]] = [("", 0.0)]


def _read(timestamp: str) -> float:
    """Return a time that ISO 8601 text says; without a zone it is local, as TimeStamper has it.

    :raises ValueError, OverflowError, OSError: if it is none.
    """
    # Before Python 3.11 it knows no Z.
    utc = timestamp[-1:] == "Z"
    seconds = datetime.fromisoformat(f"{timestamp[:-1]}+00:00" if utc else timestamp).timestamp()
    if utc and len(timestamp) == len("2026-01-02T03:04:05.678901Z"):
        _clock[0] = timestamp[:20], float(math.floor(seconds))
    return seconds

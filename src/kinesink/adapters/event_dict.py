"""An event dict of structlog to the parts of an event; the dict is read, never written.

Law: what a processor of structlog's has put there is taken for what it is (level, logger,
time, exception, stack, call site), and everything else is an attribute. Nothing here
imports structlog: a dict comes from its chain or by way of :mod:`logging`.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from kinesink.adapters.partition_key import Readers
from kinesink.event.current_span import SPANS, current_span
from kinesink.event.parts import Details
from kinesink.event.plain_values import MAX_DEPTH, ExceptionFields, exception_fields, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinesink.event.parts import CallSite, DetailsTuple, TraceIds

Kind = TypeVar("Kind")

_modules: Final = sys.modules

HAS_TASKS: Final = hasattr(logging.makeLogRecord({}), "taskName")
"""From Python 3.12 on; before, ``taskName`` is a legal name for an extra."""

_END: Final = 253_402_300_800
"""The end of the year 9999. What lies beyond counts milliseconds, or something else."""

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
    said = text(name)
    try:
        return _LEVELS[said.lower()]
    except KeyError:
        upper = said.upper()
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
    # Before a time that cannot be read becomes an attribute.
    is_usual = len(event_dict) == len(attributes) + (
        (message is not None) + (level_name is not None) + (logger is not None)
        + (timestamp is not None)
    )  # fmt: skip
    span = current_span() if SPANS in _modules else None
    created = time.time() if timestamp is None else _created(timestamp, attributes)
    if type(message) is not str:
        message = "" if message is None else text(message, None)
    if type(logger) is not str:
        logger = logger_name or "" if logger is None else text(logger, None)
    name = method_name if level_name is None else level_name
    level = _LEVELS.get(name) if type(name) is str else None
    if level is None:
        level = level_of(name)
    if not is_usual:
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
    task = None
    if record is not None:
        path, line = path or record.pathname, line or record.lineno
        function, thread = function or record.funcName, thread or record.threadName
        logger, pid = logger or record.name, record.process
        if event_dict.get("timestamp") is None or "timestamp" in attributes:
            created = record.created
        task = getattr(record, "taskName", None) if HAS_TASKS else None
    site: CallSite = (name, number, logger, path, line, function, thread, rare.pid or pid)
    details = Details(task, span, rare.exception, rare.stack_info, attributes)
    return created, site, message, details


def _rare(event_dict: Mapping[Any, Any], attributes: dict[Any, Any]) -> _Rare:
    """Return what few events have; what is not of its type goes to the attributes."""

    def take(name: str, kind: type[Kind]) -> Kind | None:
        value = event_dict.get(name)
        if type(value) is kind:
            return value
        if value is not None:
            attributes[name] = value
        return None

    record = event_dict.get("_record")
    exception = exception_of(event_dict.get("exc_info"))
    rendered = event_dict.get("exception")
    if isinstance(rendered, str):
        exception = exception or ExceptionFields(None, None, rendered)
    elif rendered is not None:
        # Kept as it is: it may hold the variables of each frame.
        attributes["exception"] = rendered
        exception = exception or _of_dictionaries(rendered)
    # True asks StackInfoRenderer for a stack; without that it says nothing.
    asked = type(event_dict.get("stack_info")) is bool
    stack_info = None if asked else take("stack_info", str)
    if stack_info is None:
        stack_info = take("stack", str)
    elif "stack" in event_dict:
        attributes["stack"] = event_dict["stack"]
    path, file = take("pathname", str), take("filename", str)
    if path and file and os.path.basename(path) != file:  # noqa: PTH119 - as logging itself
        attributes["filename"] = file
    return _Rare(
        exception=exception,
        stack_info=stack_info,
        path=path or file,
        line=take("lineno", int),
        function=take("func_name", str),
        thread=take("thread_name", str),
        pid=take("process", int),
        level_number=take("level_number", int),
        record=record if isinstance(record, logging.LogRecord) else None,
    )


def exception_of(exc_info: object) -> ExceptionFields | None:
    """Return the exception of whatever ``exc_info`` may be: a triple, an exception, True."""
    try:
        found = _error_of(exc_info)
    except Exception:  # noqa: BLE001 - what refuses to be looked at is no exception
        return None
    return None if found is None else exception_fields(*found)


def _error_of(exc_info: object) -> tuple[BaseException, TracebackType | None] | None:
    if isinstance(exc_info, BaseException):
        return exc_info, exc_info.__traceback__
    if exc_info and not isinstance(exc_info, tuple):
        exc_info = sys.exc_info()
    match exc_info:
        case (_, BaseException() as error, TracebackType() | None as trace):
            return error, trace
        case _:
            return None


def _of_dictionaries(stacks: object) -> ExceptionFields | None:
    """Return the exception that ``dict_tracebacks`` has made dictionaries of."""
    try:
        told = _told(stacks)
        if not told:
            return None
        return ExceptionFields(
            text(told[0]["exc_type"]), text(told[0]["exc_value"], None), "\n".join(_lines(told))
        )
    except Exception:  # noqa: BLE001 - somebody else's list, that only looked like one
        return None


def _told(stacks: object) -> list[dict[str, Any]]:
    if not isinstance(stacks, list):
        return []
    return [stack for stack in stacks if isinstance(stack, dict) and "exc_type" in stack]


def _lines(stacks: list[dict[str, Any]], depth: int = 1) -> list[str]:
    """Return what the interpreter would print, more or less; members of a group are indented."""
    lines: list[str] = []
    # structlog has the last one first, the interpreter prints it last.
    for number, stack in enumerate(reversed(stacks), 1):
        if number > 1:
            cause = stacks[len(stacks) - number + 1].get("is_cause")
            lines.append(_BECAUSE if cause else _DURING)
        lines.append("Traceback (most recent call last):")
        lines += [
            f'  File "{text(frame["filename"])}", line {text(frame["lineno"])}, '
            f"in {text(frame['name'])}"
            for frame in stack.get("frames", ())
        ]
        lines.append(f"{text(stack['exc_type'])}: {text(stack['exc_value'], None)}")
        lines += [text(note, None) for note in stack.get("exc_notes", ())]
        if depth < MAX_DEPTH:
            for member, inner in enumerate(stack.get("exceptions", ()), 1):
                lines.append(f"  +---------------- {member} ----------------")
                lines += [f"  | {line}" for line in _lines(_told(inner), depth + 1)]
    return lines


_BECAUSE: Final = "\nThe above exception was the direct cause of the following exception:\n"
_DURING: Final = "\nDuring handling of the above exception, another exception occurred:\n"
"""As the interpreter says it."""


def _created(timestamp: object, attributes: dict[Any, Any]) -> float:
    """Return the time of an event in seconds; one that cannot be read goes to the attributes."""
    try:
        if type(timestamp) is str:
            known, second = _clock[0]
            if timestamp[:20] == known and timestamp[26:] == "Z":
                return second + int(timestamp[20:26]) * 1e-6
            return _read(timestamp)
        if type(timestamp) in _NUMBERS and 0 <= timestamp < _END:  # type: ignore[operator]  # as just seen
            return float(timestamp)  # type: ignore[arg-type]  # as just seen
    except (ValueError, OverflowError, OSError):
        pass
    attributes["timestamp"] = timestamp
    return time.time()


_NUMBERS: Final = frozenset({int, float})

#: A second as TimeStamper writes it, up to the point, and its start in seconds since 1970.
_clock: Final[list[tuple[str, float]]] = [("", 0.0)]


def _read(timestamp: str) -> float:
    """Return a time that ISO 8601 text says; without a zone it is local, as TimeStamper has it.

    Only in the form of ``isoformat``: of a date alone nobody knows the time, and of what
    ``strftime`` has made nobody knows the zone.

    :raises ValueError, OverflowError, OSError: if it is none.
    """
    if timestamp[10:11] != "T":
        raise ValueError
    # Before Python 3.11 it knows no Z.
    utc = timestamp[-1:] == "Z"
    seconds = datetime.fromisoformat(f"{timestamp[:-1]}+00:00" if utc else timestamp).timestamp()
    if seconds < 0:
        raise ValueError
    if utc and len(timestamp) == len("2026-01-02T03:04:05.678901Z"):
        _clock[0] = timestamp[:20], float(math.floor(seconds))
    return seconds


def _trace_id(parts: Parts) -> str | None:
    trace = parts[3] and parts[3][1]
    return trace.trace_id if trace else None


def _attribute(parts: Parts, name: str) -> object:
    attributes = parts[3] and parts[3][4]
    return attributes.get(name) if attributes else None


def _field(parts: Parts, name: str) -> object:
    level, _, logger, path, line, function, thread, pid = parts[1]
    fields = {
        "level": level,
        "logger": logger,
        "pid": pid,
        "thread": thread,
        "task": parts[3] and parts[3][0],
        "file": path and os.path.basename(path),  # noqa: PTH119 - as logging itself
        "line": line,
        "function": function,
    }
    return fields.get(name)


READERS: Final[Readers[Parts]] = Readers(
    logger=lambda parts: parts[1][2],
    pid=lambda parts: parts[1][7],
    trace_id=_trace_id,
    attribute=_attribute,
    field=_field,
)
"""What a partition key can be made of."""

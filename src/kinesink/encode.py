"""Event to one JSON line: the only serializer.

The law: whatever an event holds, :meth:`Encoder.encode` returns one line of valid JSON in
UTF-8 that ends in a newline, and does no I/O.

The cost of a log call is decided here. A dictionary per event would be too dear, so the
line is spliced: all that repeats from one call site to the next is text kept ready, and
only the time and the message are new. Each piece of text is escaped by the C function
behind :mod:`json`; :mod:`orjson` serialises attributes, which can be anything.
"""

from __future__ import annotations

import logging
import math
import os
import time
from datetime import datetime, timezone
from json.encoder import encode_basestring as escape
from typing import Any, Final, NamedTuple

import orjson

from kinesink.core import limits
from kinesink.plain_values import ExceptionFields, plain_object, text
from kinesink.process_facts import ProcessFacts
from kinesink.shorten import shorten

MAX_EVENT_BYTES: Final = 256 * limits.KIB
"""Default for the largest event: a quarter of what a Kinesis record holds by default, so
that an aggregated record is never one event alone."""

MAX_CALL_SITES: Final = 4096
"""Call sites whose text is kept ready, per encoder; when full, it starts anew. Some 4 MB
at most: a call site is the same line of code in the same thread."""

CallSite = tuple[
    str, int, str, str | None, int | None, str | None, str | None, int | None
]  # fmt: skip
"""What repeats from event to event: level, level number as in :mod:`logging`, logger,
path of the file, line, function, thread name, process id. It includes the process id,
so nothing needs to be rebuilt after a fork."""


class TraceIds(NamedTuple):
    """The span that an event belongs to, as OpenTelemetry names it."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    trace_flags: int
    """As in W3C Trace Context: the lowest bit says that the trace is sampled."""


class Details(NamedTuple):
    """What most events do not have."""

    task: str | None = None
    """Name of the asyncio task."""
    trace: TraceIds | None = None
    """The current span."""
    exception: ExceptionFields | None = None
    """What went wrong, as text."""
    stack_info: str | None = None
    """The stack of the log call, if it was asked for."""
    attributes: dict[Any, object] | None = None
    """Everything else the application said."""


# Plain tuples, because CPython unpacks those without an iterator.

_Fragments = tuple[str, str, str, str]
"""The text of one call site: from the end of the timestamp to the message; from there to
the end of the line, for an event without details; of this the process; of this the place."""

_Clock = tuple[float, str]
"""One second: its start in seconds since 1970, and how a line of that second begins."""


class Encoder:
    """Writes events in the default schema: flat, lower case, nulls left out.

    Safe from any thread, signal handler and finalizer, and across forks: shared state is
    replaced whole, in single operations.

    :param max_event_bytes: longest line in bytes, newline included; 2 KiB or more. What is
        longer is shortened, see :func:`kinesink.shorten.shorten`.
    :param facts: what to say about the process; None reads the environment.
    """

    def __init__(
        self, max_event_bytes: int = MAX_EVENT_BYTES, facts: ProcessFacts | None = None
    ) -> None:
        self.max_event_bytes: Final = max_event_bytes
        self._facts = ProcessFacts.read() if facts is None else facts
        self._fragments: dict[CallSite, _Fragments] = {}
        self._clock: _Clock = (-math.inf, "")

    def __reduce__(self) -> tuple[Any, ...]:
        return Encoder, (self.max_event_bytes, self._facts)

    def encode(
        self, created: float, call_site: CallSite, message: str, details: Details | None = None
    ) -> bytes:
        """Return the event as one JSON line; never raises for what it was given.

        :param created: seconds since 1970; if it has no meaning (NaN, a text), now counts.
        :param message: what happened.
        :param details: what a plain event does not have.
        """
        try:
            # Small numbers, because CPython takes longer for those beyond 30 bits.
            second, begin = self._clock
            digits: Any = int((created - second) * 1e6 + 0.5)
            # Nine times of ten it has six digits and needs no padding.
            if not 100_000 <= digits < 1_000_000:  # noqa: PLR2004 - each name is a look-up
                begin, digits = self._padded(created)
            try:
                before, end, process, place = self._fragments[call_site]
            except KeyError:
                before, end, process, place = self._prepare(call_site)
            if details is not None:
                end = _end(process, place, details)
            line = f"{begin}{digits}{before}{escape(message)}{end}".encode()
        except Exception:  # noqa: BLE001 - whatever is wrong with the parts, the event goes
            line = self._encode_clean(created, call_site, message, details)
        return line if len(line) <= self.max_event_bytes else shorten(line, self.max_event_bytes)

    def _encode_clean(
        self, created: float, call_site: CallSite, message: str, details: Details | None
    ) -> bytes:
        """Return the line of parts that can be of any type, at any cost."""
        try:
            begin, digits = self._padded(created)
        except Exception:  # noqa: BLE001 - not a number, or no date can show it
            begin, digits = self._padded(time.time())
        before, end, process, place = self._prepare(_clean_call_site(call_site))
        if details is not None:
            end = _end(process, place, _clean_details(details))
        return f"{begin}{digits}{before}{escape(text(message, None))}{end}".encode()

    def _padded(self, created: float) -> tuple[str, str]:
        """Return how a line of this moment begins, and its six digits below the second."""
        second = math.floor(created)
        carry, microseconds = divmod(int((created - second) * 1e6 + 0.5), 1_000_000)
        second += carry
        known, begin = self._clock
        if second != known:
            moment = datetime.fromtimestamp(second, timezone.utc).isoformat()
            begin = f'{{"timestamp":"{moment[:19]}.'
            self._clock = float(second), begin
        return begin, f"{microseconds:06d}"

    def _prepare(self, call_site: CallSite) -> _Fragments:
        level, level_number, logger, path, line, function, thread, process = call_site
        facts = self._facts
        file = path and os.path.basename(path)  # noqa: PTH119 - as logging itself
        process_text = (
            f"{_text('service', facts.service)}{_text('env', facts.env)}"
            f"{_text('version', facts.version)}{_text('host', facts.host)}"
            f"{_number('pid', process)}{_text('thread', thread)}"
        )
        place = f"{_text('file', file)}{_number('line', line)}{_text('function', function)}"
        before = (
            f'Z"{_text("level", level)},"severity_number":{severity_number(level_number)}'
            f'{_text("logger", logger)},"message":'
        )
        fragments = before, f"{process_text}{place}}}\n", process_text, place
        if len(self._fragments) >= MAX_CALL_SITES:
            self._fragments.clear()
        self._fragments[call_site] = fragments
        return fragments


def severity_number(level_number: int) -> int:
    """Return OpenTelemetry's number for a level of :mod:`logging`: 9 for INFO, 17 for ERROR.

    Levels in between count up to 3 more; below DEBUG there is none, so 0.
    """
    if level_number < logging.DEBUG:
        return 0
    tens, ones = divmod(min(level_number, 53), 10)
    return 1 + 4 * tens + min(ones, 3)


def _text(name: str, value: str | None) -> str:
    return f',"{name}":{escape(value)}' if value else ""


def _number(name: str, value: int | None) -> str:
    return f',"{name}":{value:d}' if value else ""


def _end(process: str, place: str, details: Details) -> str:
    """Return the line from the message on, for an event with details."""
    task, trace, exception, stack_info, attributes = details
    rest = f',"attributes":{_json(attributes)}}}\n' if attributes else "}\n"
    if task is None and trace is None and exception is None and stack_info is None:
        return f"{process}{place}{rest}"
    parts = [process, _text("task", task), place]
    if trace is not None:
        parts.append(f"{_text('trace_id', trace.trace_id)}{_text('span_id', trace.span_id)}")
        parts.append(f',"trace_flags":{trace.trace_flags:d}')
    if exception is not None:
        fields = "".join(map(_text, exception._fields, exception))
        parts.append(f',"exception":{{{fields[1:]}}}')
    parts.append(_text("stack_info", stack_info))
    parts.append(rest)
    return "".join(parts)


def _json(attributes: dict[Any, object]) -> str:
    try:
        return orjson.dumps(attributes).decode()
    except Exception:  # noqa: BLE001 - orjson may run the application's code
        return orjson.dumps(plain_object(attributes)).decode()


def _clean_call_site(call_site: CallSite) -> CallSite:
    level, level_number, logger, path, line, function, thread, process = call_site
    return (
        _clean_text(level) or "",
        _whole_number(level_number) or 0,
        _clean_text(logger) or "",
        _clean_text(path),
        _whole_number(line),
        _clean_text(function),
        _clean_text(thread),
        _whole_number(process),
    )


def _clean_text(value: object) -> str | None:
    return None if value is None else text(value, None)


def _whole_number(value: object) -> int | None:
    return value if type(value) is int else None


def _clean_details(details: Details) -> Details:
    task, trace, exception, stack_info, attributes = details
    return Details(
        _clean_text(task),
        trace,
        exception and ExceptionFields(*map(_clean_text, exception)),
        _clean_text(stack_info),
        attributes,
    )

"""Event to one JSON line in the default schema: where a log call spends its time.

The law: whatever an event holds, :meth:`Encoder.encode` returns one line of valid JSON in
UTF-8 that ends in a newline, and does no I/O.

A dictionary per event would be too dear, so the line is spliced: all that repeats from one
call site to the next is text kept ready, and only the time and the message are new. Each
piece of text is escaped by the C function behind :mod:`json`; :mod:`orjson` serialises
attributes, which can be anything. What the default schema cannot be spliced to is written
by :class:`kinesink.event.shaped.ShapedEncoder`.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import time
from collections.abc import Callable
from json.encoder import encode_basestring as escape
from typing import TYPE_CHECKING, Any, Final

import orjson

from kinesink.event.extras import Extras
from kinesink.event.moment import nanoseconds_of, second_and_digits, second_text
from kinesink.event.options import FACTS, EventOptions
from kinesink.event.oversize import oversize
from kinesink.event.parts import FIELDS, Details, Severity, TraceIds
from kinesink.event.plain_values import ExceptionFields, own_copy, plain_object, plain_value, text
from kinesink.event.process_facts import ProcessFacts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinesink.event.parts import CallSite, DetailsTuple, Lines
    from kinesink.event.sequence import Sequence

MAX_CALL_SITES: Final = 4096
"""Call sites whose text is kept ready, per encoder; when full, it starts anew. Some 4 MB
at most: a call site is the same line of code in the same thread."""

_MOST: Final = 2**63 - 1
"""No reader of JSON takes every integer beyond; a line or a process id there is none."""

OnTrouble = Callable[[str, Exception], None]
"""What an encoder tells of the application's own callables: which, and what they raised."""

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

    :param options: how; the schema must be the default one and ``redact`` no callable.
    :param facts: what to say about the process; None reads the environment.
    :param resource: what else is the same for every event, as OpenTelemetry has it.
    """

    def __init__(
        self,
        options: EventOptions | None = None,
        facts: ProcessFacts | None = None,
        resource: Mapping[str, Any] | None = None,
    ) -> None:
        options = EventOptions() if options is None else options
        self.options: Final = options
        self.max_event_bytes: Final = options.max_event_bytes
        self._facts: Final = ProcessFacts.read() if facts is None else facts
        self._resource: Final = resource
        self._fragments: dict[CallSite, _Fragments] = {}
        self._clock: _Clock = (-math.inf, "")
        # What follows a name is a value, what comes before it a comma.
        self._key: Final = {name: f",{escape(options.name_of(name))}:" for name in FIELDS}
        told = told_facts(options, self._facts)
        #: What it says of the process.
        self._told: Final = "".join(f"{self._key[name]}{_json(told[name])}" for name in told)
        self._begin: Final = f'{{{self._key["timestamp"][1:]}"'
        constants = {
            name: value
            for name, value in (options.static_fields or {}).items()
            if name not in FACTS
        }
        if resource:
            constants[options.name_of("resource")] = own_copy(resource)
        #: Numbers the events; None for none.
        self.sequence: Sequence | None = None
        #: How each line ends, before its number.
        self._tail: Final = _members(constants)
        self._before_boot_id: Final = f'{self._key["boot_id"]}"'
        self._before_number: Final = f'"{self._key["seq"]}'
        self._extras: Final = Extras(options, constants)
        self._has_plain_extras: Final = options.extra in {None, "nested"} and not options.redact

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.options, self._facts, self._resource)

    def encode(
        self, created: float, call_site: CallSite, message: str, details: DetailsTuple | None = None
    ) -> Lines:
        """Return the event as one JSON line; never raises for what it was given.

        Several lines, or none, if it is too large for one and the options say so.

        :param created: seconds since 1970; if it has no meaning (NaN, a text), now counts.
        :param message: what happened.
        :param details: what a plain event does not have.
        """
        sequence, close = self.sequence, "}\n"
        if sequence is not None:
            # The number that nothing else takes.
            boot_id, number = sequence.boot_id, sequence.next()
            close = f"{self._before_boot_id}{boot_id}{self._before_number}{number}}}\n"
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
                end = self._end(process, place, details)
            line = f"{begin}{digits}{before}{escape(message)}{end}{close}".encode()
        except Exception:  # noqa: BLE001 - whatever is wrong with the parts, the event goes
            line = self._encode_clean(created, call_site, message, details, close)
        return line if len(line) <= self.max_event_bytes else oversize(line, self.options)

    def encode_nanoseconds(
        self, moment: int, call_site: CallSite, message: str, details: DetailsTuple | None = None
    ) -> Lines:
        """Return the event as :meth:`encode` does.

        :param moment: nanoseconds since 1970.
        """
        # Written out as in encode, because a call for both would be a tenth of an event.
        sequence, close = self.sequence, "}\n"
        if sequence is not None:
            boot_id, number = sequence.boot_id, sequence.next()
            close = f"{self._before_boot_id}{boot_id}{self._before_number}{number}}}\n"
        try:
            second, nanoseconds = divmod(moment, 1_000_000_000)
            known, begin = self._clock
            if second != known:
                begin, _ = self._padded(second)
            try:
                before, end, process, place = self._fragments[call_site]
            except KeyError:
                before, end, process, place = self._prepare(call_site)
            if details is not None:
                end = self._end(process, place, details)
            line = f"{begin}{nanoseconds:09d}{before}{escape(message)}{end}{close}".encode()
        except Exception:  # noqa: BLE001 - as above
            line = self._encode_clean(nanoseconds_of(moment), call_site, message, details, close)
        return line if len(line) <= self.max_event_bytes else oversize(line, self.options)

    def _encode_clean(
        self,
        created: float,
        call_site: CallSite,
        message: str,
        details: DetailsTuple | None,
        close: str,
    ) -> bytes:
        """Return the line of parts that can be of any type, at any cost."""
        try:
            begin, digits = self._padded(created)
        except Exception:  # noqa: BLE001 - not a number, or no date can show it
            begin, digits = self._padded(time.time())
        before, end, process, place = self._prepare(clean_call_site(call_site))
        if details is not None:
            end = self._end(process, place, clean_details(details))
        return f"{begin}{digits}{before}{escape(text(message, None))}{end}{close}".encode()

    def _padded(self, created: float) -> tuple[str, str]:
        """Return how a line of this moment begins, and its digits below the second."""
        second, digits = second_and_digits(created)
        known, begin = self._clock
        if second != known:
            begin = f"{self._begin}{second_text(second)}."
            self._clock = float(second), begin
        return begin, digits

    def _prepare(self, call_site: CallSite) -> _Fragments:
        level, level_number, logger, path, line, function, thread, process = call_site
        file = path and os.path.basename(path)  # noqa: PTH119 - as logging itself
        process_text = f"{self._told}{self._number('pid', process)}{self._text('thread', thread)}"
        place = (
            f"{self._text('file', file)}{self._number('line', line)}"
            f"{self._text('function', function)}"
        )
        before = (
            f'Z"{self._text("level", level)}'
            f"{self._key['severity_number']}{severity_number(level_number)}"
            f"{self._text('logger', logger)}{self._key['message']}"
        )
        fragments = before, f"{process_text}{place}{self._tail}", process_text, place
        if len(self._fragments) >= MAX_CALL_SITES:
            self._fragments.clear()
        self._fragments[call_site] = fragments
        return fragments

    def _end(self, process: str, place: str, details: DetailsTuple) -> str:
        """Return the line from the message on, for an event with details."""
        task, trace, exception, stack_info, attributes, event_name, scope, dropped = details
        extras = ""
        if attributes:
            extras = (
                f"{self._key['attributes']}{_json(attributes)}"
                if self._has_plain_extras
                else self._placed(attributes)
            )
        if (
            task is None and trace is None and exception is None and stack_info is None
            and event_name is None and scope is None and not dropped
        ):  # fmt: skip
            return f"{process}{place}{extras}{self._tail}"
        parts = [process, self._text("task", task), place, self._text("event_name", event_name)]
        if trace is not None:
            parts.append(self._text("trace_id", trace.trace_id))
            parts.append(self._text("span_id", trace.span_id))
            parts.append(f"{self._key['trace_flags']}{trace.trace_flags:d}")
        if exception is not None:
            members = "".join(
                f',"{name}":{escape(value)}'
                for name, value in zip(ExceptionFields._fields, exception, strict=True)
                if value
            )
            if members:
                parts.append(f"{self._key['exception']}{{{members[1:]}}}")
        parts.append(self._text("stack_info", stack_info))
        if scope:
            parts.append(f"{self._key['scope']}{_json(scope)}")
        parts.append(extras)
        parts.append(self._number("dropped_attributes_count", dropped))
        parts.append(self._tail)
        return "".join(parts)

    def _placed(self, attributes: dict[Any, object]) -> str:
        """Return attributes where the options want them, redacted."""
        beside, nested = self._extras.of(attributes)
        end = _members(beside)
        return f"{end}{self._key['attributes']}{_json(nested)}" if nested else end

    def _text(self, name: str, value: str | None) -> str:
        return f"{self._key[name]}{escape(value)}" if value else ""

    def _number(self, name: str, value: int | None) -> str:
        return f"{self._key[name]}{value:d}" if value and -_MOST <= value <= _MOST else ""


def told_facts(options: EventOptions, facts: ProcessFacts) -> dict[str, Any]:
    """Return what an event says of its process, by field of the default schema."""
    told = {**dataclasses.asdict(facts), **(options.static_fields or {})}
    return {name: told[name] for name in FACTS if told[name] not in (None, "")}


def severity_number(level_number: int) -> int:
    """Return OpenTelemetry's number for a level of :mod:`logging`: 9 for INFO, 17 for ERROR.

    Levels in between count up to 3 more; below DEBUG there is none, so 0. A
    :class:`~kinesink.event.parts.Severity` is that number itself.
    """
    if type(level_number) is Severity:
        return int(level_number)
    if level_number < logging.DEBUG:
        return 0
    tens, ones = divmod(min(level_number, 53), 10)
    return 1 + 4 * tens + min(ones, 3)


def _json(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except Exception:  # noqa: BLE001 - orjson may run the application's code
        plain = plain_object(value) if type(value) is dict else plain_value(value)
        return orjson.dumps(plain).decode()


def _members(values: Mapping[str, Any]) -> str:
    """Return the members of an object, each behind a comma."""
    return f",{_json(values)[1:-1]}" if values else ""


def clean_call_site(call_site: CallSite) -> CallSite:
    """Return a call site of which each part is of its type."""
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
    if type(value) in {int, Severity} and -_MOST <= value <= _MOST:  # type: ignore[operator]  # as just seen
        return value  # type: ignore[return-value]  # likewise
    return None


def _clean_trace(trace: TraceIds | None) -> TraceIds | None:
    if trace is None:
        return None
    trace_id, span_id, flags = trace
    return TraceIds(text(trace_id, None), text(span_id, None), _whole_number(flags) or 0)


def clean_details(given: DetailsTuple) -> Details:
    """Return details of which each text is one; values of attributes may still be anything."""
    details = Details(*given)
    return details._replace(
        task=_clean_text(details.task),
        trace=_clean_trace(details.trace),
        exception=details.exception and ExceptionFields(*map(_clean_text, details.exception)),
        stack_info=_clean_text(details.stack_info),
        event_name=_clean_text(details.event_name),
        dropped_attributes=_whole_number(details.dropped_attributes) or 0,
    )

"""An event as a line: coloured for people, JSON for programs.

Law: what comes from the stream never reaches a terminal as it is, for it could give orders to
it; and a line of the output is one event, whatever the event holds.
"""

import base64
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, Final

import orjson
from rich.text import Text

from kinesink.cli.tail.events import Event, Fields, find, text_of
from kinesink.event.lookup import NAMES
from kinesink.event.parts import FIELDS
from kinesink.event.schemas import SCHEMAS

#: What a terminal may take for an order, or what makes a text look like another one: controls,
#: and what changes the direction of writing.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)

_STYLES: Final = {
    "TRACE": "dim",
    "DEBUG": "dim",
    "INFO": "green",
    "NOTICE": "green",
    "WARN": "yellow",
    "WARNING": "yellow",
    "ERR": "bold red",
    "ERROR": "bold red",
    "CRIT": "bold white on red",
    "CRITICAL": "bold white on red",
    "FATAL": "bold white on red",
}

#: Names of the schemas that say where an event was made: left out here, whole in JSON.
_LEFT_OUT: Final = frozenset({*FIELDS, *(name for spec in SCHEMAS.values() for name in spec.names)})

#: The same in OpenTelemetry's names, as attributes begin, and what is shown as an exception.
_OF_OTEL: Final = ("code.", "thread.", "asyncio.", "exception.")

#: Where the schemas have the text of an exception, and its traceback.
_EXCEPTIONS: Final = ("exception", "error")
_TRACES: Final = ("stacktrace", "stack_trace", "stack")

_LONGEST: Final = 200
"""Characters of a value beside the message."""


def json_line(event: Event, *, for_terminal: bool) -> bytes:
    """Return an event as one line of JSON: its own, if it is an object.

    :param for_terminal: whether controls are written as escapes.
    """
    line = _json(event)
    if for_terminal:
        line = _UNSAFE.sub(_escape_of_json, line.decode()).encode()
    return line + b"\n"


def _json(event: Event) -> bytes:
    data = event.data.strip()
    if data.startswith(b"{") and event.fields is not None:
        # JSON allows breaks between its words, and no controls within them.
        return re.sub(rb"[\x00-\x1f]+", b" ", data)
    try:
        return orjson.dumps({"text": event.data.decode().rstrip("\r\n")})
    except UnicodeDecodeError:
        return orjson.dumps({"base64": base64.b64encode(event.data).decode()})


def _escape_of_json(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def pretty(event: Event) -> Text:
    """Return an event as a coloured line, with its traceback below."""
    if event.fields is None:
        return _pretty_text(event)
    fields = event.fields
    line = Text().append(_moment(fields, event.arrival), "dim")
    level = find(fields, "level")
    if level is not None:
        name = text_of(level).upper()
        line.append(f" {safe(name):<8}", _STYLES.get(name, "bold"))
    logger = find(fields, "logger")
    if logger is not None:
        line.append(f" {safe(text_of(logger))}", "cyan")
    message = find(fields, "message")
    if message is not None:
        line.append(f"  {safe(text_of(message))}")
    for name, value in _rest(fields):
        line.append(f"  {safe(name)}=", "dim")
        line.append(_short(safe(text_of(value))), "magenta")
    summary, trace = _exception(fields)
    if summary:
        line.append(f"  {safe(summary)}", "red")
    for row in trace.splitlines():
        line.append(f"\n    {safe(row)}", "dim red")
    return line


def _pretty_text(event: Event) -> Text:
    line = Text().append(_clock(event.arrival), "dim")
    try:
        return line.append(f" {safe(event.data.decode().rstrip())}")
    except UnicodeDecodeError:
        return line.append(f" {len(event.data):,} bytes that are no text", "italic")


def _moment(fields: Fields, arrival: float) -> str:
    """Return when an event was logged, as it says; otherwise when it arrived."""
    said = find(fields, "timestamp")
    if not isinstance(said, str):
        return _clock(arrival)
    return safe(said[:23].replace("T", " ").removesuffix("Z"))


def _clock(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, tz=timezone.utc)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03}"


def _rest(fields: Fields) -> Iterable[tuple[str, Any]]:
    """Return what an application said beside the message."""
    attributes = fields.get("attributes")
    if isinstance(attributes, dict):
        yield from (pair for pair in attributes.items() if not pair[0].startswith(_OF_OTEL))
    known = {name for names in NAMES.values() for name in names} | _LEFT_OUT
    yield from ((name, value) for name, value in fields.items() if name not in known)


def _exception(fields: Fields) -> tuple[str, str]:
    """Return an exception in one line, and its traceback; empty if there is none."""
    for name in _EXCEPTIONS:
        found = fields.get(name)
        if isinstance(found, str):
            # A traceback ends with what it is about.
            return found.strip().rpartition("\n")[2], found if "\n" in found.strip() else ""
        if isinstance(found, Mapping):
            kind = found.get("type") or found.get("kind") or ""
            summary = ": ".join(filter(None, map(text_of, (kind, found.get("message") or ""))))
            traces = [found[each] for each in _TRACES if found.get(each)]
            return summary, text_of(traces[0]) if traces else ""
    return "", ""


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def safe(text: str) -> str:
    """Return a text that a terminal shows and does not obey."""
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()

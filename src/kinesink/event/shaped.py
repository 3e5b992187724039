"""Event to one JSON line in any schema, by way of a dictionary.

Dearer than :class:`kinesink.event.encoder.Encoder` and for whatever that cannot splice:
other schemas, and callables of the application's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson

from kinesink.event.encoder import Encoder, clean_call_site, clean_details, severity_number
from kinesink.event.extras import Extras, add_dotted
from kinesink.event.moment import nanoseconds, second_and_digits, second_text
from kinesink.event.options import FACTS
from kinesink.event.oversize import oversize
from kinesink.event.parts import Nanoseconds
from kinesink.event.plain_values import plain_object, text
from kinesink.event.process_facts import ProcessFacts
from kinesink.event.redaction import REDACTED, RedactNames
from kinesink.event.schemas import SCHEMAS, SchemaSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.event.encoder import OnTrouble
    from kinesink.event.options import EventOptions
    from kinesink.event.parts import CallSite, DetailsTuple, Lines
    from kinesink.event.schemas import Fields, Placement


def new_encoder(
    options: EventOptions,
    facts: ProcessFacts | None = None,
    resource: Mapping[str, Any] | None = None,
) -> Encoder | ShapedEncoder:
    """Return what writes events as the options say; parameters as of :class:`Encoder`."""
    spliced = options.schema == "default" and not _is_callable(options.redact)
    return (Encoder if spliced else ShapedEncoder)(options, facts, resource)


def _is_callable(redact: object) -> bool:
    return callable(redact) and not isinstance(redact, RedactNames)


class ShapedEncoder:
    """Writes events in the schema of the options. As safe as :class:`Encoder`.

    A schema or a ``redact`` of the application's that raises costs no event: it is
    shipped in the default schema, if it was ``redact`` without what could hold a secret,
    and says so in ``kinesink_error``.
    """

    def __init__(
        self,
        options: EventOptions,
        facts: ProcessFacts | None = None,
        resource: Mapping[str, Any] | None = None,
    ) -> None:
        self.options: Final = options
        self._facts: Final = ProcessFacts.read() if facts is None else facts
        self._resource: Final = resource
        static = options.static_fields or {}
        self._said: Final = {name: static.get(name, getattr(self._facts, name)) for name in FACTS}
        self._constants: Final = {name: static[name] for name in static if name not in FACTS}
        self._extras: Final = Extras(options, self._constants)
        self._redact: Callable[[Fields], Any] | None = None
        if _is_callable(options.redact):
            self._redact = options.redact  # type: ignore[assignment]  # as just seen
        self._schema: Final = _spec_of(options)
        self._placement: Final = _placement(options, self._schema)
        #: Called with what is wrong with the application's own callables.
        self.on_trouble: OnTrouble = _ignore

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.options, self._facts, self._resource)

    def encode(
        self, created: float, call_site: CallSite, message: str, details: DetailsTuple | None = None
    ) -> Lines:
        """Return the event as one JSON line, as :meth:`Encoder.encode` does."""
        try:
            second, digits = second_and_digits(created)
            begin = second_text(second)
        except Exception:  # noqa: BLE001 - not a number, or no date can show it
            second, digits = second_and_digits(time.time())
            begin = second_text(second)
        fields = self._fields(f"{begin}.{digits}Z", call_site, message, details)
        event = self._shaped(fields, nanoseconds(second, digits))
        line = _dumped(event)
        if len(line) <= self.options.max_event_bytes:
            return line
        return oversize(line, self.options)

    def encode_nanoseconds(
        self, moment: int, call_site: CallSite, message: str, details: DetailsTuple | None = None
    ) -> Lines:
        """Return the event as one JSON line, as :meth:`Encoder.encode_nanoseconds` does."""
        return self.encode(Nanoseconds(moment), call_site, message, details)

    def _fields(
        self, timestamp: str, call_site: CallSite, message: str, details: DetailsTuple | None
    ) -> Fields:
        """Return the event in the default schema, as a dictionary that nobody else has."""
        level, level_number, logger, path, line, function, thread, pid = clean_call_site(call_site)
        fields: Fields = {
            "timestamp": timestamp,
            "level": level,
            "severity_number": severity_number(level_number),
            "logger": logger,
            "message": text(message, None),
        }
        for name in FACTS:
            fields[name] = self._said[name]
        fields |= {"pid": pid, "thread": thread}
        more = None if details is None else clean_details(details)
        if more is not None:
            fields["task"] = more.task
        file = path and os.path.basename(path)  # noqa: PTH119 - as logging itself
        fields |= {"file": file, "line": line, "function": function}
        if more is not None:
            fields["event_name"] = more.event_name
            fields |= more.trace._asdict() if more.trace else {}
            exception = more.exception._asdict() if more.exception else {}
            fields |= {
                "exception": {name: value for name, value in exception.items() if value},
                "stack_info": more.stack_info,
                "scope": more.scope,
                "attributes": self._extras.kept(dict(more.attributes or {})),
                "dropped_attributes_count": more.dropped_attributes,
            }
        if self._resource:
            fields["resource"] = dict(self._resource)
        return {
            name: value
            for name, value in fields.items()
            # An empty message is one, and a trace that is not sampled has flags 0.
            if value or name in {"message", "severity_number", "trace_flags"}
        }

    def _shaped(self, fields: Fields, time_ns: int) -> Mapping[str, Any]:
        """Return what the stream gets of the fields."""
        if self._redact is not None:
            fields = self._redacted(fields, self._redact)
        if self._schema.extras == "own":
            # Whoever places attributes places the constants as well.
            fields = self._with_constants(fields)
        try:
            event = dict(self._schema.build(fields, time_ns))
        except Exception as error:  # noqa: BLE001 - the application's code
            self.on_trouble("schema", error)
            told = {"kinesink_error": f"schema raised {type(error).__name__}"}
            return self._placed({**fields, **told}, "nested")
        return self._placed(event, self._placement)

    def _with_constants(self, fields: Fields) -> Fields:
        if self.options.schema == "otel":
            return {**fields, "resource": {**fields.get("resource", {}), **self._constants}}
        return {**fields, **self._constants}

    def _placed(self, event: Fields, placement: Placement) -> Fields:
        """Return an event with its names, its constants, and its attributes in their place."""
        rename = self.options.rename or {}
        if placement == "own":
            return {rename.get(name, name): value for name, value in event.items()}
        attributes = event.pop("attributes", None)
        event = {rename.get(name, name): value for name, value in event.items()}
        event.update(self._constants)
        if attributes:
            nested = attributes
            if placement == "flat":
                beside, nested = self._extras.beside(attributes, event)
                event.update(beside)
            elif placement == "dotted":
                nested = add_dotted(event, attributes)
            if nested:
                event[self.options.name_of("attributes")] = nested
        return event

    def _redacted(self, fields: Fields, redact: Callable[[Fields], Any]) -> Fields:
        """Return what a callable lets pass; if it fails, nothing it could have held back."""
        safe: Fields = {
            name: fields[name]
            for name in ("timestamp", "level", "severity_number", "logger", *FACTS, "pid")
            if name in fields
        }
        try:
            redacted = redact(fields)
            if isinstance(redacted, Mapping):
                # What a schema counts on is there, whatever the callable has left out.
                return {**safe, "message": "", **redacted}
            error: Exception = TypeError(f"it returned {type(redacted).__name__}, no mapping")
        except Exception as raised:  # noqa: BLE001 - the application's code
            error = raised
        self.on_trouble("redact", error)
        # Only the kind: the text may hold what was to be held back.
        told = f"redact raised {type(error).__name__}"
        return {**safe, "message": REDACTED, "kinesink_error": told}


def _spec_of(options: EventOptions) -> SchemaSpec:
    schema = options.schema
    if callable(schema):
        return SchemaSpec(lambda fields, _: dict(schema(fields)), "own")
    return SCHEMAS[schema]


def _placement(options: EventOptions, schema: SchemaSpec) -> Placement:
    if schema.extras == "own" or options.extra not in {"nested", "flat"}:
        return schema.extras
    if options.extra == "nested":
        return "nested"
    return "flat" if schema.extras == "nested" else schema.extras


def _dumped(event: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)
    except Exception:  # noqa: BLE001 - orjson may run the application's code
        return orjson.dumps(plain_object(event), option=orjson.OPT_APPEND_NEWLINE)


def _ignore(_: str, __: Exception) -> None:
    """Tell nobody: the event itself says it."""

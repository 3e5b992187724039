"""Event to one JSON line in any schema, by way of a dictionary.

Dearer than :class:`kinesink.event.encoder.Encoder` and for whatever that cannot splice:
other schemas, and callables of the application's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import orjson

from kinesink.event.encoder import (
    Encoder,
    clean_call_site,
    clean_details,
    severity_number,
    told_facts,
)
from kinesink.event.extras import Extras
from kinesink.event.moment import nanoseconds, nanoseconds_of, second_and_digits, second_text
from kinesink.event.options import FACTS
from kinesink.event.oversize import oversize
from kinesink.event.plain_values import own_copy, plain_object, text
from kinesink.event.process_facts import ProcessFacts
from kinesink.event.redaction import REDACTED, RedactNames
from kinesink.event.schemas import spec_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesink.event.encoder import OnTrouble
    from kinesink.event.options import EventOptions
    from kinesink.event.parts import CallSite, DetailsTuple, Lines
    from kinesink.event.schemas import Fields, Placement, SchemaSpec
    from kinesink.event.sequence import Sequence


_ALWAYS: Final = frozenset({"message", "severity_number", "trace_flags", *FACTS})
"""Fields that are not left out for being empty or zero: an empty message is one, and so are
the flags of a trace that is not sampled."""


def new_encoder(
    options: EventOptions,
    facts: ProcessFacts | None = None,
    resource: Mapping[str, Any] | None = None,
) -> Encoder | ShapedEncoder:
    """Return what writes events as the options say; parameters as of :class:`Encoder`."""
    spliced = options.schema == "default" and not _is_callable(options.redact)
    return (Encoder if spliced else ShapedEncoder)(options, facts, resource)


def _is_callable(redact: object) -> TypeGuard[Callable[[Fields], Any]]:
    return callable(redact) and not isinstance(redact, RedactNames)


class ShapedEncoder:
    """Writes events in the schema of the options. As safe as :class:`Encoder`.

    A schema or a ``redact`` of the application's that raises costs no event: it is
    shipped in the default schema, if it was ``redact`` without what could hold a secret,
    and says so in ``kinesink_error``. What they get is theirs, and as JSON has it: text,
    numbers, lists and dictionaries.
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
        self._told: Final = own_copy(told_facts(options, self._facts))
        self._more: Final = own_copy(resource or {})
        self._constants: Final = {
            name: value
            for name, value in (options.static_fields or {}).items()
            if name not in FACTS
        }
        self._extras: Final = Extras(options, self._constants)
        self._redact: Callable[[Fields], Any] | None = None
        if _is_callable(options.redact):
            self._redact = options.redact
        self._has_callable: Final = self._redact is not None or callable(options.schema)
        self._schema: Final = spec_of(options.schema)
        self._placement: Final = _placement(options, self._schema)
        #: Numbers the events; None for none.
        self.sequence: Sequence | None = None
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
        line = _dumped(self._shaped(fields, nanoseconds(second, digits)))
        if len(line) <= self.options.max_event_bytes:
            return line
        return oversize(line, self.options)

    def encode_nanoseconds(
        self, moment: int, call_site: CallSite, message: str, details: DetailsTuple | None = None
    ) -> Lines:
        """Return the event as one JSON line, as :meth:`Encoder.encode_nanoseconds` does."""
        return self.encode(nanoseconds_of(moment), call_site, message, details)

    def _fields(
        self, timestamp: str, call_site: CallSite, message: str, details: DetailsTuple | None
    ) -> Fields:
        """Return the event in the default schema, as JSON has it."""
        level, level_number, logger, path, line, function, thread, pid = clean_call_site(call_site)
        fields: Fields = {
            "timestamp": timestamp,
            "level": level,
            "severity_number": severity_number(level_number),
            "logger": logger,
            "message": text(message, None),
        }
        fields |= {**self._told, "pid": pid, "thread": thread}
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
                "scope": more.scope and own_copy(more.scope),
                "attributes": self._extras.kept(more.attributes or {}),
                "dropped_attributes_count": more.dropped_attributes,
            }
        fields["resource"] = self._more
        if self.sequence is not None:
            fields |= {"boot_id": self.sequence.boot_id, "seq": self.sequence.next()}
        return {name: value for name, value in fields.items() if value or name in _ALWAYS}

    def _shaped(self, fields: Fields, time_ns: int) -> Fields:
        """Return what the stream gets of the fields."""
        if self._redact is not None:
            fields = self._redacted(own_copy(fields), self._redact)
        try:
            given = self._with_constants(fields) if self._schema.extras == "own" else fields
            built = self._schema.build(own_copy(given) if self._has_callable else given, time_ns)
            return self._placed(built, self._placement)
        except Exception as error:  # noqa: BLE001 - the application's code, or what it returned
            self.on_trouble("schema", error)
            told = {"kinesink_error": f"schema raised {type(error).__name__}"}
            return self._placed({**fields, **told}, "nested")

    def _with_constants(self, fields: Fields) -> Fields:
        """Return fields with the constants, for whoever places attributes places those as well."""
        if self.options.schema == "otel":
            return {**fields, "resource": {**fields.get("resource", {}), **self._constants}}
        return {**fields, **self._constants}

    def _placed(self, event: Fields, placement: Placement) -> Fields:
        """Return an event with its names, its constants, and its attributes in their place."""
        rename = self.options.rename or {}
        if placement == "own":
            return {rename.get(name, name): value for name, value in event.items()}
        attributes: Any = event.get("attributes")
        shaped = {rename.get(n, n): value for n, value in event.items() if n != "attributes"}
        shaped.update(self._constants)
        if not isinstance(attributes, dict):
            # What a callable has made of them stays together.
            placement = "nested"
        if placement == "flat":
            beside, attributes = self._extras.beside(attributes, shaped)
            shaped.update(beside)
        elif placement == "dotted":
            attributes = self._extras.add_dotted(shaped, attributes)
        if attributes:
            shaped[self.options.name_of("attributes")] = attributes
        return shaped

    def _redacted(self, fields: Fields, redact: Callable[[Fields], Any]) -> Fields:
        """Return what a callable lets pass; if it fails, nothing it could have held back."""
        needed = {"timestamp": fields["timestamp"], "message": ""}
        needed |= {name: fields[name] for name in ("boot_id", "seq") if name in fields}
        safe: Fields = {
            name: fields[name]
            for name in (
                "timestamp",
                "level",
                "severity_number",
                "logger",
                *FACTS,
                "pid",
                "boot_id",
                "seq",
            )
            if name in fields
        }
        try:
            redacted = redact(fields)
            if isinstance(redacted, Mapping):
                # What a schema counts on is there, whatever the callable has left out.
                return {**redacted, **{n: needed[n] for n in needed if n not in redacted}}
            error: Exception = TypeError(f"it returned {type(redacted).__name__}, no mapping")
        except Exception as raised:  # noqa: BLE001 - the application's code
            error = raised
        self.on_trouble("redact", error)
        # Only the kind: the text may hold what was to be held back.
        told = f"redact raised {type(error).__name__}"
        return {**safe, "message": REDACTED, "kinesink_error": told}


def _placement(options: EventOptions, schema: SchemaSpec) -> Placement:
    if schema.extras == "own" or options.extra not in {"nested", "flat"}:
        return schema.extras
    if options.extra == "nested":
        return "nested"
    return "flat" if schema.extras == "nested" else schema.extras


def _dumped(event: Fields) -> bytes:
    try:
        return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)
    except Exception:  # noqa: BLE001 - orjson may run the application's code
        return orjson.dumps(plain_object(event), option=orjson.OPT_APPEND_NEWLINE)


def _ignore(_: str, __: Exception) -> None:
    """Tell nobody: the event itself says it."""

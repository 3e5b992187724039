"""The adapter for OpenTelemetry: an exporter for any processor, and a processor of its own.

Law: what either of them reports is what Kinesis has acknowledged. Supported is
opentelemetry-sdk from 1.39 on, where its log records got their present names.
"""

from __future__ import annotations

import os
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context
from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult

from kinesink.adapters import otel_record, otlp
from kinesink.adapters import partition_key as keys
from kinesink.adapters.door import Door
from kinesink.adapters.nesting import DEPTHS, MAX_NESTING
from kinesink.core.records import DropReason
from kinesink.errors import ConfigurationError
from kinesink.event.options import EventOptions
from kinesink.event.redaction import RedactNames
from kinesink.option_values import seconds
from kinesink.shell.origin import OWN, OWN_THREADS, is_own

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk._logs import ReadableLogRecord, ReadWriteLogRecord
    from typing_extensions import Unpack

    from kinesink.adapters.otlp import Encoding
    from kinesink.adapters.parameters import Parameters
    from kinesink.event.parts import Lines
    from kinesink.readiness import Health
    from kinesink.shell.sink import Sink
    from kinesink.statistics import Statistics

__all__ = ["KinesisLogRecordExporter", "KinesisLogRecordProcessor"]

_SUCCESS: Final = LogRecordExportResult.SUCCESS
_FAILURE: Final = LogRecordExportResult.FAILURE

_ENCODINGS: Final = ("json", "otlp_proto", "otlp_json")

#: Set in the context while SimpleLogRecordProcessor calls an exporter; absent before SDK 1.40.
_INSIDE_SIMPLE: Final = getattr(context, "_ON_EMIT_RECURSION_COUNT_KEY", None)


class _Translator:
    """What exporter and processor have in common: a record becomes the lines of an event."""

    def __init__(self, door: Door) -> None:
        self.door: Final = door
        self._encoder: Final = otel_record.RecordEncoder(door)
        self.encode: Final = self._encoder.encode
        self.key_of: Final = door.key_of(otel_record.READERS)

    def lines_of(self, record: ReadableLogRecord | ReadWriteLogRecord) -> Lines:
        """Return the event of a record, whatever is in it."""
        thread = get_ident()
        depth = DEPTHS.get(thread, 0)
        if depth >= MAX_NESTING:
            return self._encoder.encode_bare(record)
        DEPTHS[thread] = depth + 1
        try:
            return self._encoder.encode(record)
        except Exception as error:  # noqa: BLE001 - a log call raises nothing
            self.door.trouble("opentelemetry", error)
            return self._encoder.encode_bare(record)
        finally:
            if depth:
                DEPTHS[thread] = depth
            else:
                del DEPTHS[thread]

    def ship_bare(self, record: ReadableLogRecord | ReadWriteLogRecord, error: Exception) -> None:
        """Ship what can be shipped of a record that nothing else can be made of."""
        self.door.trouble("opentelemetry", error)
        self.door.hand_over(self._encoder.encode_bare(record))

    def partition_key(self, record: ReadableLogRecord | ReadWriteLogRecord) -> str | None:
        """Return the key of a record; None if it has none."""
        if self.key_of is None:
            return None
        try:
            return keys.usable(self.key_of(record))
        except Exception as error:  # noqa: BLE001 - the application's code; its event goes keyless
            self.door.trouble("partition_key", error)
            return None


class KinesisLogRecordExporter(LogRecordExporter):
    """Exports log records to a Kinesis stream.

    For ``BatchLogRecordProcessor``, ``OTEL_LOGS_EXPORTER=kinesis`` and declarative
    configuration (``exporter: {kinesis: {stream_name: …}}``). Where code adds the processor,
    :class:`KinesisLogRecordProcessor` does without the second queue.

    Making one does no I/O and starts no thread; the first record does. Everything of the
    same configuration shares one sink, which keeps and retries what it was given: a
    failure that :meth:`export` reports hands nothing back. Safe from any thread and across
    forks.

    :param stream_name: the stream; None takes ``KINESINK_STREAM_NAME``.
    :param encoding: ``json``: one line per record, in the schema of the options.
        ``otlp_proto`` (extra ``otlp``) and ``otlp_json``: an ExportLogsServiceRequest per
        batch and resource, no larger than ``max_event_bytes`` where it can be divided; by
        default then in a Kinesis record of its own (``framing="none"``), as consumers of OTLP
        expect. None takes ``KINESINK_ENCODING``, else ``json``.
    :param export_timeout: longest wait of :meth:`export` in seconds, or text with a unit; None
        takes ``KINESINK_EXPORT_TIMEOUT``, else 10.
    :param acknowledge: whether :meth:`export` waits for Kinesis. If not, success means that
        the sink has taken the records. It never waits inside a log call, which is where
        ``SimpleLogRecordProcessor`` calls it.
    :param sink: hand over to this one; then there are no parameters of
        :class:`kinesink.Config`, and whoever made it closes it.
    :param parameters: those of :class:`kinesink.Config` and :class:`kinesink.EventOptions`;
        what is left out comes from ``KINESINK_`` variables. A ``partition_key`` that is a
        callable gets the ReadableLogRecord.
    :raises ConfigurationError: if a value cannot work or a parameter is unknown.
    :raises ImportError: if ``otlp_proto`` lacks its extra.
    """

    def __init__(
        self,
        stream_name: str | None = None,
        *,
        encoding: Encoding | None = None,
        export_timeout: float | str | None = None,
        acknowledge: bool = True,
        sink: Sink | None = None,
        **parameters: Unpack[Parameters],
    ) -> None:
        chosen: Any = encoding or os.environ.get("KINESINK_ENCODING") or "json"
        if chosen not in _ENCODINGS:
            raise ConfigurationError(
                "encoding", chosen, f"one of {', '.join(map(repr, _ENCODINGS))}"
            )
        if export_timeout is None:
            export_timeout = os.environ.get("KINESINK_EXPORT_TIMEOUT") or 10.0
        self._export_timeout: Final = seconds("export_timeout", export_timeout)
        self._acknowledge: Final = acknowledge
        self._format: Final = None if chosen == "json" else otlp.format_of(chosen)
        arguments: Any = parameters
        if self._format is not None and sink is None and not _says_framing(arguments):
            arguments = {**arguments, "framing": "none"}
        self._translator: Final = _Translator(Door(stream_name, sink, arguments))
        self._door: Final = self._translator.door
        if self._format is not None:
            _check_otlp(self._door, chosen)
            # Nobody looks for anything but requests there.
            self._door.tells_losses = False
        self._shut_down = False

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Hand the records over, and wait until Kinesis has acknowledged them.

        Never raises. Blocks for at most ``export_timeout``, and while the process exits for
        what is left of its deadline.

        :return: SUCCESS if all were acknowledged in time. FAILURE otherwise: something was
            dropped meanwhile, or time was up; what is pending is still tried. FAILURE after
            :meth:`shutdown`, when records count as dropped, and for a log call of the
            producer's own, which is left out.
        """
        if self._shut_down:
            for _ in batch:
                self._door.refuse(DropReason.SHUTDOWN)
            return _FAILURE
        in_a_log_call = _inside_a_log_call(batch)
        if in_a_log_call and self._door.is_own():
            return _FAILURE
        sink = self._door.take()
        waits = self._acknowledge and not in_a_log_call
        lost = sink.statistics().lost if waits else 0
        with sink.one_wake_up():
            taken = self._hand_over(sink, batch)
        if not waits:
            return _SUCCESS if taken else _FAILURE
        if not taken or is_own():
            return _FAILURE
        # Whatever was accepted before the flush has ended when it is done. If nothing was
        # dropped meanwhile, all of it was delivered.
        flushed = self._door.flush(self._export_timeout)
        return _SUCCESS if flushed and sink.statistics().lost == lost else _FAILURE

    def _hand_over(self, sink: Sink, batch: Sequence[ReadableLogRecord]) -> bool:
        """Give the sink all records; return whether it has taken them."""
        taken = True
        if self._format is None:
            for record in batch:
                level = _level(record.log_record.severity_number)
                if sink.pressure.high and sink.turns_away(level):
                    taken = False
                    continue
                lines = self._translator.lines_of(record)
                key = self._translator.partition_key(record)
                for line in (lines,) if isinstance(lines, bytes) else lines:
                    taken &= sink.emit(line, key, level=level)
                if not lines:
                    sink.refuse(DropReason.TOO_LARGE, level)
                    taken = False
            return taken
        options = self._door.options
        redact = options.redact if isinstance(options.redact, RedactNames) else None
        told = partial(self._door.trouble, "opentelemetry")
        for request in otlp.requests(batch, self._format, options.max_event_bytes, redact, told):
            taken &= sink.emit(request)
        return taken

    def force_flush(self, timeout_millis: float = 30000) -> bool:
        """Wait until what was handed over before is delivered or given up, and counted.

        :return: whether nothing of it is pending any more.
        """
        return self._door.flush(timeout_millis / 1000)

    def shutdown(self, timeout_millis: float = 30000) -> None:
        """Flush for at most so long, and let go of the sink; later records are refused."""
        self._shut_down = True
        self._door.close(timeout_millis / 1000)

    def statistics(self) -> Statistics:
        """Return the account of the sink, which everything of one configuration shares."""
        return self._door.statistics()

    def health(self) -> Health:
        """Return how the sink fares, see :meth:`kinesink.Sink.health`; never waits."""
        return self._door.health()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._door}>"


class KinesisLogRecordProcessor(LogRecordProcessor):
    """Ships log records to a Kinesis stream as they are emitted, without another queue.

    ``provider.add_log_record_processor(KinesisLogRecordProcessor("app-logs"))``. A record is
    written at once, in the schema of the options; what waits is in the sink, bounded in bytes
    and accounted for, and :meth:`force_flush` waits for all of it.

    Making one does no I/O and starts no thread; the first record does. Everything of the
    same configuration shares one sink. Safe from any thread and across forks. Records that
    the producer's own work causes are left out, and no error of ours reaches the caller.

    :param stream_name: the stream; None takes ``KINESINK_STREAM_NAME``.
    :param sink: hand over to this one; then there are no parameters of
        :class:`kinesink.Config`, and whoever made it closes it.
    :param parameters: those of :class:`kinesink.Config` and :class:`kinesink.EventOptions`;
        what is left out comes from ``KINESINK_`` variables. A ``partition_key`` that is a
        callable gets the ReadWriteLogRecord, which it must not change.
    :raises ConfigurationError: if a value cannot work or a parameter is unknown.
    """

    def __init__(
        self,
        stream_name: str | None = None,
        *,
        sink: Sink | None = None,
        **parameters: Unpack[Parameters],
    ) -> None:
        self._translator: Final = _Translator(Door(stream_name, sink, parameters))
        self._door: Final = self._translator.door
        # The same list: each record looks there first.
        self._sinks: Final = self._door.sinks
        self._keyless: Final = self._translator.key_of is None
        self._encode: Final = self._translator.encode
        self._shut_down = False

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Ship the record; never waits, never raises."""
        thread = get_ident()
        if (thread in OWN_THREADS or OWN.get()) and self._door.is_own():
            return
        if thread in DEPTHS or not self._keyless or self._shut_down:
            self._emit_unusual(log_record)
            return
        DEPTHS[thread] = 1
        try:
            try:
                sink = self._sinks[0]
            except IndexError:
                sink = self._door.take()
            if sink.pressure.high and sink.turns_away(
                _level(log_record.log_record.severity_number)
            ):
                return
            lines = self._encode(log_record)
            if type(lines) is bytes:
                sink.emit(lines)
            else:
                self._door.hand_over(lines)
        except Exception as error:  # noqa: BLE001 - a log call raises nothing
            self._translator.ship_bare(log_record, error)
        finally:
            del DEPTHS[thread]

    def _emit_unusual(self, log_record: ReadWriteLogRecord) -> None:
        """Ship a record with a key, one that is emitted while another is written, or none."""
        if self._shut_down:
            self._door.refuse(DropReason.SHUTDOWN)
            return
        level = _level(log_record.log_record.severity_number)
        sink = self._door.take()
        if sink.pressure.high and sink.turns_away(level):
            return
        lines = self._translator.lines_of(log_record)
        self._door.hand_over(lines, self._translator.partition_key(log_record), level)

    def force_flush(self, timeout_millis: float = 30000) -> bool:
        """Wait until what was emitted before is delivered or given up, and counted.

        :return: whether nothing of it is pending any more.
        """
        return self._door.flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Flush for at most ``shutdown_timeout``, and let go of the sink.

        Later records are refused and counted, as OpenTelemetry wants it.
        """
        self._shut_down = True
        self._door.close()

    def statistics(self) -> Statistics:
        """Return the account of the sink, which everything of one configuration shares."""
        return self._door.statistics()

    def health(self) -> Health:
        """Return how the sink fares, see :meth:`kinesink.Sink.health`; never waits."""
        return self._door.health()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._door}>"


def _level(severity_number: object) -> int | None:
    """Return the number that :mod:`logging` has for a severity; None if it says none."""
    number = getattr(severity_number, "value", severity_number)
    if not isinstance(number, int) or not 0 < number <= 24:  # noqa: PLR2004 - FATAL4
        return None
    # Four numbers for each level, from TRACE on.
    return 10 * ((number - 1) // 4)


def _inside_a_log_call(batch: Sequence[ReadableLogRecord]) -> bool:
    """Tell whether SimpleLogRecordProcessor has called, in the middle of a log call."""
    if _INSIDE_SIMPLE is not None:
        return bool(context.get_value(_INSIDE_SIMPLE))
    # Older ones leave no trace but that they hand over a tuple of one; batches are lists.
    return type(batch) is tuple and len(batch) == 1


def _says_framing(parameters: dict[str, Any]) -> bool:
    return "framing" in parameters or bool(os.environ.get("KINESINK_FRAMING"))


def _check_otlp(door: Door, encoding: str) -> None:
    """Refuse options that a request of OTLP has no place for."""
    options = door.options
    for name in EventOptions.names():
        # A variable is for whichever door can use it; what was given here is meant for this one.
        fits = name == "max_event_bytes" or (
            name == "redact" and isinstance(options.redact, RedactNames)
        )
        if not fits and door.arguments.get(name) is not None:
            raise ConfigurationError(
                name, getattr(options, name), f"encoding={encoding!r} has a shape of its own"
            )
    if door.config.framing == "lines" and encoding == "otlp_proto":
        raise ConfigurationError("framing", "lines", "protobuf is not text; use 'none' or 'kpl'")

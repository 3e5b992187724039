"""With OpenTelemetry: its processor, and its exporter as OpenTelemetry finds it by name."""

from importlib.metadata import entry_points

from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor

from kinesink import KinesisLogRecordExporter, KinesisLogRecordProcessor
from kinesink.testing import capture_events

(found,) = entry_points(group="opentelemetry_logs_exporter", name="kinesis")
assert found.load() is KinesisLogRecordExporter
with capture_events() as captured:
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(KinesisLogRecordProcessor("by-processor"))
    provider.add_log_record_processor(SimpleLogRecordProcessor(found.load()("by-exporter")))
    provider.get_logger("shop").emit(LogRecord(body="order 17 paid"))
    assert provider.force_flush()
    captured.assert_logged(message="order 17 paid", times=2)
    provider.shutdown()

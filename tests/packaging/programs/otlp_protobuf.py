"""With OTLP: events in its protobuf."""

from opentelemetry._logs import LogRecord
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor

from kinesink import KinesisLogRecordExporter
from kinesink.testing import capture_events

with capture_events() as captured:
    provider = LoggerProvider(shutdown_on_exit=False)
    exporter = KinesisLogRecordExporter("app-logs", encoding="otlp_proto", framing="none")
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    provider.get_logger("shop").emit(LogRecord(body="order 17 paid"))
    assert captured.flush()
    (record,) = captured.kinesis.records("app-logs")
    (resource,) = LogsData.FromString(record.data).resource_logs
    assert resource.scope_logs[0].log_records[0].body.string_value == "order 17 paid"
    provider.shutdown()

"""OpenTelemetry's own format in the stream, for consumers that know OTLP; needs ``kinesink[otlp]``.

BatchLogRecordProcessor collects, KinesisLogRecordExporter ships: each Kinesis record holds one
ExportLogsServiceRequest about one resource. ``export`` waits until Kinesis has acknowledged the
batch, and so does the provider's ``force_flush``. The account tells whether something was lost; it
counts requests.
"""

import os

from opentelemetry._logs import SeverityNumber
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

import kinesink
from kinesink.testing import FakeKinesis

DUMMIES = {
    "AWS_ACCESS_KEY_ID": "dummy",
    "AWS_SECRET_ACCESS_KEY": "dummy",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "NO_PROXY": "127.0.0.1",
}

fake = FakeKinesis()
fake.create_stream("otlp-logs", shards=2)
with fake.serve() as server:
    os.environ.update(DUMMIES)

    # On AWS: without endpoint_url. Without any code, under opentelemetry-instrument:
    # OTEL_LOGS_EXPORTER=kinesis KINESINK_STREAM_NAME=otlp-logs KINESINK_ENCODING=otlp_proto
    exporter = kinesink.KinesisLogRecordExporter(
        "otlp-logs", encoding="otlp_proto", endpoint_url=server.endpoint_url
    )
    provider = LoggerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))

    logger = provider.get_logger("shop.orders")
    for number in range(100):
        logger.emit(
            severity_number=SeverityNumber.INFO,
            body=f"order {number} paid",
            attributes={"order": number},
        )
    provider.force_flush()
    assert exporter.statistics().lost == exporter.statistics().pending == 0
    provider.shutdown()

stored = fake.records("otlp-logs")
bodies: list[str] = []
for record in stored:
    request = ExportLogsServiceRequest.FromString(record.data)
    (of_resource,) = request.resource_logs
    told = {pair.key: pair.value.string_value for pair in of_resource.resource.attributes}
    assert told["service.name"] == "shop"
    for of_scope in of_resource.scope_logs:
        assert of_scope.scope.name == "shop.orders"
        bodies += [each.body.string_value for each in of_scope.log_records]

assert sorted(bodies) == sorted(f"order {number} paid" for number in range(100))
print(f"{len(bodies)} log records in {len(stored)} requests of OTLP")
print(exporter.statistics())

"""OpenTelemetry: log records with their trace, resource and scope; needs ``kinesink[otel]``.

KinesisLogRecordProcessor hands each record to the sink at once. It needs no BatchLogRecordProcessor
before it, and ``force_flush`` waits until Kinesis has acknowledged what was logged.
"""

import json
import os

from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

import kinesink
from kinesink.testing import FakeKinesis

DUMMIES = {
    "AWS_ACCESS_KEY_ID": "dummy",
    "AWS_SECRET_ACCESS_KEY": "dummy",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "NO_PROXY": "127.0.0.1",
}

fake = FakeKinesis()
fake.create_stream("app-logs", shards=2)
with fake.serve() as server:
    os.environ.update(DUMMIES)

    resource = Resource.create(
        {
            "service.name": "shop",
            "service.version": "1.4.2",
            "deployment.environment.name": "staging",
            "cloud.region": "eu-west-1",
        }
    )
    # On AWS: without endpoint_url, and region_name="eu-west-1" if the environment names none.
    # The key keeps the records of one trace in one shard.
    processor = kinesink.KinesisLogRecordProcessor(
        "app-logs", partition_key="trace_id", endpoint_url=server.endpoint_url
    )
    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(processor)
    spans = TracerProvider(resource=resource)

    logger = logs.get_logger("shop.orders", "1.0")
    tracer = spans.get_tracer("shop.orders")
    with tracer.start_as_current_span("pay") as span:
        context = span.get_span_context()
        logger.emit(
            severity_number=SeverityNumber.INFO,
            body="order 17 paid",
            attributes={"order": 17, "items": ["tea", "cup"]},
            event_name="order.paid",
        )
    logger.emit(severity_number=SeverityNumber.WARN, body="no span around this one")

    # An application that ends needs no more than shutdown, which flushes as well.
    assert logs.force_flush(), processor.statistics()
    logs.shutdown()
    spans.shutdown()

by_message = {
    event["message"]: event
    for event in (json.loads(record.data) for record in fake.user_records("app-logs"))
}
paid = by_message["order 17 paid"]
print(json.dumps(paid, indent=2))
assert paid["level"] == "INFO"
assert paid["logger"] == "shop.orders"
assert paid["event_name"] == "order.paid"
assert paid["trace_id"] == f"{context.trace_id:032x}"
assert paid["span_id"] == f"{context.span_id:016x}"
assert paid["attributes"] == {"order": 17, "items": ["tea", "cup"]}
# What the resource says of the service stands in the fields that every door has.
assert (paid["service"], paid["version"], paid["env"]) == ("shop", "1.4.2", "staging")
assert paid["resource"]["cloud.region"] == "eu-west-1"
assert paid["scope"] == {"version": "1.0"}
assert "trace_id" not in by_message["no span around this one"]
assert processor.statistics().delivered == 2
print(processor.statistics())

"""How these tests speak to a fake: a request by hand, without an SDK and without HTTP."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from kinesink.core import cbor
from kinesink.testing import FakeKinesis, Held, Reply, Request

JSON = "application/x-amz-json-1.1"
CBOR = "application/x-amz-cbor-1.1"
AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/us-east-1/kinesis/aws4_request, "
    "SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=00"
)


@dataclass
class Clock:
    """A clock that stands still until it is told otherwise."""

    now: float = 1_767_322_800.0  # 2026-01-02T03:00:00Z

    def __call__(self) -> float:
        """Return the seconds since the epoch."""
        return self.now


@dataclass(frozen=True)
class Answer:
    """A reply, read."""

    status: int
    members: dict[str, Any]
    headers: Mapping[str, str]
    reply: Reply = field(repr=False)

    @property
    def code(self) -> str:
        """The error code, empty for a success."""
        return str(self.members.get("__type", ""))

    @property
    def message(self) -> str:
        """The error's sentence, empty if there is none."""
        return str(self.members.get("message", ""))


def headers_of(operation: str, content_type: str = JSON) -> dict[str, str]:
    """Return the headers of a request that the fake believes."""
    return {
        "content-type": content_type,
        "x-amz-target": f"Kinesis_20131202.{operation}",
        "authorization": AUTHORIZATION,
    }


def request_of(operation: str, members: Mapping[str, object], content_type: str = JSON) -> Request:
    """Return a request in one of the two formats, bytes in ``members`` as the format has them."""
    if content_type == CBOR:
        body = cbor.dumps(dict(members))
    else:
        body = orjson.dumps(members, default=lambda data: base64.b64encode(data).decode())
    return Request("POST", headers_of(operation, content_type), body)


def read(reply: Reply) -> Answer:
    """Decode a reply in the format its content type names."""
    loads = cbor.loads if reply.headers["Content-Type"] == CBOR else orjson.loads
    members: Any = loads(reply.body) if reply.body else {}
    return Answer(reply.status, members, reply.headers, reply)


def send(fake: FakeKinesis, request: Request) -> Answer:
    """Have a request answered that nothing holds up."""
    reply = fake.answer(request)
    assert not isinstance(reply, Held)
    return read(reply)


def call(fake: FakeKinesis, operation: str, /, **members: object) -> Answer:
    """Call an operation in JSON."""
    return send(fake, request_of(operation, members))


def entry(data: bytes = b"x", key: str | None = "p", hash_key: int | None = None) -> dict[str, Any]:
    """Return an entry of PutRecords."""
    made: dict[str, Any] = {"Data": data}
    if key is not None:
        made["PartitionKey"] = key
    if hash_key is not None:
        made["ExplicitHashKey"] = str(hash_key)
    return made


def fake_with(shards: int = 1, **options: Any) -> FakeKinesis:  # noqa: ANN401 - any option
    """Return a fake with the stream ``s``, on a clock that stands still."""
    fake = FakeKinesis(**{"clock": Clock(), **options})
    fake.create_stream("s", shards=shards)
    return fake

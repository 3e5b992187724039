"""The Kinesis API as bytes: request bodies and what answers say. Pure, no I/O.

Law of this file: whatever the bytes of an answer, decoding returns a value of
:mod:`kinesink.core.records` or raises :class:`ValueError`, and the decoder is chosen by
the *answer's* content type, because a gateway may answer in another protocol than it
was asked in. Members are tested for truth, never for presence: emulators send null.

Bodies are joined by hand. Only keys can need escaping, so this costs a third of a
JSON encoder and, for CBOR, nearly nothing.
"""

from __future__ import annotations

import math
import re
from binascii import b2a_base64
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson

from kinesink.core import cbor, limits, retry_policy
from kinesink.core.records import EntryResult, Failure, ShardDescription, ShardId, StreamSummary
from kinesink.shell.readable import readable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kinesink.core.records import PutRecordsEntry

Protocol = Literal["json", "cbor"]
Operation = Literal["PutRecords", "ListShards", "DescribeStreamSummary"]

#: Content type of a request body by protocol.
CONTENT_TYPES: Final = {
    "json": "application/x-amz-json-1.1",
    "cbor": "application/x-amz-cbor-1.1",
}

#: ``X-Amz-Target`` is this and the operation's name (service model, ``targetPrefix``).
_TARGET_PREFIX: Final = "Kinesis_20131202."

#: What gateways and authentication failures say in HTML and XML.
_MARKUP_TEXT: Final = re.compile(rb"<(?:title|[Mm]essage)>\s*([^<]{1,400})")

#: The server's time in "… (20180920T175004Z - 5 min.)".
_SERVER_TIME: Final = re.compile(r"\((\d{8}T\d{6}Z) [+-] \d+ min")

#: How each entry begins in JSON.
_JSON_OPENING: Final = b'{"Data":"'

_cbor_head = lru_cache(maxsize=1024)(cbor.head)


def request_headers(operation: Operation, protocol: Protocol) -> dict[str, str]:
    """Return the headers that say which operation the body is for, and its encoding."""
    return {
        "Content-Type": CONTENT_TYPES[protocol],
        "X-Amz-Target": _TARGET_PREFIX + operation,
    }


def encode(members: Mapping[str, object], protocol: Protocol) -> bytes:
    """Return the body of a small request from its members."""
    return cbor.dumps(members) if protocol == "cbor" else orjson.dumps(members)


def stream_member(stream: str) -> dict[str, object]:
    """Return how a request names a stream, which is given by name or by ARN."""
    # No name holds a colon.
    return {"StreamARN" if ":" in stream else "StreamName": stream}


def encode_put_records(
    stream: str,
    entries: Sequence[PutRecordsEntry],
    protocol: Protocol,
    rest: Callable[[], object] = lambda: None,
) -> bytes:
    """Return the body of PutRecords.

    :param stream: its name or its ARN.
    :param rest: called after each entry that base64 was made of; CBOR takes no time.
    :raises ValueError, TypeError: for a key that UTF-8 cannot hold; records are checked
        long before they come here.
    """
    if protocol == "cbor":
        return _put_records_in_cbor(stream, entries)
    return _put_records_in_json(stream, entries, rest)


def _put_records_in_json(
    stream: str, entries: Sequence[PutRecordsEntry], rest: Callable[[], object]
) -> bytes:
    named = orjson.dumps(stream_member(stream)).removesuffix(b"}")
    parts = [b'%b,"Records":[%b' % (named, _JSON_OPENING)]
    for entry in entries:
        key = orjson.dumps(entry.partition_key)
        if entry.explicit_hash_key is not None:
            key = b'%b,"ExplicitHashKey":"%b"' % (key, entry.explicit_hash_key.encode())
        # Two pieces per entry: a join costs more per piece than per byte.
        parts += (
            b2a_base64(entry.data, newline=False),
            b'","PartitionKey":%b},%b' % (key, _JSON_OPENING),
        )
        rest()
    parts[-1] = parts[-1].removesuffix(_JSON_OPENING).removesuffix(b",") + b"]}"
    return b"".join(parts)


_CBOR_RECORDS: Final = cbor.dumps("Records")
_CBOR_DATA: Final = cbor.dumps("Data")
_CBOR_PARTITION_KEY: Final = cbor.dumps("PartitionKey")
_CBOR_MAP_OF_2: Final = cbor.head(cbor.Major.MAP, 2)
_CBOR_MAP_OF_3: Final = cbor.head(cbor.Major.MAP, 3)
_CBOR_DATA_OF_2: Final = _CBOR_MAP_OF_2 + _CBOR_DATA
_CBOR_DATA_AND_HASH_KEY: Final = _CBOR_MAP_OF_3 + _CBOR_DATA
_CBOR_EXPLICIT_HASH_KEY: Final = cbor.dumps("ExplicitHashKey")


def _put_records_in_cbor(stream: str, entries: Sequence[PutRecordsEntry]) -> bytes:
    parts: list[bytes] = [
        _CBOR_MAP_OF_2,
        *(cbor.dumps(each) for item in stream_member(stream).items() for each in item),
        _CBOR_RECORDS,
        cbor.head(cbor.Major.ARRAY, len(entries)),
    ]
    for entry in entries:
        data, hash_key = entry.data, entry.explicit_hash_key
        parts += (
            _CBOR_DATA_OF_2 if hash_key is None else _CBOR_DATA_AND_HASH_KEY,
            _cbor_head(cbor.Major.BYTES, len(data)),
            data,
        )
        if hash_key is not None:
            digits = hash_key.encode()
            parts += (_CBOR_EXPLICIT_HASH_KEY, _cbor_head(cbor.Major.TEXT, len(digits)), digits)
        key = entry.partition_key.encode()
        parts += (_CBOR_PARTITION_KEY, _cbor_head(cbor.Major.TEXT, len(key)), key)
    return b"".join(parts)


def _is_cbor(content_type: str) -> bool:
    return "cbor" in content_type.lower()


def decode(content_type: str, body: bytes) -> dict[str, Any]:
    """Return the members of an answer; an empty body has none.

    Anything that does not call itself CBOR is read as JSON: some emulators answer JSON
    as ``text/plain``, and what is neither is refused all the same.

    :raises ValueError: if the body is not one map.
    """
    if not body:
        return {}
    members = cbor.loads(body) if _is_cbor(content_type) else orjson.loads(body)
    if not isinstance(members, dict):
        raise ValueError(f"the answer is no map but {type(members).__name__}")  # noqa: TRY004 - a decoder's one error
    return members


def _maps(members: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a member that is a list of maps; empty when absent or null."""
    found = members.get(name) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError(f"{name} is no list of maps")
    return found


def _map(members: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a member that is a map; empty when absent or null."""
    found = members.get(name) or {}
    if not isinstance(found, dict):
        raise ValueError(f"{name} is no map")  # noqa: TRY004 - a decoder's one error
    return found


def _text(members: Mapping[str, Any], name: str) -> str | None:
    """Return a member that is text; None when absent, null or empty."""
    found = members.get(name) or None
    if found is not None and not isinstance(found, str):
        raise ValueError(f"{name} is no text")
    return found


def _number(members: Mapping[str, Any], name: str) -> float | None:
    """Return a member that is a number; None when absent, null or 0."""
    found = members.get(name) or None
    if found is not None and not (isinstance(found, (int, float)) and math.isfinite(found)):
        raise ValueError(f"{name} is no number")
    return found


def decode_put_records(content_type: str, body: bytes) -> list[EntryResult]:
    """Return the result of each entry, in the order of the answer.

    ``FailedRecordCount`` is not looked at: each result tells for itself.

    :raises ValueError: if the body is not an answer to PutRecords.
    """
    return [
        EntryResult(
            _text(result, "ShardId"),
            _text(result, "SequenceNumber"),
            _short(_text(result, "ErrorCode")),
            _short(_text(result, "ErrorMessage")),
        )
        for result in _maps(decode(content_type, body), "Records")
    ]


def list_shards_members(stream: str, next_token: str | None) -> dict[str, object]:
    """Return the members of a ListShards request.

    Later pages carry the token alone: the service refuses it together with the
    stream or a filter. ``AT_LATEST`` asks for open shards only.

    :param stream: its name or its ARN.
    """
    if next_token is not None:
        return {"NextToken": next_token}
    return {
        **stream_member(stream),
        "ShardFilter": {"Type": "AT_LATEST"},
        "MaxResults": limits.LIST_SHARDS_PAGE,
    }


def decode_list_shards(content_type: str, body: bytes) -> tuple[list[ShardDescription], str | None]:
    """Return the open shards of a page, and the token of the next page if there is one.

    Closed shards are left out here too, because moto ignores the filter.

    :raises ValueError: if the body is not an answer to ListShards.
    """
    members = decode(content_type, body)
    shards = [
        _shard(shard)
        for shard in _maps(members, "Shards")
        if not _map(shard, "SequenceNumberRange").get("EndingSequenceNumber")
    ]
    return shards, _text(members, "NextToken")


def _shard(shard: Mapping[str, Any]) -> ShardDescription:
    hash_keys = _map(shard, "HashKeyRange")
    shard_id = _text(shard, "ShardId")
    if shard_id is None:
        raise ValueError("a shard has no ShardId")
    return ShardDescription(
        ShardId(shard_id),
        int(_text(hash_keys, "StartingHashKey") or ""),
        int(_text(hash_keys, "EndingHashKey") or ""),
    )


def decode_describe_stream_summary(content_type: str, body: bytes) -> StreamSummary:
    """Return what the pipeline uses of the summary.

    Timestamps are seconds in JSON and milliseconds in CBOR.

    :raises ValueError: if the body is not an answer to DescribeStreamSummary.
    """
    summary = _map(decode(content_type, body), "StreamDescriptionSummary")
    if not summary:
        raise ValueError("StreamDescriptionSummary is missing")
    record_max_kib = _number(summary, "MaxRecordSizeInKiB")
    created = _number(summary, "StreamCreationTimestamp")
    if created is not None and _is_cbor(content_type):
        created /= 1000
    return StreamSummary(
        record_max_bytes=None if record_max_kib is None else int(record_max_kib * limits.KIB),
        record_distribution=_text(summary, "RecordDistributionStrategy"),
        stream_mode=_text(_map(summary, "StreamModeDetails"), "StreamMode"),
        status=_text(summary, "StreamStatus"),
        created=None if created is None else float(created),
    )


def undecodable(
    status: int, headers: Mapping[str, str], error: ValueError, *, host: str
) -> Failure:
    """Return the failure of a call whose answer means success but cannot be read."""
    text = f"the answer cannot be decoded: {error}"
    return Failure(
        retry_policy.UNDECODABLE_RESPONSE, f"{text} ({_origin(status, headers, host)})", status
    )


def decode_failure(  # noqa: PLR0913 - the answer, and what its message must and must not show
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    host: str,
    now: float,
    secrets: Sequence[str] = (),
) -> Failure:
    """Return what an answer that is no success says.

    :param headers: looked up in lower case.
    :param host: who answered, for the message.
    :param now: seconds since the epoch; ``Retry-After`` may be a date.
    :param secrets: texts of the request that the message must not repeat.
    """
    try:
        members = decode(headers.get("content-type", ""), body)
    except ValueError:
        members = {}
    code = _code(headers.get("x-amzn-errortype")) or _code(members.get("__type"))
    code = code or _code(members.get("code")) or f"HTTP {status}"
    text = members.get("message") or members.get("Message") or _markup_text(body)
    return Failure(
        code=readable(code, secrets),
        message=f"{readable(text, secrets)} ({_origin(status, headers, host, secrets)})",
        status=status,
        retry_after=_retry_after(headers, now),
    )


def _code(found: object) -> str | None:
    """Return an error code without its namespace and without what follows a colon."""
    if not isinstance(found, str):
        return None
    return found.partition(":")[0].rpartition("#")[2].strip() or None


def _markup_text(body: bytes) -> str:
    match = _MARKUP_TEXT.search(body)
    return match[1].decode(errors="replace") if match else ""


def _short(text: str | None) -> str | None:
    """Return a text of bounded length: a record keeps those of many attempts."""
    return None if text is None else readable(text, ())


def _origin(status: int, headers: Mapping[str, str], host: str, secrets: Sequence[str] = ()) -> str:
    ids = [headers.get("x-amzn-requestid"), headers.get("x-amz-id-2")]
    known = ", ".join(readable(text, secrets) for text in ids if text)
    return f"HTTP {status} from {host}, " + (f"request {known}" if known else "no request id")


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the longest wait that the answer asks for, in seconds."""
    waits = []
    milliseconds = _positive(headers.get("x-amz-retry-after"))
    if milliseconds is not None:
        waits.append(milliseconds / 1000)
    asked = headers.get("retry-after")
    seconds = _positive(asked)
    if seconds is None:
        date = http_date(asked)
        seconds = None if date is None else max(0.0, date - now)
    if seconds is not None:
        waits.append(seconds)
    return max(waits, default=None)


def _positive(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None


def http_date(text: str | None) -> float | None:
    """Return an HTTP date in seconds since the epoch; None if it is none."""
    try:
        date = parsedate_to_datetime(text or "")
        return date.replace(tzinfo=date.tzinfo or timezone.utc).timestamp()
    except (ValueError, OverflowError):
        return None


def server_time(headers: Mapping[str, str], message: str) -> float | None:
    """Return the server's clock, in seconds since the epoch, as far as the answer tells.

    From the ``Date`` header, else from the text that refuses a signature's date:
    proxies may strip the header.
    """
    date = http_date(headers.get("date"))
    if date is not None:
        return date
    match = _SERVER_TIME.search(message)
    if match is None:
        return None
    try:
        return datetime.strptime(match[1], "%Y%m%dT%H%M%S%z").timestamp()
    except ValueError:
        return None

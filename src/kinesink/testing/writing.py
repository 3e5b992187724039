"""PutRecord and PutRecords."""

from typing import Final

from kinesink.core.limits import MAX_HASH_KEY, MIB, REQUEST_MAX_BYTES
from kinesink.testing.errors import ApiError, invalid_argument
from kinesink.testing.service import Context
from kinesink.testing.shapes import Members
from kinesink.testing.streams import AUTO, Put, Shard, StoredRecord, Stream

__all__ = ["put_record", "put_records", "refuse_dry_run"]

Answer = dict[str, object]

_NOT_ENCRYPTED: Final = "NONE"


def put_records(context: Context, members: Members) -> Answer:
    """Write up to 500 entries, each with a result of its own, in the order of the request."""
    stream = _stream(context, members)
    puts = [_put(stream, each) for each in members.entries("Records")]
    placed = _place(context, stream, puts)
    results = [
        _result(context, stream, position, put, shard)
        for position, (put, shard) in enumerate(placed)
    ]
    failed = sum("ErrorCode" in result for result in results)
    return {"FailedRecordCount": failed, "Records": results, "EncryptionType": _NOT_ENCRYPTED}


def put_record(context: Context, members: Members) -> Answer:
    """Write one record; what PutRecords tells an entry, this tells the request."""
    stream = _stream(context, members)
    ((put, shard),) = _place(context, stream, [_put(stream, members)])
    record = _write(context, stream, 0, put, shard)
    return {
        "ShardId": record.shard_id,
        "SequenceNumber": record.sequence_number,
        "EncryptionType": _NOT_ENCRYPTED,
    }


def refuse_dry_run(members: Members) -> None:
    """Raise what a permitted call with ``DryRun`` is told in place of its effect."""
    if members.get("DryRun") is True:
        raise ApiError(
            "DryRunOperationException",
            "Request would have succeeded, but DryRun parameter is set.",
        )


def _stream(context: Context, members: Members) -> Stream:
    stream = context.stream(members)
    refuse_dry_run(members)
    context.service.require_writable(stream, context.now)
    return stream


def _put(stream: Stream, members: Members) -> Put:
    """Read one entry; raise for what only the stream or arithmetic can refuse."""
    partition_key = members.text("PartitionKey") or None
    if partition_key is None and stream.distribution != AUTO:
        raise invalid_argument(f"PartitionKey is required for stream {stream.name}.")
    given = members.text("ExplicitHashKey")
    explicit_hash_key = int(given) if given else None
    if explicit_hash_key is not None and explicit_hash_key > MAX_HASH_KEY:
        raise invalid_argument(
            "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. "
            f"Specified value was {given}"
        )
    return Put(members.data("Data"), partition_key, explicit_hash_key)


def _place(context: Context, stream: Stream, puts: list[Put]) -> list[tuple[Put, Shard]]:
    """Route all entries, and raise if one of them has the whole request refused."""
    sizes = [put.size for put in puts]
    if sum(sizes) > REQUEST_MAX_BYTES:
        raise invalid_argument(f"Records size exceeds {REQUEST_MAX_BYTES // MIB} MB limit")
    if max(sizes) > stream.max_record_bytes and not context.service.options.oversize_fails_entry:
        raise _too_large(stream)
    placed = [(put, stream.place(put)) for put in puts]
    context.plan.check_entries(placed)
    return placed


def _too_large(stream: Stream) -> ApiError:
    return invalid_argument(
        f"A record exceeds the maximum record size of {stream.max_record_kib} KiB "
        f"of stream {stream.name}."
    )


def _result(context: Context, stream: Stream, position: int, put: Put, shard: Shard) -> Answer:
    try:
        record = _write(context, stream, position, put, shard)
    except ApiError as error:
        return {"ErrorCode": error.code, "ErrorMessage": error.message}
    return {"SequenceNumber": record.sequence_number, "ShardId": record.shard_id}


def _write(context: Context, stream: Stream, position: int, put: Put, shard: Shard) -> StoredRecord:
    """Store one record, or raise why this one was not."""
    if put.size > stream.max_record_bytes:
        raise _too_large(stream)
    scripted = context.plan.entry_error(position, put, stream, shard)
    if scripted is not None:
        error, applied = scripted
        if applied:
            stream.store(shard, put, context.now)
        raise error
    refusal = stream.throttled(shard, put, context.now)
    if refusal is not None:
        raise refusal
    return stream.store(shard, put, context.now)

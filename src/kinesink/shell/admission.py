"""What Kinesis can never take is refused where it enters, before anything changes."""

from __future__ import annotations

from kinesink.core.hash_key import check_partition_key, parse_explicit_hash_key
from kinesink.errors import InvalidRecordError


def check_record(
    data: object,
    partition_key: object,
    explicit_hash_key: object,
    record_max_bytes: int,
) -> int | None:
    """Refuse what Kinesis can never take; return the explicit hash key as a number.

    :raises TypeError: if something is of the wrong type.
    :raises InvalidRecordError: if a key or the size is out of bounds.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        msg = f"data must be bytes, not {type(data).__name__}"
        raise TypeError(msg)
    try:
        key_bytes = 1 if partition_key is None else len(check_partition_key(partition_key).encode())
        hash_key = None if explicit_hash_key is None else parse_explicit_hash_key(explicit_hash_key)
    except ValueError as error:
        raise InvalidRecordError(str(error)) from error
    size = memoryview(data).nbytes + key_bytes
    if size > record_max_bytes:
        msg = (
            f"data and partition key have {size} bytes; "
            f"a record of this stream takes {record_max_bytes}"
        )
        raise InvalidRecordError(msg)
    return hash_key

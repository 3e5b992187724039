"""What Kinesis can never take is refused where it enters, before anything changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinesink.aws_options import STREAM_NAME
from kinesink.core.framing import KEYLESS_KEY_BYTES
from kinesink.core.hash_key import check_partition_key, keys_of, parse_explicit_hash_key
from kinesink.core.lines import LINE_END, line_bytes
from kinesink.errors import InvalidRecordError

if TYPE_CHECKING:
    from kinesink.core.options import Framing


def check_record(
    data: object,
    partition_key: object,
    explicit_hash_key: object,
    record_max_bytes: int,
    framing: Framing = "kpl",
) -> int | None:
    """Refuse what Kinesis can never take, and what would be read as something else.

    :returns: the explicit hash key as a number.
    :raises TypeError: if something is of the wrong type.
    :raises InvalidRecordError: if a key or the size is out of bounds.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        msg = f"data must be bytes, not {type(data).__name__}"
        raise TypeError(msg)
    try:
        hash_key = None if explicit_hash_key is None else parse_explicit_hash_key(explicit_hash_key)
        if partition_key is not None and not isinstance(partition_key, str):
            # Here, because it may be nothing that can be looked up, either.
            check_partition_key(partition_key)
        keys = keys_of(partition_key, hash_key)
    except ValueError as error:
        raise InvalidRecordError(str(error)) from error
    key_bytes = KEYLESS_KEY_BYTES if keys is None else keys.size
    size = (len(data) if isinstance(data, bytes) else memoryview(data).nbytes) + key_bytes
    if framing == "lines":
        line = bytes(data)
        if line.find(LINE_END, 0, -1) >= 0:
            raise InvalidRecordError(
                "data has a line feed before its end: with framing='lines' an event is one line"
            )
        size = line_bytes(line) + key_bytes
    if size > record_max_bytes:
        msg = (
            f"data and partition key have {size} bytes; "
            f"a record of this stream takes {record_max_bytes}"
        )
        raise InvalidRecordError(msg)
    return hash_key


def check_stream_name(stream_name: object) -> None:
    """Refuse what is no stream's name.

    :raises TypeError: if it is no text.
    :raises InvalidRecordError: if no stream can have it.
    """
    if not isinstance(stream_name, str):
        raise TypeError(f"stream_name must be str, not {type(stream_name).__name__}")
    if STREAM_NAME.fullmatch(stream_name) is None:
        raise InvalidRecordError(
            f"stream_name={stream_name!r} is none: 1 to 128 characters of a-z, A-Z, 0-9, '_', "
            "'.', '-'"
        )

"""The aggregated record of the Kinesis Producer Library, both ways.

Wire format (https://github.com/awslabs/amazon-kinesis-producer, file
``aggregation-format.md``): four magic bytes, a protobuf ``AggregatedRecord``, the
MD5 of the protobuf bytes. The size of an aggregated record is known exactly
before it is built, because adding a user record only ever appends: indexes into
the two key tables are fixed once given, and the envelope is constant.
"""

from __future__ import annotations

import sys
from hashlib import md5
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from kinesink.core.limits import MAX_HASH_KEY, MAX_HASH_KEY_DIGITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinesink.core.hash_key import Keys

_Entry = TypeVar("_Entry")

MAGIC: Final = b"\xf3\x89\x9a\xc2"
_DIGEST_BYTES: Final = 16

#: Bytes of an aggregated record that holds nothing: the magic and the digest.
ENVELOPE_BYTES: Final = len(MAGIC) + _DIGEST_BYTES

# Protobuf tags: field number << 3 | wire type (https://protobuf.dev/programming-guides/encoding/).
_VARINT: Final = 0
_FIXED64: Final = 1
_LENGTH_DELIMITED: Final = 2
_FIXED32: Final = 5
_PARTITION_KEY_TABLE: Final = 1
_EXPLICIT_HASH_KEY_TABLE: Final = 2
_RECORDS: Final = 3
_PARTITION_KEY_INDEX: Final = 1
_EXPLICIT_HASH_KEY_INDEX: Final = 2
_DATA: Final = 3
_HIGHEST_FIELD: Final = 3
_VARINT_MAX_BYTES: Final = 10

#: Set in every byte of a varint but the last.
_MORE: Final = 0x80


class SubRecord(NamedTuple):
    """One user record inside an aggregated record."""

    partition_key: str
    explicit_hash_key: int | None
    data: bytes


class MalformedAggregateError(ValueError):
    """Bytes that carry the magic and the right digest, but no sound protobuf."""


def varint(value: int) -> bytes:
    """Encode a non-negative integer as protobuf's base-128 varint."""
    out = bytearray()
    while value >= _MORE:
        out.append(value & 0x7F | _MORE)
        value >>= 7
    out.append(value)
    return bytes(out)


class _Varints(dict[int, bytes]):
    """Varints by value: the lengths of events are few, compared with the events. Bounded."""

    _MOST: Final = 16_384

    def __missing__(self, value: int) -> bytes:
        if len(self) >= self._MOST:
            self.clear()
        encoded = self[value] = varint(value)
        return encoded


_VARINTS: Final = _Varints()


def record_header(key_index: int, hash_key_index: int | None, data_bytes: int) -> bytes:
    """Return everything of a sub-record that precedes its data."""
    inner = _indexes(key_index, hash_key_index) + varint(data_bytes)
    return b"\x1a" + varint(len(inner) + data_bytes) + inner


def _indexes(key_index: int, hash_key_index: int | None) -> bytes:
    """Return what of a sub-record precedes the length of its data."""
    indexes = b"\x08" + _VARINTS[key_index]
    if hash_key_index is not None:
        indexes += b"\x10" + _VARINTS[hash_key_index]
    return indexes + b"\x1a"


class HeaderCache(dict[int, bytes]):
    """Sub-record headers by data length, for records that use index 0 in both tables.

    Keyless events all share one partition key and one explicit hash key, so their
    header depends on the length alone. Bounded: a process that logs every length
    pays for rebuilding, never in memory.
    """

    _MAX_HEADERS: Final = 8192

    def __missing__(self, data_bytes: int) -> bytes:
        """Build the header for a length that was not seen yet."""
        if len(self) >= self._MAX_HEADERS:
            self.clear()
        header = self[data_bytes] = record_header(0, 0, data_bytes)
        return header


def string_field_bytes(length: int) -> int:
    """Return the bytes a table entry of ``length`` bytes takes (tag, length, text)."""
    return 1 + len(_VARINTS[length]) + length


def _partition_key_field(partition_key: str) -> bytes:
    key = partition_key.encode()
    return b"\x0a" + varint(len(key)) + key


def _hash_key_field(explicit_hash_key: int) -> bytes:
    digits = str(explicit_hash_key).encode()
    return b"\x12" + varint(len(digits)) + digits


class _PartitionKeyFields(dict[str, bytes]):
    """Entries of the table of partition keys: the same ones come again and again. Bounded."""

    _MOST: Final = 4096

    def __missing__(self, partition_key: str) -> bytes:
        if len(self) >= self._MOST:
            self.clear()
        field = self[partition_key] = _partition_key_field(partition_key)
        return field


_PARTITION_KEY_FIELDS: Final = _PartitionKeyFields()


class AggregateTables:
    """The key tables of one aggregated record under construction, and its exact size.

    Tables are de-duplicated and first use gets the next index, as in the KPL.
    """

    __slots__ = ("_fields", "_hash_keys", "_headers", "_indexes", "_partition_keys", "size")

    def __init__(self) -> None:
        #: The index of each key in its table, and both tables as they are encoded.
        self._partition_keys: dict[str, int] = {}
        self._hash_keys: dict[int, int] = {}
        self._fields: tuple[list[bytes], list[bytes]] = ([], [])
        #: What precedes the length of the data in a sub-record, by its keys.
        self._indexes: dict[Keys, bytes] = {}
        self._headers: list[bytes] = []
        #: Bytes of the encoded aggregated record as it stands.
        self.size = ENVELOPE_BYTES

    def fill(
        self, data: list[bytes], keys: list[Keys], start: int, end: int, limit: int = sys.maxsize
    ) -> int:
        """Add the keys and the header of each event from ``start`` up to ``end`` that fits.

        The data stay with the caller.

        :param limit: end before the encoded aggregated record has more than so many bytes.
        :returns: the position of the first event that was not added.
        """
        size, known, varints, add = self.size, self._indexes, _VARINTS, self._headers.append
        for position in range(start, end):
            each, data_bytes = keys[position], len(data[position])
            indexes = known.get(each)
            if indexes is None:
                added = self._add_new(each, data_bytes, limit - size)
                if not added:
                    end = position
                    break
                size += added
                continue
            # Without a call, for most events come here.
            length = varints[data_bytes]
            header = b"\x1a" + varints[len(indexes) + len(length) + data_bytes] + indexes + length
            added = len(header) + data_bytes
            if size + added > limit:
                end = position
                break
            size += added
            add(header)
        self.size = size
        return end

    def _add_new(self, keys: Keys, data_bytes: int, room: int) -> int:
        """Add an event with keys that are new here; return by how many bytes, 0 without room."""
        partition_key, hash_key = keys.partition_key, keys.explicit_hash_key
        key_field = hash_key_field = b""
        key_index, hash_key_index = self._partition_keys.get(partition_key), None
        if key_index is None:
            key_index, key_field = len(self._partition_keys), _PARTITION_KEY_FIELDS[partition_key]
        if hash_key is not None:
            hash_key_index = self._hash_keys.get(hash_key)
            if hash_key_index is None:
                hash_key_index, hash_key_field = len(self._hash_keys), _hash_key_field(hash_key)
        indexes = _indexes(key_index, hash_key_index)
        length = _VARINTS[data_bytes]
        header = b"\x1a" + _VARINTS[len(indexes) + len(length) + data_bytes] + indexes + length
        added = len(key_field) + len(hash_key_field) + len(header) + data_bytes
        if added > room:
            return 0
        if key_field:
            self._partition_keys[partition_key] = key_index
            self._fields[0].append(key_field)
        if hash_key is not None and hash_key_index is not None and hash_key_field:
            self._hash_keys[hash_key] = hash_key_index
            self._fields[1].append(hash_key_field)
        self._indexes[keys] = indexes
        self._headers.append(header)
        return added

    def encode(self, data: list[bytes]) -> bytes:
        """Return the aggregated record of ``data``, given in the order of the adds."""
        sub_records = [b""] * (2 * len(self._headers))
        sub_records[::2] = self._headers
        sub_records[1::2] = data
        return seal([*self._fields[0], *self._fields[1], *sub_records])


def one_key_tables(partition_key: str, explicit_hash_key: int) -> list[bytes]:
    """Return the encoded tables of an aggregated record whose records share both keys."""
    return [_PARTITION_KEY_FIELDS[partition_key], _hash_key_field(explicit_hash_key)]


def seal(parts: list[bytes]) -> bytes:
    """Join protobuf fields and wrap them in magic and digest."""
    body = b"".join(parts)
    return b"".join((MAGIC, body, md5(body, usedforsecurity=False).digest()))


def decode(data: bytes, *, most: int | None = None) -> list[SubRecord] | None:
    """Return the user records of an aggregated record, or None if it is none.

    Bytes without the magic, or whose digest does not match, are some user's own
    data: None, as consumers built on the KCL see them.

    :param most: allow no more user records than this.
    :raises MalformedAggregateError: if the envelope is right and the content is
        not: an index outside its table, a missing field, text that is not UTF-8, a
        hash key out of range, a length past the end.
    """
    if not data.startswith(MAGIC) or len(data) <= ENVELOPE_BYTES:
        return None
    body = data[len(MAGIC) : -_DIGEST_BYTES]
    if md5(body, usedforsecurity=False).digest() != data[-_DIGEST_BYTES:]:
        return None
    partition_keys: list[str] = []
    hash_keys: list[int] = []
    records: list[bytes] = []
    for field, value in _fields(body):
        if field == _PARTITION_KEY_TABLE:
            partition_keys.append(_text(value))
        elif field == _EXPLICIT_HASH_KEY_TABLE:
            hash_keys.append(_hash_key(value))
        elif field == _RECORDS:
            records.append(_bytes(value))
            if most is not None and len(records) > most:
                msg = f"it has more than {most} records"
                raise MalformedAggregateError(msg)
    return [_sub_record(record, partition_keys, hash_keys) for record in records]


def _sub_record(record: bytes, partition_keys: list[str], hash_keys: list[int]) -> SubRecord:
    fields = dict(_fields(record))
    if _PARTITION_KEY_INDEX not in fields or _DATA not in fields:
        msg = "a sub-record has no partition key index or no data"
        raise MalformedAggregateError(msg)
    partition_key = _entry_of(partition_keys, fields[_PARTITION_KEY_INDEX])
    hash_key_index = fields.get(_EXPLICIT_HASH_KEY_INDEX)
    hash_key = None if hash_key_index is None else _entry_of(hash_keys, hash_key_index)
    return SubRecord(partition_key, hash_key, _bytes(fields[_DATA]))


def _entry_of(table: list[_Entry], index: int | bytes) -> _Entry:
    if not isinstance(index, int) or index >= len(table):
        msg = f"an index is outside its key table of {len(table)}"
        raise MalformedAggregateError(msg)
    return table[index]


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the known fields as (number, value), one at a time: there may be millions."""
    position = 0
    while position < len(data):
        tag, position = _read_varint(data, position)
        field, wire_type = tag >> 3, tag & 7
        value: int | bytes | None = None
        if wire_type == _VARINT:
            value, position = _read_varint(data, position)
        elif wire_type == _LENGTH_DELIMITED:
            length, position = _read_varint(data, position)
            value = data[position : position + length]
            position += length
        elif wire_type in _FIXED_BYTES:
            position += _FIXED_BYTES[wire_type]
        else:
            msg = f"wire type {wire_type} is not part of the format"
            raise MalformedAggregateError(msg)
        if position > len(data):
            msg = "a field reaches past the end"
            raise MalformedAggregateError(msg)
        if value is not None and field <= _HIGHEST_FIELD:
            yield field, value


_FIXED_BYTES: Final = {_FIXED64: 8, _FIXED32: 4}


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift, byte in enumerate(data[position : position + _VARINT_MAX_BYTES]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < _MORE:
            return value, position + shift + 1
    msg = "a varint is cut off or longer than ten bytes"
    raise MalformedAggregateError(msg)


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        msg = "a number stands where bytes belong"
        raise MalformedAggregateError(msg)
    return value


def _text(value: int | bytes) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError as error:
        msg = "a partition key is not UTF-8"
        raise MalformedAggregateError(msg) from error


def _hash_key(value: int | bytes) -> int:
    text = _bytes(value)
    if not text.isdigit() or len(text) > MAX_HASH_KEY_DIGITS or int(text) > MAX_HASH_KEY:
        msg = f"explicit hash key {text[:64]!r} is not a decimal below 2**128"
        raise MalformedAggregateError(msg)
    return int(text)

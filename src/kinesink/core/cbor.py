"""CBOR for the wire of Kinesis (``application/x-amz-cbor-1.1``), and nothing beyond it.

Law of this file: whatever the bytes, :func:`loads` returns a value or raises
:class:`ValueError`. It never recurses deeper than :data:`MAX_DEPTH` and never
allocates more than the input could hold, so bytes from the network are safe to pass.

The subset of RFC 8949 that the service speaks: integers, byte and text strings, arrays,
maps with text keys, booleans, null and floats, in definite and indefinite lengths. Tags
are skipped. The service sends timestamps as untagged integers, in milliseconds.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

__all__ = ["MAX_DEPTH", "Major", "dumps", "head", "loads"]

MAX_DEPTH: Final = 64
"""Deepest nesting read or written. Kinesis never nests past 5; the rest is room."""


class Major:
    """The eight major types of RFC 8949 section 3.1, as numbers."""

    UNSIGNED: Final = 0
    NEGATIVE: Final = 1
    BYTES: Final = 2
    TEXT: Final = 3
    ARRAY: Final = 4
    MAP: Final = 5
    TAG: Final = 6
    SIMPLE: Final = 7


_INLINE: Final = 24
"""Additional information below this is the argument itself (RFC 8949 section 3)."""

_INDEFINITE: Final = 31
"""The additional information that means "until the break"."""

_BREAK: Final = b"\xff"
_MAP_WITHOUT_LENGTH: Final = b"\xbf"

_CONSTANTS: Final[Mapping[int, bool | None]] = {20: False, 21: True, 22: None, 23: None}
"""Simple values by additional information: false, true, null, undefined."""

_FLOATS: Final[Mapping[int, struct.Struct]] = {
    25: struct.Struct(">e"),
    26: struct.Struct(">f"),
    27: struct.Struct(">d"),
}
"""Layout of a float by additional information: half, single and double precision."""

_ARGUMENT_BYTES: Final[Mapping[int, int]] = {24: 1, 25: 2, 26: 4, 27: 8}
"""How many bytes of argument follow, by additional information; below 24 it is the argument."""


def head(major: int, argument: int) -> bytes:
    """Return the shortest head of ``major`` with ``argument``, which is 0 <= argument < 2**64."""
    first = major << 5
    if argument < _INLINE:
        return bytes((first | argument,))
    for information, size in _ARGUMENT_BYTES.items():
        if argument < 1 << 8 * size:
            return bytes((first | information,)) + argument.to_bytes(size, "big")
    raise _unsupported(f"{argument} does not fit into the 64 bits of an argument")


def dumps(
    value: object,
    *,
    default: Callable[[object], object] | None = None,
    indefinite_maps: bool = False,
) -> bytes:
    """Encode ``value``: None, bool, int, float, str, bytes-like, list, tuple or dict.

    ``default`` turns a value of any other type into one of these. With
    ``indefinite_maps`` maps are written without their length, as the service does.
    Raises :class:`ValueError` for other types, integers beyond 64 bits, text that UTF-8
    cannot hold, map keys that are not text, and nesting beyond :data:`MAX_DEPTH`.
    """
    parts: list[bytes] = []
    _Writer(parts, default, indefinite_maps=indefinite_maps).write(value, 0)
    return b"".join(parts)


def loads(data: bytes) -> object:
    """Decode exactly one value; raise :class:`ValueError` for anything else.

    Maps become dicts (the last of equal keys wins), arrays lists, undefined ``None``.
    """
    reader = _Reader(data)
    value = reader.read(0)
    if reader.position != len(data):
        reader.refuse("bytes are left over")
    return value


def _unsupported(what: str) -> ValueError:
    return ValueError(f"no CBOR encoding for this value: {what}")


class _Writer:
    """Appends the encoding of values to a list of byte strings."""

    __slots__ = ("_add", "_default", "_indefinite_maps")

    def __init__(
        self,
        parts: list[bytes],
        default: Callable[[object], object] | None,
        *,
        indefinite_maps: bool,
    ) -> None:
        self._add = parts.append
        self._default = default
        self._indefinite_maps = indefinite_maps

    def write(self, value: object, depth: int) -> None:
        """Append one value; ``depth`` counts the containers around it."""
        if depth > MAX_DEPTH:
            raise _unsupported(f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, str):
            self._write_text(value)
        elif isinstance(value, (bytes, bytearray, memoryview)):
            data = bytes(value)
            self._add(head(Major.BYTES, len(data)))
            self._add(data)
        elif isinstance(value, dict):
            self._write_map(value, depth)
        elif isinstance(value, (list, tuple)):
            self._add(head(Major.ARRAY, len(value)))
            for element in value:
                self.write(element, depth + 1)
        else:
            self._write_scalar(value, depth)

    def _write_text(self, text: str) -> None:
        encoded = text.encode()
        self._add(head(Major.TEXT, len(encoded)))
        self._add(encoded)

    def _write_map(self, members: Mapping[object, object], depth: int) -> None:
        self._add(_MAP_WITHOUT_LENGTH if self._indefinite_maps else head(Major.MAP, len(members)))
        for key, member in members.items():
            if not isinstance(key, str):
                raise _unsupported(f"{type(key).__name__} as a map key")
            self._write_text(key)
            self.write(member, depth + 1)
        if self._indefinite_maps:
            self._add(_BREAK)

    def _write_scalar(self, value: object, depth: int) -> None:
        if value is None:
            self._add(b"\xf6")
        elif isinstance(value, bool):
            self._add(b"\xf5" if value else b"\xf4")
        elif isinstance(value, int):
            self._add(
                head(Major.UNSIGNED, value) if value >= 0 else head(Major.NEGATIVE, -1 - value)
            )
        elif isinstance(value, float):
            self._add(b"\xfb" + _FLOATS[27].pack(value))
        elif self._default is not None:
            self.write(self._default(value), depth + 1)
        else:
            raise _unsupported(type(value).__name__)


class _Reader:
    """Reads values one after another from bytes, moving ``position``."""

    __slots__ = ("_data", "position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def refuse(self, reason: str) -> NoReturn:
        """Raise the error for what stands at the current position."""
        message = f"not CBOR at byte {self.position}: {reason}"
        raise ValueError(message)

    def read(self, depth: int) -> object:
        """Read one value; ``depth`` counts the containers around it."""
        if depth > MAX_DEPTH:
            self.refuse(f"nested deeper than {MAX_DEPTH} levels")
        major, information = self._head()
        while major == Major.TAG:
            self._argument(information)
            major, information = self._head()
        if major == Major.SIMPLE:
            return self._simple(information)
        if major in (Major.BYTES, Major.TEXT):
            return self._string(major, information)
        if major == Major.ARRAY:
            return self._array(information, depth)
        if major == Major.MAP:
            return self._map(information, depth)
        argument = self._argument(information)
        return argument if major == Major.UNSIGNED else -1 - argument

    def _take(self, size: int) -> bytes:
        end = self.position + size
        if end > len(self._data):
            self.refuse(f"{size} bytes are announced and {len(self._data) - self.position} left")
        taken = self._data[self.position : end]
        self.position = end
        return taken

    def _head(self) -> tuple[int, int]:
        (first,) = self._take(1)
        return first >> 5, first & 31

    def _argument(self, information: int) -> int:
        if information < _INLINE:
            return information
        if information not in _ARGUMENT_BYTES:
            self.refuse(f"additional information {information} is not allowed here")
        return int.from_bytes(self._take(_ARGUMENT_BYTES[information]), "big")

    def _count(self, information: int, bytes_each: int) -> int | None:
        """Length of an array or map, None if indefinite; never more than the input can hold."""
        if information == _INDEFINITE:
            return None
        count = self._argument(information)
        if count * bytes_each > len(self._data) - self.position:
            self.refuse(f"{count} elements are announced, more than bytes are left for")
        return count

    def _at_break(self) -> bool:
        if self._data[self.position : self.position + 1] != _BREAK:
            return False
        self.position += 1
        return True

    def _more(self, count: int | None, done: int) -> bool:
        return not self._at_break() if count is None else done < count

    def _string(self, major: int, information: int) -> bytes | str:
        if information == _INDEFINITE:
            return self._chunks(major)
        data = self._take(self._argument(information))
        return data if major == Major.BYTES else data.decode()

    def _chunks(self, major: int) -> bytes | str:
        chunks: list[bytes] = []
        while not self._at_break():
            chunk_major, information = self._head()
            if chunk_major != major:
                self.refuse("a chunk of another type than its string")
            chunks.append(self._take(self._argument(information)))
        data = b"".join(chunks)
        return data if major == Major.BYTES else data.decode()

    def _array(self, information: int, depth: int) -> list[object]:
        count = self._count(information, 1)
        elements: list[object] = []
        while self._more(count, len(elements)):
            elements.append(self.read(depth + 1))
        return elements

    def _map(self, information: int, depth: int) -> dict[str, object]:
        count = self._count(information, 2)
        members: dict[str, object] = {}
        done = 0
        while self._more(count, done):
            key = self.read(depth + 1)
            if not isinstance(key, str):
                self.refuse("a map key is not text")
            members[key] = self.read(depth + 1)
            done += 1
        return members

    def _simple(self, information: int) -> bool | float | None:
        if information in _CONSTANTS:
            return _CONSTANTS[information]
        if information not in _FLOATS:
            self.refuse(f"simple value {information} has no meaning here")
        layout = _FLOATS[information]
        unpacked: tuple[float] = layout.unpack(self._take(layout.size))
        return unpacked[0]

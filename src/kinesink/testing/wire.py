"""JSON 1.1 and CBOR 1.1: the two formats of the service, chosen by the content type."""

import base64
import binascii
from collections.abc import Mapping
from typing import Final, Protocol

import orjson

from kinesink.core import cbor
from kinesink.testing.errors import serialization
from kinesink.testing.shapes import Wire

__all__ = ["FORMATS", "Format", "Time", "format_of"]


class Time:
    """A timestamp in an answer, in seconds since the epoch; each format writes it its own way."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        """Keep ``seconds``."""
        self.seconds = seconds


class Format(Wire, Protocol):
    """How bodies are written, besides the blobs and timestamps in them."""

    content_type: str

    def loads(self, body: bytes) -> object:
        """Decode a body, or raise ``SerializationException``."""

    def dumps(self, members: Mapping[str, object]) -> bytes:
        """Encode a body."""


class Json:
    """``application/x-amz-json-1.1``: blobs in base64, timestamps as seconds."""

    content_type = "application/x-amz-json-1.1"

    def loads(self, body: bytes) -> object:
        """Decode JSON; an empty body has no members."""
        try:
            return orjson.loads(body or b"{}")
        except orjson.JSONDecodeError as error:
            raise serialization(f"the body is not JSON: {error}") from error

    def dumps(self, members: Mapping[str, object]) -> bytes:
        """Encode JSON."""
        return orjson.dumps(members, default=_plain_json)

    def blob(self, value: object) -> bytes:
        """Decode base64 with its padding."""
        if not isinstance(value, str):
            raise serialization(f"{type(value).__name__} can not be converted to a Blob")
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise serialization(f"the blob is not base64: {error}") from error

    def moment(self, value: object) -> float:
        """Take a number of seconds."""
        return _number(value)


class Cbor:
    """``application/x-amz-cbor-1.1``: blobs as byte strings, timestamps as milliseconds."""

    content_type = "application/x-amz-cbor-1.1"

    def loads(self, body: bytes) -> object:
        """Decode CBOR; an empty body has no members."""
        try:
            return cbor.loads(body) if body else {}
        except ValueError as error:
            raise serialization(str(error)) from error

    def dumps(self, members: Mapping[str, object]) -> bytes:
        """Encode CBOR, maps with indefinite length as the service does."""
        return cbor.dumps(members, default=_plain_cbor, indefinite_maps=True)

    def blob(self, value: object) -> bytes:
        """Take a byte string."""
        if not isinstance(value, bytes):
            raise serialization(f"{type(value).__name__} can not be converted to a Blob")
        return value

    def moment(self, value: object) -> float:
        """Take a number of milliseconds."""
        return _number(value) / 1000


FORMATS: Final[Mapping[str, Format]] = {each.content_type: each for each in (Json(), Cbor())}
"""Format by content type."""


def format_of(content_type: str) -> Format | None:
    """Return the format of a ``Content-Type`` header, whatever parameters it carries."""
    return FORMATS.get(content_type.partition(";")[0].strip().lower())


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise serialization(f"{type(value).__name__} can not be converted to a Timestamp")
    return value


def _plain_json(value: object) -> object:
    """Translate what answers hold beside JSON's types; orjson refuses what comes back as it was."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.seconds if isinstance(value, Time) else value


def _plain_cbor(value: object) -> object:
    """Translate what answers hold beside CBOR's types; anything else is refused as above."""
    return round(value.seconds * 1000) if isinstance(value, Time) else value

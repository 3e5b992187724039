"""An event that was given up for good, and the file where such events can go."""

from __future__ import annotations

import base64
import json
import os
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinesink.core.records import DropReason


class DeadLetter(NamedTuple):
    """An event that Kinesis will never have."""

    stream_name: str
    """The stream it was for."""
    data: bytes
    """The event."""
    reason: DropReason
    """Why it was given up."""
    error: str
    """The same in words."""
    at: float
    """When, in seconds since the epoch."""

    def as_line(self) -> bytes:
        """Return one line of JSON: ``at``, ``stream``, ``reason``, ``error`` and ``data``.

        ``data`` is the event's text; of one that is no UTF-8, ``data_base64`` is its bytes.
        """
        moment = datetime.fromtimestamp(self.at, tz=timezone.utc)
        told = {
            "at": f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}",
            "stream": self.stream_name,
            "reason": self.reason.value,
            "error": self.error,
        }
        try:
            told["data"] = self.data.decode()
        except UnicodeDecodeError:
            told["data_base64"] = base64.b64encode(self.data).decode()
        return json.dumps(told, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def append_to(path: str, letters: Iterable[DeadLetter]) -> None:
    """Add lines to a file, which only its owner may read if it is made here.

    Whole lines, also where several processes write to it at the same time.

    :raises OSError: if that cannot be done.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    descriptor = os.open(path, flags, 0o600)
    try:
        # One write for each line: the system puts no other's in the middle.
        for letter in letters:
            line = letter.as_line()
            while line:
                line = line[os.write(descriptor, line) :]
    finally:
        os.close(descriptor)

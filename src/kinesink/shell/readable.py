"""What somebody else says, as one line for people.

Law: the line is of bounded length and shows no secret that it was told of.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Longest text taken from an answer into a message, in characters: a line for people.
_TEXT_MAX_CHARACTERS: Final = 400

#: From here on the service repeats the request, headers and session token included.
_REQUEST_ECHO: Final = re.compile(r"\s*(The Canonical String|in Authorization header).*", re.DOTALL)

#: IAM's shortest access key id, in characters. Emulators are given keys like "test",
#: and a message must go on naming the stream "test-logs".
_SHORTEST_SECRET: Final = 16


def worth_hiding(texts: Iterable[str | None]) -> tuple[str, ...]:
    """Return those texts that are secrets and no word of a message by accident."""
    return tuple(text for text in texts if text and len(text) >= _SHORTEST_SECRET)


def readable(text: object, secrets: Sequence[str]) -> str:
    """Return what somebody else says as one line of bounded length, without secrets."""
    if not isinstance(text, str) or not text:
        return "no explanation"
    for secret in secrets:
        text = text.replace(secret, "***")
    line = " ".join(_REQUEST_ECHO.sub("", text).split())
    return line if len(line) <= _TEXT_MAX_CHARACTERS else line[:_TEXT_MAX_CHARACTERS] + "…"

"""The level of an event that is bytes already."""

from __future__ import annotations

import re
from typing import Final

#: How the schemas write it, and most other writers of JSON, near the begin of the line.
_LEVEL: Final = re.compile(
    rb'"(?:level|log\.level|levelname|severity|severityText|severity_text|status)" ?: ?'
    rb'"(debug|info|notice|warn|warning|err|error|crit|critical|fatal)"',
    re.IGNORECASE,
)

#: In so many bytes from the begin it stands, if anywhere.
_NEAR: Final = 512

#: Names that mean one of logging's levels.
_MEANING: Final = {
    "NOTICE": "INFO",
    "WARN": "WARNING",
    "ERR": "ERROR",
    "CRIT": "CRITICAL",
    "FATAL": "CRITICAL",
}


def level_in(line: bytes) -> str | None:
    """Return the name of the level that a line says it has, as :mod:`logging` has it.

    For the account of what was lost, which has nothing but the bytes. None if it says none.
    """
    found = _LEVEL.search(line, 0, _NEAR)
    if found is None:
        return None
    name = found[1].decode().upper()
    return _MEANING.get(name, name)

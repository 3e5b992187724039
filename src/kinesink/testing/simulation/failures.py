"""Failures that several parts of a simulation tell of."""

from __future__ import annotations

from typing import Final

from kinesink.core.records import Failure
from kinesink.core.retry_policy import READ_TIMEOUT

__all__ = ["GONE", "TOO_LATE"]

#: There is no such stream.
GONE: Final = Failure("ResourceNotFoundException", "Stream simulated not found.", 400)

#: The caller's time is up.
TOO_LATE: Final = Failure(READ_TIMEOUT, "no answer in time")

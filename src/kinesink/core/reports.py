"""What an operator is told: what happened, to which stream, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from kinesink.core.effects import Report
from kinesink.core.records import Failure
from kinesink.core.retry_policy import STOPS_EVERYTHING, advice

if TYPE_CHECKING:
    from kinesink.core.effects import Effect
    from kinesink.core.records import EntryResult

Operation = Literal["PutRecords", "ListShards", "DescribeStreamSummary"]

#: What becomes of events while nothing can be sent.
KEPT: Final = "events are kept and tried again"


class Reports:
    """Writes reports about one stream to the effects."""

    def __init__(self, effects: list[Effect], stream_name: str) -> None:
        self._effects = effects
        self._stream_name = stream_name
        #: The last failure of a whole call, in words; None before the first.
        self.last_error: str | None = None

    def failed(self, operation: Operation, failure: Failure, consequence: str) -> None:
        """Tell of a call that failed, and what follows unless the failure stops everything."""
        self.last_error = in_words(failure)
        if failure.code in STOPS_EVERYTHING:
            consequence = KEPT
        parts = (f"{operation}: {self.last_error}", advice(failure.code), consequence)
        self.tell(failure.code, "; ".join(part for part in parts if part), operation)

    def tell(self, kind: str, text: str, operation: Operation | None = None) -> None:
        """Tell something about the stream, or about one operation on it."""
        text = f"stream {self._stream_name!r}: {text}"
        self._effects.append(Report(kind, text, operation or ""))


def in_words(failure: Failure | EntryResult) -> str:
    """Return the code and the text of a failure."""
    if isinstance(failure, Failure):
        return f"{failure.code}: {failure.message}"
    return f"{failure.error_code}: {failure.error_message}"

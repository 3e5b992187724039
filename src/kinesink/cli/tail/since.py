"""``--since``: how far back a reading begins."""

from datetime import datetime, timezone
from typing import Final, NamedTuple

from kinesink.option_values import UNITS_OF_SECONDS, quantity

_UNITS: Final = {**UNITS_OF_SECONDS, "D": 86_400.0}
_BEGIN: Final = "start"


class SinceError(ValueError):
    """A text that says no time, with the reason as a sentence."""


class Since(NamedTuple):
    """A time; without either of these it is now."""

    ago: float | None = None
    """Seconds before now."""
    at: float | None = None
    """Seconds since 1970; 0 for the oldest records there are."""

    @classmethod
    def parse(cls, text: str) -> "Since":
        """Read ``10m``, ``start`` or an ISO time, which is UTC unless it says otherwise.

        :raises SinceError: if it is none of them.
        """
        if text == _BEGIN:
            return cls(at=0.0)
        ago = quantity(text, _UNITS)
        if ago is not None:
            return cls(ago=ago)
        try:
            # Before Python 3.11, fromisoformat does not know the Z.
            moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError as error:
            raise SinceError(
                f"{text!r} is no time: 90s, 10m, 2h or 1d ago, 2026-01-31T12:00:00Z, or 'start'"
            ) from error
        return cls(
            at=(moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
        )

    def moment(self, now: float) -> float:
        """Return the time in seconds since 1970, never one that is still to come."""
        return max(0.0, min(now, now - self.ago if self.ago is not None else self.at or 0.0))

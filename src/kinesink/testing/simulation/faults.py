"""What Kinesis and the network do to calls: the failures there are, and when they last.

Law: a fault is an episode with a beginning and an end, known before the run; what it does
to one call is drawn when the call is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from kinesink.core.records import EntryResult, Failure
from kinesink.core.retry_policy import (
    CONNECT_ERROR,
    CONNECTION_RESET,
    CREDENTIALS_FAILED,
    INVALID_ENDPOINT,
    NO_CREDENTIALS,
    NO_REGION,
    OWN_ERROR,
    READ_TIMEOUT,
    STALE_CONNECTION,
    UNDECODABLE_RESPONSE,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinesink.testing.simulation.clock import VirtualClock
    from kinesink.testing.simulation.dice import Dice
    from kinesink.testing.simulation.trace import Trace

__all__ = ["BAD_DATA", "Episode", "Weather", "draw_episodes"]

_CLOCK: Final = "Signature expired: 20261123T080000Z is now earlier than 20261123T081500Z"

#: Refusals of a whole call by the service, by what they are.
_REFUSALS: Final = {
    "throttled": (
        "ProvisionedThroughputExceededException", "LimitExceededException",
        "ThrottlingException", "Throttling", "ThrottledException", "RequestThrottled",
        "RequestThrottledException", "TooManyRequestsException", "RequestLimitExceeded",
        "BandwidthLimitExceeded", "PriorRequestNotComplete", "SlowDown",
        "KMSThrottlingException", "HTTP 429",
    ),
    "credentials": (
        "ExpiredTokenException", "ExpiredToken", "UnrecognizedClientException",
        "InvalidClientTokenId", "MissingAuthenticationTokenException",
        "MissingAuthenticationToken", "InvalidSignatureException",
        NO_CREDENTIALS, NO_REGION, CREDENTIALS_FAILED, INVALID_ENDPOINT,
    ),
    "clock": ("RequestExpired", "RequestTimeTooSkewed", "InvalidSignatureException"),
    "permanent": (
        "ResourceNotFoundException", "AccessDeniedException", "AccessDenied", "OptInRequired",
        "IncompleteSignatureException", "IncompleteSignature", "UnknownOperationException",
        "NotAuthorized", "KMSDisabledException", "KMSInvalidStateException",
        "KMSAccessDeniedException", "KMSNotFoundException", "KMSOptInRequired",
    ),
    "bad": (
        "InvalidArgumentException", "ValidationException", "SerializationException", "HTTP 413",
        OWN_ERROR,
    ),
    "transient": (
        "InternalFailure", "ServiceUnavailable", "HTTP 500", "HTTP 502", "HTTP 503", "HTTP 504",
        "ACodeOfTheFuture",
    ),
}  # fmt: skip

#: Codes of calls that got no answer.
_LOST: Final = (
    CONNECT_ERROR, CONNECTION_RESET, READ_TIMEOUT, STALE_CONNECTION, UNDECODABLE_RESPONSE,
    "InternalFailure",
)  # fmt: skip

#: What the request is refused with because of one record of it.
BAD_DATA: Final = (
    "InvalidArgumentException", "ValidationException", "SerializationException", OWN_ERROR,
)  # fmt: skip

_ENTRY_CODES: Final = (
    "ProvisionedThroughputExceededException", "InternalFailure", "ServiceUnavailable",
    "KMSThrottlingException", "ACodeOfTheFuture", "InvalidArgumentException",
)  # fmt: skip

_LISTING_TROUBLE: Final = (
    "denied", "throttled", "failing", "hanging", "partial", "doubled", "stale", "empty", "slow",
)  # fmt: skip

_DESCRIPTION_TROUBLE: Final = ("denied", "throttled", "failing", "hanging", "silent", "slow")


@dataclass(frozen=True)
class Episode:
    """Something that is wrong for a while."""

    what: str
    """refuse, lose, entries, count, slow, listing, description."""
    start: float
    end: float
    share: float
    """Of the calls, or entries, that it happens to."""
    kind: str = ""
    code: str = ""
    written: bool = False
    """Whether the records are written all the same."""
    amount: float = 0.0

    def __str__(self) -> str:
        """Say it for the trace."""
        written = ", written" if self.written else ""
        return f"{self.what} {self.kind} {self.code} of {self.share:.0%}{written}".strip()

    def failure(self) -> Failure:
        """Return what the caller is told."""
        message = _CLOCK if self.kind == "clock" else "simulated"
        retry_after = self.amount if self.kind in {"throttled", "transient"} else None
        return Failure(self.code, message, retry_after=retry_after or None)

    def entry_result(self) -> EntryResult:
        """Return the answer to an entry."""
        return EntryResult(error_code=self.code, error_message="simulated")


def draw_episodes(dice: Dice, how_many: int, start: float, end: float) -> list[Episode]:
    """Draw what goes wrong between two times."""
    return [_draw_episode(dice, start, end) for _ in range(how_many)]


def _draw_episode(dice: Dice, start: float, end: float) -> Episode:
    begin = dice.between(start, end) if dice.chance(0.9) else start
    last = min(end, begin + dice.pick((0.1, 1.0, 5.0, 15.0, 60.0)) * (0.5 + dice.draw()))
    share = dice.pick((0.05, 0.2, 0.5, 1.0, 1.0))
    what = dice.pick(
        ("refuse", "refuse", "lose", "lose", "entries", "entries", "count", "slow",
         "listing", "listing", "description"),
    )  # fmt: skip
    kind, code, written, amount = "", "", False, 0.0
    if what == "refuse":
        kind = dice.pick(tuple(_REFUSALS))
        code = dice.pick(_REFUSALS[kind])
        amount = dice.pick((0.0, 0.0, 3.0))
    elif what == "lose":
        code = dice.pick(_LOST)
        written = code != CONNECT_ERROR and dice.chance(0.5)
    elif what == "entries":
        code = dice.pick(_ENTRY_CODES)
        written = code == "InternalFailure" and dice.chance(0.5)
    elif what == "count":
        amount = dice.pick((-1.0, 1.0))
    elif what == "slow":
        amount = dice.pick((5.0, 50.0, 500.0))
    elif what == "listing":
        kind = dice.pick(_LISTING_TROUBLE)
        amount = dice.between(0.5, 20.0)
    else:
        kind = dice.pick(_DESCRIPTION_TROUBLE)
        amount = dice.between(0.5, 20.0)
    return Episode(what, begin, last, share, kind, code, written, amount)


class Weather:
    """The episodes that are on."""

    def __init__(
        self, episodes: Sequence[Episode], clock: VirtualClock, dice: Dice, trace: Trace
    ) -> None:
        self._on: list[Episode] = []
        self._clock = clock
        self._dice = dice
        self._trace = trace
        for episode in episodes:
            clock.at(episode.start, partial(self._begin, episode))
            clock.at(episode.end, partial(self._end, episode))

    def _begin(self, episode: Episode) -> None:
        self._trace.note(self._clock.now, "weather: %s begins", episode)
        self._on.append(episode)

    def _end(self, episode: Episode) -> None:
        self._trace.note(self._clock.now, "weather: %s ends", episode)
        self._on.remove(episode)

    def strikes(self, what: str) -> Episode | None:
        """Return the episode that happens to a call or an entry, None if it goes well."""
        for episode in self._on:
            if episode.what == what and self._dice.chance(episode.share):
                return episode
        return None

"""What an error means and what follows: the policy as tables, one row per decision.

Codes and their meaning come from the API reference of PutRecords, ListShards and
DescribeStreamSummary (https://docs.aws.amazon.com/kinesis/latest/APIReference/) and
its common errors page; the base delays are those of botocore's "standard" retry
mode. Nothing else in kinesink decides whether something is tried again.

An unknown code is transient: new codes will come, and the time to live bounds what
a wrong guess costs.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, NamedTuple


class Kind(str, Enum):
    """What a failure is, as far as it matters for what to do."""

    THROTTLED = "throttled"
    """Refused for rate: slow down, then again."""
    TRANSIENT = "transient"
    """A fault or the network: again after a while."""
    STALE = "stale"
    """A kept connection had been closed by the other end: again at once, once."""
    CREDENTIALS = "credentials"
    """Expired, revoked or missing: refresh, sign anew, again at once, once."""
    CLOCK = "clock"
    """Our clock is off: correct it, sign anew, again at once, once."""
    PERMANENT = "permanent"
    """Wrong stream, account, region or permission: somebody must repair it."""
    BAD_ENTRY = "bad_entry"
    """The request was refused, possibly for one entry of it: split."""


#: Codes of the client, for calls that got no answer or could not be made.
CONNECT_ERROR: Final = "ConnectError"
READ_TIMEOUT: Final = "ReadTimeout"
CONNECTION_RESET: Final = "ConnectionReset"
STALE_CONNECTION: Final = "StaleConnection"
UNDECODABLE_RESPONSE: Final = "UndecodableResponse"
WRONG_RECORD_COUNT: Final = "WrongRecordCount"
NO_CREDENTIALS: Final = "NoCredentials"
NO_REGION: Final = "NoRegion"
CREDENTIALS_FAILED: Final = "CredentialsFailed"
INVALID_ENDPOINT: Final = "InvalidEndpoint"

#: The service's word for a stream that does not exist.
STREAM_NOT_FOUND: Final = "ResourceNotFoundException"

#: The code of errors of kinesink's own, such as a record that cannot be encoded.
OWN_ERROR: Final = "KinesinkInternalError"

#: Refused for rate, of an entry or of a whole request.
THROTTLE_CODES: Final = frozenset({
    "ProvisionedThroughputExceededException", "LimitExceededException",
    "ThrottlingException", "Throttling", "ThrottledException", "RequestThrottled",
    "RequestThrottledException", "TooManyRequestsException", "RequestLimitExceeded",
    "BandwidthLimitExceeded", "PriorRequestNotComplete", "SlowDown",
    "KMSThrottlingException", "HTTP 429",
})  # fmt: skip

#: The service refused who we are; fresh credentials can help.
CREDENTIAL_CODES: Final = frozenset({
    "ExpiredTokenException", "ExpiredToken", "UnrecognizedClientException",
    "InvalidClientTokenId", "MissingAuthenticationTokenException",
    "MissingAuthenticationToken", "InvalidSignatureException",
})  # fmt: skip

#: There is nothing to sign with, or nowhere to send to: trying at once is useless.
_SETUP_CODES: Final = frozenset({NO_CREDENTIALS, NO_REGION, CREDENTIALS_FAILED, INVALID_ENDPOINT})

_PERMANENT_CODES: Final = frozenset({
    STREAM_NOT_FOUND, "AccessDeniedException", "AccessDenied",
    "OptInRequired", "IncompleteSignatureException", "IncompleteSignature",
    "UnknownOperationException", "NotAuthorized",
    "KMSDisabledException", "KMSInvalidStateException", "KMSAccessDeniedException",
    "KMSNotFoundException", "KMSOptInRequired",
})  # fmt: skip

_BAD_ENTRY_CODES: Final = frozenset({
    "InvalidArgumentException", "ValidationException", "SerializationException", "HTTP 413",
    OWN_ERROR,
})  # fmt: skip

#: Of these the answer to one entry may speak; the rest is about requests as a whole.
_BAD_DATA_CODES: Final = frozenset({"InvalidArgumentException", "ValidationException"})

_CLOCK_CODES: Final = frozenset({"RequestExpired", "RequestTimeTooSkewed"})
_CLOCK_TEXT: Final = re.compile(r"Signature (expired|not yet current)")

#: Request level, first match wins.
_REQUEST_KINDS: Final = (
    (THROTTLE_CODES, Kind.THROTTLED),
    (CREDENTIAL_CODES | _SETUP_CODES, Kind.CREDENTIALS),
    (_PERMANENT_CODES, Kind.PERMANENT),
    (_BAD_ENTRY_CODES, Kind.BAD_ENTRY),
    (frozenset({STALE_CONNECTION}), Kind.STALE),
)

#: Kinds that are sent again at once, once, without using up anything.
RESEND_AT_ONCE: Final = frozenset({Kind.STALE, Kind.CREDENTIALS, Kind.CLOCK})


def is_clock_failure(code: str, message: str) -> bool:
    """Tell whether the service refused the request's date rather than its signer."""
    if code in _CLOCK_CODES:
        return True
    return code == "InvalidSignatureException" and _CLOCK_TEXT.search(message) is not None


def classify_request(code: str, message: str = "") -> Kind:
    """Return what the failure of a whole call is."""
    if is_clock_failure(code, message):
        return Kind.CLOCK
    for codes, kind in _REQUEST_KINDS:
        if code in codes:
            return kind
    return Kind.TRANSIENT


def classify_entry(code: str) -> Kind:
    """Return what the failure of one entry of an answered call is."""
    if code in THROTTLE_CODES:
        return Kind.THROTTLED
    if code in _BAD_DATA_CODES:
        return Kind.BAD_ENTRY
    return Kind.TRANSIENT


def can_resend_at_once(code: str, kind: Kind) -> bool:
    """Tell whether the very same call may succeed right away."""
    return kind in RESEND_AT_ONCE and code not in _SETUP_CODES


class Backoff(NamedTuple):
    """Full jitter: uniform between 0 and ``min(cap, base * 2**n)`` seconds."""

    base: float
    cap: float

    def delay(self, failures: int, jitter: float) -> float:
        """Return the wait after ``failures`` failures in a row, in seconds.

        :param failures: 1 for the first failure.
        :param jitter: a number from 0 to 1, drawn by the caller.
        """
        return jitter * min(self.cap, self.base * 2.0 ** min(failures - 1, 32))


ENTRY_BACKOFF: Final = {
    Kind.THROTTLED: Backoff(0.1, 5.0),
    Kind.TRANSIENT: Backoff(0.05, 5.0),
}

#: The cap of what may pass by itself is what an outage costs and what recovery takes: of
#: 15 s, the upper half drawn (see :func:`request_delay`), about five calls a minute, and
#: events that flow again within 15 s, on average 6. Of 20 s it would be four a minute and
#: 8 s on average, of 10 s eight and 4 s.
REQUEST_BACKOFF: Final = {
    Kind.THROTTLED: Backoff(1.0, 20.0),
    Kind.TRANSIENT: Backoff(0.05, 15.0),
    Kind.STALE: Backoff(0.05, 15.0),
    Kind.CREDENTIALS: Backoff(1.0, 30.0),
    Kind.CLOCK: Backoff(1.0, 30.0),
    Kind.PERMANENT: Backoff(1.0, 30.0),
}

#: From this many failed calls in a row on, one call at a time probes the stream.
FAILURES_BEFORE_PROBING: Final = 3

#: An answer may ask for a longer wait, at most this many seconds longer.
RETRY_AFTER_MARGIN: Final = 5.0


def request_delay(
    kind: Kind, failures: int, jitter: float, *, retry_after: float | None = None
) -> float:
    """Return how long a stream's calls wait after a failed one, in seconds.

    What is down is never probed sooner than after half the drawn range: calls in vain cost
    more than the few seconds that the shortest draws would win. So is what takes a person
    to repair, from the first failure on.
    """
    if kind is Kind.PERMANENT or failures >= FAILURES_BEFORE_PROBING:
        jitter = 0.5 + jitter / 2
    delay = REQUEST_BACKOFF[kind].delay(failures, jitter)
    if retry_after is not None:
        delay = min(max(delay, retry_after), delay + RETRY_AFTER_MARGIN)
    return delay


#: What stops one call to the stream stops every other: no event travels meanwhile.
STOPS_EVERYTHING: Final = _SETUP_CODES | CREDENTIAL_CODES | {STREAM_NOT_FOUND, CONNECT_ERROR}

#: What to do about a failure, said to the operator: first match wins.
_ADVICE: Final = (
    (frozenset({NO_CREDENTIALS}),
     "give the process AWS credentials (environment, profile, container or instance role)"),
    (frozenset({NO_REGION}), "set region_name, AWS_REGION or AWS_DEFAULT_REGION"),
    (frozenset({INVALID_ENDPOINT}), "check endpoint_url and the region"),
    (frozenset({CREDENTIALS_FAILED}) | CREDENTIAL_CODES, "check the credentials and the role"),
    (frozenset({STREAM_NOT_FOUND}), "check the stream's name, region and account"),
    (frozenset({"AccessDeniedException", "AccessDenied", "NotAuthorized"}),
     "allow kinesis:PutRecords, :ListShards and :DescribeStreamSummary on the stream"),
    (frozenset({CONNECT_ERROR, READ_TIMEOUT}), "check the network, the endpoint and the proxy"),
    (_CLOCK_CODES, "set the machine's clock"),
    (frozenset(c for c in _PERMANENT_CODES if c.startswith("KMS")),
     "check the stream's KMS key and kms:GenerateDataKey"),
)  # fmt: skip


def advice(code: str) -> str:
    """Return what an operator can do about ``code``; empty when nothing is known."""
    return next((text for codes, text in _ADVICE if code in codes), "")

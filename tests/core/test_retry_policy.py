"""The policy, against a table of the service's documented errors written down a second time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinesink.core.retry_policy import (
    CONNECT_ERROR,
    CONNECTION_RESET,
    CREDENTIALS_FAILED,
    ENTRY_BACKOFF,
    FAILURES_BEFORE_PROBING,
    INVALID_ENDPOINT,
    NO_CREDENTIALS,
    NO_REGION,
    READ_TIMEOUT,
    REQUEST_BACKOFF,
    STALE_CONNECTION,
    UNDECODABLE_RESPONSE,
    WRONG_RECORD_COUNT,
    Kind,
    advice,
    can_resend_at_once,
    classify_entry,
    classify_request,
    is_clock_failure,
    request_delay,
)

if TYPE_CHECKING:
    from kinesink.core.retry_policy import Backoff

EXPIRED = (
    "Signature expired: 20180920T174101Z is now earlier than 20180920T174504Z "
    "(20180920T175004Z - 5 min.)"
)
EARLY = "Signature not yet current: 20180920T180000Z is still later than 20180920T175004Z"

REQUESTS = {
    Kind.THROTTLED: [
        "ProvisionedThroughputExceededException",
        "LimitExceededException",
        "ThrottlingException",
        "Throttling",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "PriorRequestNotComplete",
        "SlowDown",
        "KMSThrottlingException",
    ],
    Kind.TRANSIENT: [
        "InternalFailure",
        "InternalFailureException",
        "InternalServerError",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ResourceInUseException",
        "SomethingOfNextYear",
        CONNECT_ERROR,
        READ_TIMEOUT,
        CONNECTION_RESET,
        UNDECODABLE_RESPONSE,
        WRONG_RECORD_COUNT,
    ],
    Kind.STALE: [
        STALE_CONNECTION,
    ],
    Kind.CREDENTIALS: [
        "ExpiredTokenException",
        "ExpiredToken",
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "MissingAuthenticationTokenException",
        "InvalidSignatureException",
        NO_CREDENTIALS,
        NO_REGION,
        CREDENTIALS_FAILED,
        INVALID_ENDPOINT,
    ],
    Kind.CLOCK: [
        "RequestExpired",
        "RequestTimeTooSkewed",
    ],
    Kind.PERMANENT: [
        "ResourceNotFoundException",
        "AccessDeniedException",
        "OptInRequired",
        "IncompleteSignatureException",
        "UnknownOperationException",
        "KMSDisabledException",
        "KMSInvalidStateException",
        "KMSAccessDeniedException",
        "KMSNotFoundException",
        "KMSOptInRequired",
    ],
    Kind.BAD_ENTRY: [
        "InvalidArgumentException",
        "ValidationException",
        "SerializationException",
    ],
}
STATUSES = {
    429: Kind.THROTTLED, 413: Kind.BAD_ENTRY,
    500: Kind.TRANSIENT, 502: Kind.TRANSIENT, 503: Kind.TRANSIENT, 504: Kind.TRANSIENT,
}  # fmt: skip


class TestClassification:
    """What a code means."""

    @pytest.mark.parametrize(
        ("code", "kind"), [(code, kind) for kind, codes in REQUESTS.items() for code in codes]
    )
    def test_f3_a_refused_request_is_what_the_service_documents(
        self, code: str, kind: Kind
    ) -> None:
        """One row per code; a code nobody knows is transient."""
        assert classify_request(code, "some text") is kind

    @pytest.mark.parametrize(("status", "kind"), STATUSES.items())
    def test_an_answer_without_a_code_is_known_by_its_status(self, status: int, kind: Kind) -> None:
        """Proxies answer so."""
        assert classify_request(f"HTTP {status}") is kind

    @pytest.mark.parametrize("text", [EXPIRED, EARLY])
    def test_f8_a_signature_refused_for_its_date_is_the_clock(self, text: str) -> None:
        """Any other invalid signature is about who signs."""
        assert classify_request("InvalidSignatureException", text) is Kind.CLOCK
        assert is_clock_failure("InvalidSignatureException", text)
        assert not is_clock_failure("ExpiredTokenException", text)
        assert not is_clock_failure("InvalidSignatureException", "does not match")

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("ProvisionedThroughputExceededException", Kind.THROTTLED),
            ("KMSThrottlingException", Kind.THROTTLED),
            ("InternalFailure", Kind.TRANSIENT),
            ("InvalidArgumentException", Kind.BAD_ENTRY),
            ("ValidationException", Kind.BAD_ENTRY),
            ("SerializationException", Kind.TRANSIENT),
            ("AccessDeniedException", Kind.TRANSIENT),
            ("SomethingOfNextYear", Kind.TRANSIENT),
            ("", Kind.TRANSIENT),
        ],
    )
    def test_f1_a_refused_entry_is_throttled_bad_or_tried_again(
        self, code: str, kind: Kind
    ) -> None:
        """Its request was fine, so nothing else can be wrong with it."""
        assert classify_entry(code) is kind

    @pytest.mark.parametrize(
        ("code", "at_once"),
        [
            ("ExpiredTokenException", True),
            ("RequestExpired", True),
            (STALE_CONNECTION, True),
            (NO_CREDENTIALS, False),
            (NO_REGION, False),
            (INVALID_ENDPOINT, False),
            (CREDENTIALS_FAILED, False),
            ("ThrottlingException", False),
            ("InternalFailure", False),
            ("ResourceNotFoundException", False),
            ("ValidationException", False),
        ],
    )
    def test_f7_what_a_new_signature_or_connection_cures_is_resent_at_once(
        self, code: str, *, at_once: bool
    ) -> None:
        """Not what has nothing to sign with."""
        assert can_resend_at_once(code, classify_request(code)) is at_once


class TestDelays:
    """How long to wait."""

    @pytest.mark.parametrize(
        ("backoff", "base", "cap"),
        [
            (ENTRY_BACKOFF[Kind.THROTTLED], 0.1, 5.0),
            (ENTRY_BACKOFF[Kind.TRANSIENT], 0.05, 5.0),
            (REQUEST_BACKOFF[Kind.THROTTLED], 1.0, 20.0),
            (REQUEST_BACKOFF[Kind.TRANSIENT], 0.05, 15.0),
            (REQUEST_BACKOFF[Kind.STALE], 0.05, 15.0),
            (REQUEST_BACKOFF[Kind.CREDENTIALS], 1.0, 30.0),
            (REQUEST_BACKOFF[Kind.CLOCK], 1.0, 30.0),
            (REQUEST_BACKOFF[Kind.PERMANENT], 1.0, 30.0),
        ],
    )
    def test_f2_delays_double_from_their_base_to_their_cap(
        self, backoff: Backoff, base: float, cap: float
    ) -> None:
        """At the longest draw."""
        longest = [backoff.delay(n, 1.0) for n in range(1, 12)]

        assert longest == [min(cap, base * 2**n) for n in range(11)]

    @given(st.integers(1, 10**9), st.floats(0, 1))
    def test_f2_jitter_is_full(self, failures: int, jitter: float) -> None:
        """Evenly from nothing to the delay, however many failures there were."""
        for backoff in (*ENTRY_BACKOFF.values(), *REQUEST_BACKOFF.values()):
            longest = backoff.delay(failures, 1.0)
            assert backoff.delay(failures, jitter) == jitter * longest
            assert longest <= backoff.cap

    @given(st.floats(0, 1))
    def test_a_permanent_failure_is_probed_after_half_the_range_at_least(
        self, jitter: float
    ) -> None:
        """Its repair takes a person."""
        assert 0.5 <= request_delay(Kind.PERMANENT, 1, jitter) <= 1.0

    @given(st.sampled_from([*REQUEST_BACKOFF]), st.integers(1, 100), st.floats(0, 1))
    def test_what_is_down_is_probed_a_few_times_a_minute(
        self, kind: Kind, failures: int, jitter: float
    ) -> None:
        """From the third failure in a row on, the lower half of the range is left out."""
        delay = request_delay(kind, failures, jitter)
        longest = request_delay(kind, failures, 1.0)
        down = failures >= FAILURES_BEFORE_PROBING
        assert (longest / 2 if down else 0.0) <= delay <= longest <= 30.0
        if failures > 10:
            assert delay >= 7.5

    @pytest.mark.parametrize(
        ("retry_after", "delay"), [(None, 2.0), (1.0, 2.0), (3.0, 3.0), (7.0, 7.0), (60.0, 7.0)]
    )
    def test_an_answer_may_ask_for_a_longer_wait(
        self, retry_after: float | None, delay: float
    ) -> None:
        """Never for a shorter one, and at most five seconds longer."""
        assert request_delay(Kind.THROTTLED, 2, 1.0, retry_after=retry_after) == delay


class TestAdvice:
    """What an operator is told to do."""

    @pytest.mark.parametrize(
        ("code", "words"),
        [
            (NO_CREDENTIALS, "credentials"),
            (NO_REGION, "region_name"),
            (INVALID_ENDPOINT, "endpoint_url"),
            ("ExpiredTokenException", "credentials"),
            ("ResourceNotFoundException", "name, region and account"),
            ("AccessDeniedException", "kinesis:PutRecords"),
            (CONNECT_ERROR, "network"),
            ("RequestExpired", "clock"),
            ("KMSDisabledException", "KMS key"),
            ("InternalFailure", ""),
        ],
    )
    def test_a_failure_comes_with_what_can_be_done(self, code: str, words: str) -> None:
        """Or with nothing, when nothing is known."""
        assert words in advice(code)
        assert bool(advice(code)) is bool(words)

"""What the fake looks at in a signature: everything but the signature itself.

A wrong secret is not noticed. What is: a missing or foreign ``Authorization``, a security
token that has expired, and a clock that is off.
"""

from collections.abc import Container, Mapping
from datetime import datetime, timezone
from typing import Final

from kinesink.testing.errors import ApiError

__all__ = ["CLOCK_TOLERANCE", "clock_refusal", "credentials_refusal"]

CLOCK_TOLERANCE: Final = 300.0
"""Seconds by which ``X-Amz-Date`` may differ from the service's clock (IAM user guide)."""

_DATE_FORMAT: Final = "%Y%m%dT%H%M%SZ"
_SERVICE: Final = "kinesis"
_SCOPE: Final = ("access key", "date", "region", "service", "aws4_request")
"""What a credential is made of, between slashes."""


def credentials_refusal(
    headers: Mapping[str, str], expired_tokens: Container[str]
) -> ApiError | None:
    """Return why the caller is not believed, None if it is."""
    authorization = headers.get("authorization", "")
    if not authorization:
        return ApiError("MissingAuthenticationTokenException", "Missing Authentication Token")
    scheme, _, fields = authorization.partition(" ")
    credential, _, _ = fields.strip().removeprefix("Credential=").partition(",")
    scope = credential.split("/")
    if scheme != "AWS4-HMAC-SHA256" or len(scope) < len(_SCOPE):
        return ApiError(
            "IncompleteSignatureException",
            "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature'.",
        )
    if scope[-2] != _SERVICE:
        return ApiError(
            "InvalidSignatureException",
            f"Credential should be scoped to correct service: '{_SERVICE}'.",
        )
    if headers.get("x-amz-security-token") in expired_tokens:
        return ApiError(
            "ExpiredTokenException", "The security token included in the request is expired"
        )
    return None


def clock_refusal(headers: Mapping[str, str], now: float) -> ApiError | None:
    """Return the refusal of a request that was signed too long before or after ``now``."""
    text = headers.get("x-amz-date", "")
    try:
        signed = datetime.strptime(text, _DATE_FORMAT).replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return ApiError(
            "IncompleteSignatureException",
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
        )
    if signed < now - CLOCK_TOLERANCE:
        return _off("expired", text, "now earlier", now, "-")
    if signed > now + CLOCK_TOLERANCE:
        return _off("not yet current", text, "still later", now, "+")
    return None


def _off(state: str, signed: str, relation: str, now: float, sign: str) -> ApiError:
    edge = now - CLOCK_TOLERANCE if sign == "-" else now + CLOCK_TOLERANCE
    return ApiError(
        "InvalidSignatureException",
        f"Signature {state}: {signed} is {relation} than {_shown(edge)} "
        f"({_shown(now)} {sign} {CLOCK_TOLERANCE / 60:.0f} min.)",
    )


def _shown(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime(_DATE_FORMAT)

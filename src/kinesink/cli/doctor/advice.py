"""What to do about a failure, by its code: one row per kind of trouble."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinesink.cli.doctor.results import failed
from kinesink.core import retry_policy

if TYPE_CHECKING:
    from kinesink.cli.doctor.results import Result
    from kinesink.core.records import Failure

DENIED: Final = frozenset({"AccessDeniedException", "AccessDenied", "NotAuthorized"})
"""How the service says that a permission is missing."""

_NETWORK: Final = (
    "check --endpoint-url, the region, the firewall, and the proxy (HTTPS_PROXY, NO_PROXY)"
)

_KMS: Final = "allow kms:GenerateDataKey on the key of the stream, and kms:Decrypt for reading"

_STEPS: Final = {
    retry_policy.NO_CREDENTIALS: "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, name a --profile, or give the machine a role",
    retry_policy.CREDENTIALS_FAILED: "repair the source of credentials, or name another --profile",
    retry_policy.NO_REGION: "name a --region, or set AWS_REGION or the region of the profile",
    retry_policy.INVALID_ENDPOINT: "check the region, --endpoint-url and AWS_ENDPOINT_URL_KINESIS",
    retry_policy.CONNECT_ERROR: _NETWORK,
    retry_policy.READ_TIMEOUT: _NETWORK,
    retry_policy.CONNECTION_RESET: _NETWORK,
    retry_policy.STALE_CONNECTION: _NETWORK,
    retry_policy.UNDECODABLE_RESPONSE: "check --endpoint-url: what answers there is no Kinesis",
    "KMSAccessDeniedException": _KMS,
    "KMSDisabledException": "enable the key of the stream",
    "KMSNotFoundException": "give the stream a key that exists",
}

_BY_KIND: Final = {
    retry_policy.Kind.THROTTLED: "run it again in a minute: others use up the account's calls",
    retry_policy.Kind.CREDENTIALS: "get new credentials: these are expired or not known",
    retry_policy.Kind.CLOCK: "set the clock of this machine",
}

_OTHERWISE: Final = "run it again; if it stays so, see what AWS says of this error"


def step_for(failure: Failure) -> str:
    """Return what to do about a failed call."""
    kind = retry_policy.classify_request(failure.code, failure.message)
    return _STEPS.get(failure.code) or _BY_KIND.get(kind, _OTHERWISE)


def refused(failure: Failure) -> Result:
    """Return the result of a check whose call has failed."""
    return failed(said(failure), step_for(failure), code=failure.code)


def said(failure: Failure) -> str:
    """Return a failure in words."""
    return f"{failure.code}: {failure.message}"

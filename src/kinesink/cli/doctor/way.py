"""Checks of the way to Kinesis: credentials, region, endpoint, TLS, clock."""

from __future__ import annotations

import re
import ssl
import time
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError

from kinesink.cli.doctor import session
from kinesink.cli.doctor.advice import refused, said
from kinesink.cli.doctor.results import failed, ok, skipped, warning
from kinesink.cli.doctor.subject import is_loopback
from kinesink.core import retry_policy
from kinesink.core.records import Failure
from kinesink.shell import wire
from kinesink.shell.credentials import SetupError
from kinesink.shell.exit_safe import run_in_thread

if TYPE_CHECKING:
    from kinesink.cli.doctor.results import Result
    from kinesink.cli.doctor.subject import Subject

_MOST_SKEW: Final = 300.0
"""Seconds that Kinesis lets a signature be off (IAM user guide)."""

_MUCH_SKEW: Final = 30.0
"""Seconds from which timestamps of events are no use beside those of other machines."""

_TLS_TROUBLE: Final = re.compile(r"certificate|\bSSL\b|\bTLS\b", re.IGNORECASE)


async def credentials(subject: Subject) -> Result:
    """Find credentials as the library does."""
    try:
        subject.keys = await run_in_thread(subject.session.find_keys)
    except SetupError as error:
        return refused(Failure(error.code, str(error)))
    subject.account_id = subject.session.account_id
    source = await run_in_thread(subject.session.source)
    return ok(f"found in {source}", source=source)


async def region(subject: Subject) -> Result:
    """Find the region, and with it the endpoint."""
    try:
        subject.region = await run_in_thread(subject.session.region)
        subject.destinations = await run_in_thread(subject.session.destinations)
    except SetupError as error:
        return refused(Failure(error.code, str(error)))
    except BotoCoreError as error:
        return failed(f"{error}", "name another --profile, or repair the files of AWS")
    where = subject.destinations.data
    return ok(f"{where.region}, endpoint {where.host}", region=where.region, endpoint=where.host)


async def identity(subject: Subject) -> Result:
    """Ask STS who we are."""
    keys, places = subject.keys, subject.destinations
    try:
        sts = await run_in_thread(subject.session.sts, keys, places.data.region)
    except (BotoCoreError, ValueError) as error:
        return warning(f"STS cannot be asked: {error}", "check the settings of STS")
    if subject.on_loopback and not is_loopback(sts.meta.endpoint_url):
        return skipped("the endpoint is on this machine, of which STS knows nothing")
    found = await run_in_thread(session.caller, sts, keys)
    if isinstance(found, Failure):
        kind = retry_policy.classify_request(found.code, found.message)
        if kind is retry_policy.Kind.CREDENTIALS:
            return refused(found)
        text = f"STS does not say who this is: {said(found)}"
        return warning(text, "nothing, if all else is well: writing does not need it")
    subject.account_id = found["Account"]
    return ok(found["Arn"], arn=found["Arn"], account=found["Account"])


async def endpoint(subject: Subject) -> Result:
    """See whether anybody answers, over the library's own connections."""
    places = subject.destinations
    begun, before = time.time(), time.monotonic()
    subject.hello = hello = await subject.service.hello(places.data)
    subject.hello_at = begun + (time.monotonic() - before) / 2
    host = places.data.host
    if not isinstance(hello, Failure):
        return ok(f"{host} answers")
    if _is_of_tls(hello):
        return ok(f"{host} takes connections")
    return refused(hello)


async def tls(subject: Subject) -> Result:
    """See whether whoever answers has proved to be it."""
    where, hello = subject.destinations.data, subject.hello
    if isinstance(hello, Failure):
        return failed(
            hello.message,
            "name the authority's bundle in AWS_CA_BUNDLE or KINESINK_VERIFY; a proxy may put its "
            "own authority in between",
        )
    if where.url.startswith("http://"):
        if subject.on_loopback:
            return ok("none: plain http, on this machine alone")
        return warning("none: events travel in plain http", "use an endpoint with https")
    if where.tls.verify_mode is ssl.CERT_NONE:
        return warning("certificates are not verified", "take KINESINK_VERIFY=false away")
    return ok("the certificate is verified")


async def clock(subject: Subject) -> Result:
    """Compare this machine's clock with the service's."""
    hello = subject.hello
    date = None if isinstance(hello, Failure) else hello.headers.get("date")
    moment = wire.http_date(date)
    if moment is None:
        return warning("the answer carries no date", "check the clock of this machine")
    # A Date header tells whole seconds, on average half a second late.
    ahead = int(subject.hello_at - moment - 0.5)
    text = f"this machine is {abs(ahead)} s {'ahead of' if ahead > 0 else 'behind'} the service"
    if abs(ahead) > _MOST_SKEW:
        return failed(
            f"{text}, which refuses signatures that are off by more than 5 minutes",
            "set the clock (NTP); kinesink corrects its own signatures, not the events' timestamps",
            seconds=ahead,
        )
    if abs(ahead) > _MUCH_SKEW:
        return warning(f"{text}, and so are the events' timestamps", "set the clock (NTP)",
                       seconds=ahead)  # fmt: skip
    return ok("agrees with the service", seconds=ahead)


def _is_of_tls(failure: Failure) -> bool:
    connects = failure.code == retry_policy.CONNECT_ERROR
    return connects and _TLS_TROUBLE.search(failure.message) is not None

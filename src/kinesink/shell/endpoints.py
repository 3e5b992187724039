"""Where requests go and whom they trust: region, hosts, certificates.

Law of this file: botocore's rules, asked through its public interface and never copied,
so a new partition needs a new botocore and nothing else. Called in worker threads only,
because botocore reads files. No text of this file holds a password.
"""

from __future__ import annotations

import os
import ssl
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from botocore import UNSIGNED
from botocore.config import Config as ClientConfig

from kinesink.aws_options import StreamArn, is_http_url, url_without_user
from kinesink.core import retry_policy
from kinesink.shell.credentials import SetupError

if TYPE_CHECKING:
    from kinesink.config import Config

SERVICE: Final = "kinesis"


@dataclass(frozen=True)
class Destination:
    """Where requests go, as settings and environment say."""

    region: str
    url: str
    tls: ssl.SSLContext

    @property
    def host(self) -> str:
        """The host and, if it is not the scheme's own, the port; for messages."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


class Destinations(NamedTuple):
    """Where which requests go; two hosts only if the account's own are wanted."""

    data: Destination
    """For PutRecords."""
    control: Destination
    """For everything else."""


def find_destinations(config: Config, session: Any, account_id: str | None) -> Destinations:  # noqa: ANN401 - botocore has no types
    """Return region, hosts and TLS settings.

    :param session: a botocore session.
    :param account_id: the account of the credentials, as far as they say.
    :raises SetupError: if there is no region, or something cannot be used.
    """
    region = find_region(config, session)
    if region is None:
        raise SetupError(retry_policy.NO_REGION, "no AWS region is configured")
    data, control = map(_checked, _urls(config, session, region, account_id))
    tls = _tls(config, session, (data, control))
    return Destinations(Destination(region, data, tls), Destination(region, control, tls))


def find_region(config: Config, session: Any) -> str | None:  # noqa: ANN401 - as above
    """Return the region of the stream; None if nothing says it.

    The region in the stream's ARN is a fact about the stream, the environment's a default
    for whatever a process does: where both are given, a request to the environment's
    region could never find the stream.
    """
    arn = StreamArn.parse(config.stream_arn)
    named = config.region_name or (arn and arn.region)
    return named or default_region(session)


def default_region(session: Any) -> str | None:  # noqa: ANN401 - as above
    """Return the region that the environment or the profile says; None if neither does."""
    # AWS_REGION last: botocore does not know it, but Fargate, EKS and Lambda set
    # nothing else.
    region = session.get_config_variable("region") or os.environ.get("AWS_REGION")
    return str(region) if region else None


def _urls(
    config: Config,
    session: Any,  # noqa: ANN401 - as above
    region: str,
    account_id: str | None,
) -> tuple[str, str]:
    """Return the endpoints for data and for everything else."""
    if config.endpoint_url is not None:
        return config.endpoint_url, config.endpoint_url
    try:
        with closing(_client(config, session, region)) as client:
            configured = str(client.meta.endpoint_url)
        with closing(_client(config, session, region, ignore_configured_endpoint_urls=True)) as own:
            if own.meta.endpoint_url != configured:
                return configured, configured
            stream = _stream(config, session, region, account_id)
            return _resolved(own, stream)
    except Exception as error:
        raise SetupError(retry_policy.INVALID_ENDPOINT, url_without_user(str(error))) from error


def _client(config: Config, session: Any, region: str, **options: bool) -> Any:  # noqa: ANN401 - as above
    """Return a client that knows every rule and sends nothing."""
    variants = {
        "use_fips_endpoint": config.use_fips_endpoint,
        "use_dualstack_endpoint": config.use_dualstack_endpoint,
    }
    options |= {name: value for name, value in variants.items() if value is not None}
    return session.create_client(
        SERVICE,
        region_name=region,
        # Unsigned, so it asks nobody for credentials, nor them for their account: without
        # being told to, the rules must not choose the account's hosts.
        config=ClientConfig(signature_version=UNSIGNED, **options),
        # It need not read the trusted certificates either.
        verify=False,
    )


def _stream(
    config: Config,
    session: Any,  # noqa: ANN401 - as above
    region: str,
    account_id: str | None,
) -> dict[str, str]:
    """Return how to name the stream to the rules, which take the account from its ARN."""
    if config.account_id_endpoint and config.stream_arn is not None:
        return {"StreamARN": config.stream_arn}
    if config.account_id_endpoint and account_id:
        partition = session.get_partition_for_region(region)
        arn = StreamArn(partition, region, account_id, config.stream_name)
        return {"StreamARN": str(arn)}
    return {"StreamName": config.stream_name}


class _NoAnswer:
    """Stands for an answer of HTTP to a request that is not sent."""

    status_code = 200


def _resolved(client: Any, stream: dict[str, str]) -> tuple[str, str]:  # noqa: ANN401 - as above
    """Return the hosts of a call for data and of another one.

    The calls end at the event before sending, whose handlers may answer instead of the
    service. What ``meta.endpoint_url`` says is the region's host by an older table, which
    is wrong for dual-stack in some partitions and knows no account.
    """
    urls: list[str] = []

    def answer(params: dict[str, Any], **_: object) -> tuple[_NoAnswer, dict[str, Any]]:
        urls.append(str(params["url"]))
        return _NoAnswer(), {}

    client.meta.events.register(f"before-call.{SERVICE}", answer)
    client.put_records(Records=[{"Data": b"", "PartitionKey": "-"}], **stream)
    client.list_shards(**stream)
    data, control = urls
    return data, control


def _checked(url: str) -> str:
    """Return a URL that has a path."""
    if not is_http_url(url):
        raise SetupError(
            retry_policy.INVALID_ENDPOINT,
            f"the endpoint is no http or https URL: {url_without_user(url)!r}",
        )
    return url if urlsplit(url).path else url + "/"


def _tls(config: Config, session: Any, urls: tuple[str, ...]) -> ssl.SSLContext:  # noqa: ANN401 - as above
    if all(url.startswith("http://") for url in urls):
        # Reading the trusted certificates takes 0.13 s, and nobody will look at them.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    verify = config.verify
    if verify is True:
        bundle = session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
        verify = bundle or True
    try:
        return _tls_context(verify)
    except OSError as error:
        raise SetupError(
            retry_policy.CONNECT_ERROR, f"the CA bundle {verify!r} cannot be used: {error}"
        ) from error


def _tls_context(verify: bool | str) -> ssl.SSLContext:  # noqa: FBT001 - boto3's meaning
    if isinstance(verify, str):
        if Path(verify).is_dir():
            return ssl.create_default_context(capath=verify)
        return ssl.create_default_context(cafile=verify)
    import httpx  # noqa: PLC0415 - knows SSL_CERT_FILE, SSL_CERT_DIR and certifi

    return httpx.create_ssl_context(verify=verify)
